"""Jobs done by processes all over a running Ray cluster, with the results of this process."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from SPASegmentLib.errors import InputError, SPASegmentError

ClusterJob = TypeVar("ClusterJob")
TRIES = 3
"""How often a job is begun anew whose process or computer was lost."""
CONNECT_SECONDS = 5.0
WAITING = 2
"""Jobs of a process that are on their way to it, so that it is never idle."""


@dataclass(frozen=True)
class RayCluster:
    """Where to compute.

    address: of a running cluster, "auto" for the one this computer belongs to. workers: processes, or None
    for as many as its cores (or GPUs, where `gpus` is given) allow. gpus: of each process, may be a fraction.
    """

    address: str
    workers: int | None = None
    gpus: float = 0.0


class ClusterPool:
    """Processes on a cluster, each with what `make(*arguments)` gives; a context manager.

    A process that is lost is started again, maybe on another computer, and its jobs with it: a job must have
    the same result when it is done twice.
    """

    def __init__(self, cluster: RayCluster, make: Any, arguments: tuple[Any, ...], cores: int) -> None:
        """make, arguments: picklable; every node has the code. cores: of each process."""
        self._cluster, self._make, self._arguments, self._cores = cluster, make, arguments, cores
        self._workers: list[Any] = []

    def __enter__(self) -> ClusterPool:
        ray = _joined(self._cluster.address)
        try:
            count = self._count(ray)
        except InputError:
            ray.shutdown()
            raise
        worker: Any = ray.remote(
            num_cpus=self._cores, num_gpus=self._cluster.gpus, max_restarts=TRIES, max_task_retries=TRIES
        )(_ClusterWorker)
        self._workers = [worker.remote(self._make, self._arguments) for _ in range(count)]
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker)
        self._workers.clear()
        ray.shutdown()

    def run(self, work: Any, jobs: Sequence[ClusterJob]) -> Iterator[tuple[ClusterJob, Any]]:
        """(job, work(made, job)) as they are done.

        Raises SPASegmentError as `work` does, and where a job's process was lost again and again.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        todo = iter(jobs)
        running: dict[Any, tuple[ClusterJob, Any]] = {}
        free = [worker for worker in self._workers for _ in range(WAITING)]
        while True:
            while free and (job := next(todo, None)) is not None:
                worker = free.pop(0)
                running[worker.do.remote(work, job)] = job, worker
            if not running:
                return
            (ready,), _ = ray.wait(list(running), num_returns=1)
            job, worker = running.pop(ready)
            free.append(worker)
            try:
                result = ray.get(ready)
            except RayTaskError as error:
                cause = error.cause
                raise (cause if isinstance(cause, SPASegmentError) else error) from None
            except RayActorError as error:
                raise SPASegmentError(
                    "A process on the cluster was lost again and again, perhaps for want of memory; run the "
                    "command again, and it goes on where it was."
                ) from error
            yield job, result

    def _count(self, ray: Any) -> int:
        """How many processes there are to be. Raises InputError for more than the cluster has room for."""
        has = ray.cluster_resources()
        room = int(has.get("CPU", 0) // self._cores)
        if self._cluster.gpus:
            room = min(room, int(has.get("GPU", 0) / self._cluster.gpus))
        wanted = room if self._cluster.workers is None else self._cluster.workers
        if not 0 < wanted <= room:
            raise InputError(
                f"The cluster has room for {room} processes of this size, not for {max(wanted, 1)}; ask for "
                "fewer --workers, or give each fewer --threads or --gpus."
            )
        return wanted


class _ClusterWorker:
    """One process on the cluster."""

    def __init__(self, make: Any, arguments: tuple[Any, ...]) -> None:
        self._made = make(*arguments)

    def do(self, work: Any, job: Any) -> Any:
        return work(self._made, job)


def _joined(address: str) -> Any:
    """Ray, joined to a running cluster. Raises InputError where that cannot be."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
    try:
        import ray
    except ImportError as error:
        raise InputError(
            'A cluster is reached with Ray, which is not installed; run: pip install "spasegment[service]"'
        ) from error
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in address:  # Ray would try for minutes
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except OSError:
            raise InputError(f"There is no Ray cluster at {address}; check --address.") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        ray.shutdown()
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            f"The Ray cluster at {address} cannot be joined: {first}; where it asks for a token, set "
            "RAY_AUTH_MODE=token and have the token at ~/.ray/auth_token."
        ) from error
    return ray
