"""Jobs done in this process or in several, with the same results whatever their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.research.datasets.case import MultiRaterDataset
from SPASegmentLib.research.evaluation.cluster import ClusterPool, RayCluster
from SPASegmentLib.research.evaluation.interaction import OracleEngine, PromptedEngine

EngineFactory = Callable[[], Engine]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")

Job = TypeVar("Job")


@dataclass(frozen=True)
class ModelReport:
    """Which model an engine runs and on what.

    oracle: whether it is shown the target. profile: the one its requests carry, in a line, or "". user: what
    its user does who does not pick, but sees the target and shows it, or "".
    """

    name: str
    hash: str
    components: int
    device: str
    oracle: bool = False
    profile: str = ""
    user: str = ""


class Bench:
    """The engines and cases of one process; holds one engine at a time, since models can be large."""

    def __init__(self, factories: dict[str, EngineFactory], dataset: MultiRaterDataset, threads: int) -> None:
        self.dataset = dataset
        self._factories = factories
        self._threads = threads
        self._name: str | None = None
        self._engine: Engine | None = None

    def engine(self, name: str) -> Engine:
        """The engine of a name, built when it is not the one held."""
        if self._engine is None or name != self._name:
            self._engine = None
            _reset_peak_memory()
            self._engine, self._name = self._factories[name](), name
        limit_threads(self._threads)
        return self._engine

    def describe(self, name: str) -> ModelReport:
        """Which model a name stands for."""
        engine = self.engine(name)
        info = engine.model
        device = str(getattr(engine, "device", "cpu"))
        oracle, profile = isinstance(engine, OracleEngine), str(getattr(engine, "profile", ""))
        user = engine.user if isinstance(engine, PromptedEngine) else ""
        return ModelReport(info.name, info.hash, info.components, device, oracle, profile, user)


Work = Callable[[Bench, Any], Any]
"""What to do with a job: a function of a module, so that another process finds it."""


class Crew:
    """Does jobs in this process (one worker), in several, or all over a cluster; a context manager.

    Every process computes with `threads` threads, whatever the number of processes: sums in another order
    could change a result. With several workers factories, data set and jobs must be picklable, and a script
    that uses this needs the usual `if __name__ == "__main__"`.
    """

    def __init__(
        self,
        factories: dict[str, EngineFactory],
        dataset: MultiRaterDataset,
        *,
        workers: int = 1,
        threads: int = 1,
        cluster: RayCluster | None = None,
    ) -> None:
        """cluster: where the processes are, in the place of this computer and its `workers`."""
        self._bench = Bench(factories, dataset, threads)
        self._start = (factories, dataset, threads)
        self._workers = max(1, workers)
        self._threads = threads
        self._threads_before: int | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._cluster = None if cluster is None else ClusterPool(cluster, Bench, self._start, threads)

    def __enter__(self) -> Crew:
        if self._cluster is not None:
            self._cluster.__enter__()
        elif self._workers > 1:
            self._pool = ProcessPoolExecutor(
                max_workers=self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=self._start,
            )
        else:
            self._threads_before = limit_threads(self._threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._cluster is not None:
            self._cluster.__exit__()
        elif self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        elif self._threads_before is not None:
            limit_threads(self._threads_before)

    def run(self, work: Work, jobs: Sequence[Job]) -> Generator[tuple[Job, Any], None, None]:
        """(job, work(bench, job)) as they are done.

        Raises what `work` raises, and SPASegmentError for a lost process.
        """
        if self._cluster is not None:
            yield from self._cluster.run(work, jobs)
            return
        if self._pool is None:
            for job in jobs:
                yield job, work(self._bench, job)
            return
        try:
            yield from self._collect(self._pool, work, jobs)
        except BrokenProcessPool as error:
            raise SPASegmentError(
                "A worker process was lost, perhaps for want of memory; run the command again with fewer "
                "--workers, and it goes on where it was."
            ) from error

    def _collect(
        self, pool: ProcessPoolExecutor, work: Work, jobs: Sequence[Job]
    ) -> Iterator[tuple[Job, Any]]:
        """Keep two jobs per process submitted, so that all are busy and stopping is quick."""
        todo = iter(jobs)
        running: dict[Future, Job] = {}
        while True:
            with _thread_variables(self._threads):
                while len(running) < 2 * self._workers and (job := next(todo, None)) is not None:
                    running[pool.submit(_do, work, job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


_bench: Bench | None = None


def _begin(factories: dict[str, EngineFactory], dataset: MultiRaterDataset, threads: int) -> None:
    global _bench
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_threads(threads)
    _bench = Bench(factories, dataset, threads)


def _do(work: Work, job: Any) -> Any:
    if _bench is None:
        raise SPASegmentError("A worker process was used before it was set up; run the command again.")
    return work(_bench, job)


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def limit_threads(threads: int) -> int | None:
    """Let torch, if it is there at all, compute with so many threads. Returns how many it used before."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    before = int(torch.get_num_threads())
    if before != threads:
        torch.set_num_threads(threads)
    return before


@contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    """Processes started meanwhile give their numerical libraries so many threads."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class PeakMemory:
    """The most memory held since the engine was built, in MiB; None where that is not known."""

    host: float | None
    gpu: float | None

    @classmethod
    def now(cls) -> PeakMemory:
        """Of this process."""
        cuda = _cuda()
        gpu = None if cuda is None else float(cuda.max_memory_allocated()) / 2**20
        return cls(_host_peak_mb(), gpu)

    def or_more(self, other: PeakMemory) -> PeakMemory:
        """The larger of each."""
        pairs = ((self.host, other.host), (self.gpu, other.gpu))
        return PeakMemory(*(max((v for v in pair if v is not None), default=None) for pair in pairs))


def _cuda() -> Any:
    """torch.cuda where it is in use, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _host_peak_mb() -> float | None:
    try:
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024


def _reset_peak_memory() -> None:
    """Begin to measure anew, where the system can (Linux)."""
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()
    try:
        _CLEAR_REFS.write_text("5", encoding="utf-8")
    except OSError:
        return
