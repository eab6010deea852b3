"""Files that are either written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from SPASegmentLib.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if hasattr(errno, "EDQUOT") else (errno.ENOSPC, errno.EFBIG)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well; else nothing has changed.

    Written beside its target, flushed to the disk, then renamed. Raises InputError where it cannot be.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)  # noqa: PTH105
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _refusal(path: Path, error: OSError) -> InputError:
    if error.errno in _FULL:
        return InputError(f"The disk is full, so {path} was not written; free some space and save again.")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return InputError(f"The folder of {path} does not exist; make it or choose another place.")
    reason = (error.strerror or "output error").lower()
    return InputError(f"{path} cannot be written ({reason}); choose another place.")


def _sync_folder(folder: Path) -> None:
    """Make the rename survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
