"""Servers as processes of their own, and lines to them that can be cut."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import warm

START_SECONDS = 420.0


class ServerProcess:
    """`spasegment serve` with these arguments, until it is stopped. log: all it has said."""

    def __init__(
        self,
        *arguments: object,
        port: int = 0,
        environment: dict[str, str] | None = None,
        program: Path | None = None,
    ) -> None:
        """program: in place of the command's own."""
        command = ["-m", "SPASegmentLib.cli.main"] if program is None else [program]
        self._command = [sys.executable, *map(str, command), "serve", *map(str, arguments)]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        self.port, self.address, self._lines = port, "", []
        self.start()

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def start(self) -> None:
        """Start, and wait for the address."""
        command = [*self._command, "--port", str(self.port)]
        # Ray starts processes of its own, which a fork of ours has no business with.
        popen = warm.Popen if "local" in command else subprocess.Popen
        self.process = popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env=self._environment,
            start_new_session=True,
        )
        heard = threading.Event()
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()
        heard.wait(START_SECONDS)
        if not self.address or self.process.poll() is not None:
            self.stop()
            raise RuntimeError(f"the server did not start:\n{self.log}")
        self.port = int(self.address.rpartition(":")[2])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(90)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def metric(self, name: str, key: str | None = None) -> float:
        """The sum of what `/metrics` says of a name."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        text = httpx.get(f"{self.address}/metrics", headers=headers, timeout=10, trust_env=False).text
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line)
        )

    def _listen(self, heard: threading.Event) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)
            if found := re.search(r"SPASegment server: (\S+)", line):
                self.address = found[1]
                heard.set()
        heard.set()


@contextlib.contextmanager
def running(*arguments: object, **more) -> Iterator[ServerProcess]:
    server = ServerProcess(*arguments, **more)
    try:
        yield server
    finally:
        server.stop()


def wait_until(true, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.05)
    return bool(true())


class Line:
    """A TCP line to a port, `target`. Cut, it swallows what is sent and says nothing."""

    def __init__(self, port: int) -> None:
        self.target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.cut = False
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listening.close()
        self.break_all()

    def break_all(self) -> None:
        """Hang up on everybody."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            near.close()
            return
        self._open |= {near, far}
        threads = [
            threading.Thread(target=self._carry, args=ends, daemon=True)
            for ends in ((near, far), (far, near))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._open -= {near, far}
        near.close()
        far.close()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.cut:
                    continue  # lost on the way
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
