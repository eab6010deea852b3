"""Keeps what C++ image libraries print away from the user; what they mean is said in our own sentences."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

import SimpleITK as sitk  # noqa: N813

_LOCK = threading.RLock()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Send the process's standard error (file descriptor 2) to nowhere while image files are decoded.

    libjpeg, libtiff, MetaIO and GDCM write there directly and offer no switch. One thread at a time.
    """
    with _LOCK:
        warned = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            with _descriptor_to_devnull():
                yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(warned)


@contextlib.contextmanager
def _descriptor_to_devnull() -> Iterator[None]:
    """Point descriptor 2 at the null device; does nothing where the process has no descriptor 2."""
    with contextlib.suppress(Exception):
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(sink)
        os.close(kept)
