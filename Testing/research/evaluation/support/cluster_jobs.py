"""Jobs for a cluster, and a program that does them: cluster_jobs.py ADDRESS FOLDER says what came of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from SPASegmentLib.errors import InputError
from SPASegmentLib.research.evaluation.cluster import ClusterPool, RayCluster


class Marks:
    """Made on the cluster: knows its process, and a folder for all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pid = folder, os.getpid()


def pid_of(marks: Marks, job: int) -> int:
    time.sleep(0.1)
    return marks.pid


def dies_once(marks: Marks, job: int) -> int:
    """The square; job 2 ends its process the first time."""
    mark = marks.folder / "died"
    if job == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


def refuses(marks: Marks, job: int) -> int:
    raise InputError("This case cannot be read.")


def refusal(call) -> str:
    try:
        call()
    except InputError as error:
        return str(error)
    return ""


def main(address: str, folder: Path) -> None:
    arguments = (folder,)
    found = {
        "too many": refusal(lambda: ClusterPool(RayCluster(address, 5), Marks, arguments, 1).__enter__()),
    }
    with ClusterPool(RayCluster(address), Marks, arguments, 1) as pool:
        found |= {
            "own": os.getpid(),
            "pids": list(pool.run(pid_of, range(8))),
            "squares": sorted(pool.run(dies_once, range(6))),
            "died": (folder / "died").exists(),
            "refused": refusal(lambda: list(pool.run(refuses, [1]))),
        }
    print("found", json.dumps(found))


if __name__ == "__main__":
    import cluster_jobs  # so that workers find the jobs under this name

    cluster_jobs.main(sys.argv[1], Path(sys.argv[2]))
