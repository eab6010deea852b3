"""Files that are either written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from SPASegmentLib.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if hasattr(errno, "EDQUOT") else (errno.ENOSPC, errno.EFBIG)
_RETRIES, _PAUSE = 100, 0.005  # seconds


@contextlib.contextmanager
def atomic_file(
    path: Path, *, like_folder: bool = False, refusal: Callable[[Path, OSError], Exception] | None = None
) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well; else nothing has changed.

    Written beside its target, flushed to the disk, then renamed. like_folder: as open to others as its
    folder, whatever the umask. refusal: makes the error raised where it cannot be; else an InputError.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            if like_folder and os.name == "posix":
                with contextlib.suppress(OSError):
                    part.chmod(mode_of(target.parent))
            yield file
            file.flush()
            os.fsync(file.fileno())
        move_durably(part, target)
    except OSError as error:
        raise (refusal or _refusal)(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def move_durably(source: Path, target: Path) -> None:
    """Rename over; what returned is on the disk. On Windows a reader may hold the target for a moment."""
    for attempt in range(_RETRIES):
        try:
            source.replace(target)
            break
        except PermissionError:
            if os.name == "posix" or attempt == _RETRIES - 1:
                raise
            time.sleep(_PAUSE)
    sync_folder(target.parent)


def mode_of(folder: Path) -> int:
    """Permissions of a file as open to others as its folder, so that a department can share one."""
    try:
        return stat.S_IMODE(folder.stat().st_mode) & 0o666 | 0o600
    except OSError:
        return 0o600


def _refusal(path: Path, error: OSError) -> InputError:
    if error.errno in _FULL:
        return InputError(f"The disk is full, so {path} was not written; free some space and save again.")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return InputError(f"The folder of {path} does not exist; make it or choose another place.")
    reason = (error.strerror or "output error").lower()
    return InputError(f"{path} cannot be written ({reason}); choose another place.")


def sync_folder(folder: Path) -> None:
    """Make the rename survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
