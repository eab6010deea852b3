"""Processes that begin with the large libraries loaded, for tests that start many.

Loading torch, VTK and Slicer takes a process many seconds. Here one process loads them, once for each process
of pytest, and a copy of it (a fork) becomes each process a test starts, with arguments, environment, streams
and signals of its own. `Popen` and `run` are those of `subprocess`, for Python only. Starting itself is
tested in ordinary processes (README, streams).
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

LOADED = (
    "SPASegmentLib.cli.view",
    "SPASegmentLib.inference.local",
    "SPASegmentLib.imaging.files",
    "SPASegmentLib.service.server.standalone",
    "trame_slicer.core",
    "SPASegmentLib.viewer.app",
    "SPASegmentLib.viewer.study",
    "Testing.support.at_hand",
)
POSSIBLE = sys.platform.startswith("linux")
"""Elsewhere a copy of a process is not sound, or not to be had."""
_forks = multiprocessing.get_context("forkserver" if POSSIBLE else "spawn")
if POSSIBLE:
    _forks.set_forkserver_preload(list(LOADED))


class _Process:
    """A fork, with the part of `subprocess.Popen` that tests use."""

    def __init__(
        self,
        command: Sequence[object],
        *,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
        encoding: str | None = None,
        **_text: Any,
    ) -> None:
        """command: `sys.executable`, then `-m MODULE` or a file, then arguments."""
        self.args = [str(part) for part in command]
        self.stdout: IO[Any] | None = None
        self.stderr: IO[Any] | None = None
        with contextlib.ExitStack() as ours:

            def piped(target: int) -> IO[Any]:
                return os.fdopen(target, "r" if encoding else "rb", encoding=encoding)

            def end_of(wanted: Any, mode: int) -> int:
                """A descriptor for the fork, closed here once it has its own."""
                number = os.open(os.devnull, mode) if wanted == subprocess.DEVNULL else os.dup(wanted)
                ours.callback(os.close, number)
                return number

            ends = [0 if stdin is None else stdin]
            for name, wanted in (("stdout", stdout), ("stderr", stderr)):
                if wanted == subprocess.PIPE:
                    theirs, wanted = os.pipe()
                    setattr(self, name, piped(theirs))
                    ours.callback(os.close, wanted)
                elif wanted == subprocess.STDOUT:
                    wanted = ends[1]
                ends.append(_number(wanted, len(ends)))
            numbers = [end_of(_number(one, 0), os.O_RDWR) for one in ends]
            about = (self.args[1:], str(cwd or Path.cwd()), dict(env or os.environ), start_new_session)
            self._process = _forks.Process(target=_become, args=(about, _Ends(numbers)), daemon=True)
            _begin(self._process)
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Ends:
    """Three descriptors on their way to a fork."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = list(numbers)

    def __getstate__(self) -> list[Any]:
        return [DupFd(number) for number in self.numbers]

    def __setstate__(self, state: list[Any]) -> None:
        self.numbers = [one.detach() for one in state]


def _number(wanted: Any, usual: int) -> int:
    if wanted is None:
        return usual
    return wanted if isinstance(wanted, int) else int(wanted.fileno())


def _begin(process: Any) -> None:
    """Start it; the process that is copied begins with the first one, with what must be set by then."""
    needed = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow", "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in needed}
    os.environ.update(needed)
    try:
        process.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _become(about: tuple[list[str], str, dict[str, str], bool], ends: _Ends) -> None:
    """In the fork: take on streams, folder, environment and arguments, and run."""
    arguments, folder, environment, own_session = about
    if own_session:
        os.setsid()
    for target, number in enumerate(ends.numbers):
        os.dup2(number, target)
        os.close(number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()


Popen: Any = _Process if POSSIBLE else subprocess.Popen


def run(
    command: Sequence[object], *, timeout: float, check: bool = False, encoding: str = "utf-8", **more: Any
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` with its output captured."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Popen(list(map(str, command)), stdout=out, stderr=err, **more)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(encoding))
    done = subprocess.CompletedProcess(process.args, code, *texts)
    if check:
        done.check_returncode()
    return done
