"""Standard streams that are closed, or whose reader has gone, end no command."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path
from typing import Any


class _Outlet(io.RawIOBase):
    """Writes to a descriptor until nobody reads it any more; what comes after that is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_read = True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        if self._is_read:
            try:
                return os.write(self._descriptor, data)
            except BrokenPipeError:
                self._is_read = False
        return len(data)


def prepare_streams() -> None:
    """Make the process's own streams safe to use. Streams that a program has put in their place stay.

    A closed stream becomes an empty one. What is printed where nobody reads on (`| head`) is dropped, and the
    command goes on to write its files. Names of files that are not UTF-8 are printed escaped.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it tells where it keeps its cache
    is_own = sys.stdout is sys.__stdout__
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    elif is_own and os.name == "posix":
        own = sys.stdout
        own.flush()
        buffered = io.BufferedWriter(_Outlet(own.fileno()))
        sys.stdout = io.TextIOWrapper(
            buffered, encoding=own.encoding, errors="backslashreplace", line_buffering=True
        )
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
