"""Keeps what C and C++ image libraries print away from the user; what matters of it is said in a sentence."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

import SimpleITK as sitk  # noqa: N813

_LOCK = threading.RLock()


class Printed:
    """What was printed inside a `silenced` block; filled when the block ends."""

    text: str = ""


@contextlib.contextmanager
def silenced() -> Iterator[Printed]:
    """Catch what is written to descriptors 1 and 2 while image files are decoded, one thread at a time.

    libjpeg, libtiff, MetaIO and GDCM print there directly and offer no switch.
    """
    printed = Printed()
    with _LOCK:
        warned = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            with tempfile.TemporaryFile() as sink:
                try:
                    with _redirected(1, sink.fileno()), _redirected(2, sink.fileno()):
                        yield printed
                finally:
                    sink.seek(0)
                    printed.text = sink.read().decode(errors="replace")
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(warned)


@contextlib.contextmanager
def _redirected(descriptor: int, sink: int) -> Iterator[None]:
    """Point a descriptor at the sink; does nothing where the process has no such descriptor."""
    _flush()
    try:
        kept = os.dup(descriptor)
    except OSError:
        yield
        return
    try:
        os.dup2(sink, descriptor)
        yield
    finally:
        _flush()
        os.dup2(kept, descriptor)
        os.close(kept)


def _flush() -> None:
    """Empty the buffers of Python's and of C's output streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(Exception):
        libc = ctypes.cdll.ucrtbase if sys.platform == "win32" else ctypes.CDLL(None)
        libc.fflush(None)
