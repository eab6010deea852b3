"""Evaluation on a Ray cluster of two processes: the records of one process, and on again after a kill."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from evaluation_toys import ToyDataset, toy
from written_figures import figures

from SPASegmentLib.cli import main
from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.research.evaluation import Options, RayCluster, evaluate

pytestmark = [
    pytest.mark.alone,
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ends processes by their group"),
]
QUICK = Options(resamples=200)
REPOSITORY = Path(__file__).resolve().parents[3]
PLACES = [str(REPOSITORY), str(Path(__file__).parent / "support")]


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[str]:
    """Ray on this computer alone, with room for two processes; the address."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AUTH_MODE", "token")
    patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--head", "--block", "--num-cpus", "2", "--num-gpus", "0", "--port", str(port)]
    options += ["--node-ip-address", "127.0.0.1", "--include-dashboard", "false"]
    options += ["--disable-usage-stats", "--object-store-memory", str(2**27)]
    ray = Path(sys.executable).parent / "ray"
    process = subprocess.Popen(
        [str(ray), "start", *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PLACES), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if "Ray runtime started" in line:
                break
        else:
            pytest.fail(f"Ray did not start:\n{said}")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        patch.undo()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten patients with a disc each that two raters drew."""
    root = tmp_path_factory.mktemp("data")
    rows, cols = np.mgrid[:48, :48]
    for number in range(10):
        folder = root / f"p{number}"
        folder.mkdir()
        distance = np.hypot(rows - 24, cols - 24) - 5 - number / 2
        drawn = {"image": 40 + 170 / (1 + np.exp(distance)), "rater-ann": 255.0 * (distance < 0)}
        for name, pixels in {**drawn, "rater-bob": 255.0 * (distance < 1)}.items():
            sitk.WriteImage(sitk.GetImageFromArray(pixels.astype(np.uint8)), str(folder / f"{name}.png"))
    return root


def test_a_command_that_is_killed_goes_on_to_the_figures_of_one_process(
    a_cluster: str, a_model: Path, pictures: Path, tmp_path: Path
) -> None:
    asked: list[object] = ["evaluate", "--dataset", "folder", "--path", pictures, "--model", a_model]
    asked += ["--device", "cpu"]
    here, there = tmp_path / "here", tmp_path / "there"
    spread = [sys.executable, "-m", "SPASegmentLib.cli.main", *map(str, asked), "--out", str(there)]
    process = subprocess.Popen([*spread, "--address", a_cluster], stdout=subprocess.DEVNULL)
    records = there / "cases" / "tiny.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (
        records.exists() and records.read_text(encoding="utf-8").count("\n") > 2
    ):
        time.sleep(0.02)
    process.kill()
    process.wait(10)
    first = records.read_text(encoding="utf-8").splitlines()
    assert 2 < len(first) < 11
    for out in (there, here):
        with pytest.raises(SystemExit) as ended:
            main.main([*map(str, asked), "--out", str(out)])
        assert not ended.value.code
    assert set(first) <= set(records.read_text(encoding="utf-8").splitlines()), (
        "what the cluster did is kept as it was"
    )
    assert figures(here) == figures(there)


def test_jobs_go_to_both_processes_and_one_that_is_lost_is_begun_anew(a_cluster: str, tmp_path: Path) -> None:
    """In a process of its own: Ray reads how it shows who it is when it is imported."""
    program = Path(__file__).parent / "support" / "cluster_jobs.py"
    done = subprocess.run(
        [sys.executable, str(program), a_cluster, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PLACES)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=180,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("found ")]
    assert said, done.stderr[-2000:]
    found = json.loads(said[0].removeprefix("found "))
    assert "room for 2 processes of this size, not for 5" in found["too many"]
    assert sorted(job for job, _ in found["pids"]) == list(range(8))
    pids = {pid for _, pid in found["pids"]}
    assert len(pids) == 2 and found["own"] not in pids
    assert found["died"] and found["squares"] == [[job, job * job] for job in range(6)]
    assert found["refused"] == "This case cannot be read."


def test_a_cluster_that_is_not_there_is_said_in_a_sentence() -> None:
    with pytest.raises(SPASegmentError, match=re.escape("There is no Ray cluster at 127.0.0.1:9;")):
        evaluate({"toy": toy()}, ToyDataset(2), replace(QUICK, cluster=RayCluster("127.0.0.1:9")))
