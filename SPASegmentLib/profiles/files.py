"""Files that survive: a lock between processes, whole-file writes that are on the disk when they return.

The lock belongs to an open file, so that it goes with a process that dies, however it dies. It also works
between machines on a shared folder whose file system passes locks on (NFS since version 4, SMB).
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from SPASegmentLib.errors import ProfileError

logger = logging.getLogger(__name__)

LOCK_SECONDS: Final = 30.0
"""How long to wait for another window before saying so."""
_PAUSE: Final = 0.005
_RETRIES: Final = 100
TEMPORARY_SUFFIX: Final = ".part"


@contextlib.contextmanager
def locked(path: Path, timeout: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock file `path` alone among all processes and threads.

    Raises ProfileError where another process holds it for longer than `timeout` seconds or it cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _mode(path.parent))
    except OSError as error:
        raise unwritable(path.parent, error) from error
    try:
        _share(descriptor, path.parent)
        deadline = time.monotonic() + timeout
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise ProfileError(
                    "The profiles are being written by another window that does not finish; "
                    "close it, or wait and try again."
                )
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            _unlock(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file's content, or leave it as it was; what returned is on the disk.

    Raises ProfileError where that fails (full disk, no right to write); nothing is lost then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _mode(path.parent))
        try:
            _share(descriptor, path.parent)
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def remove_temporaries(folder: Path) -> None:
    """Clear what killed processes left half-written. Only while holding the folder's lock."""
    for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder inside an existing one, as open to others as that is. Raises ProfileError."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            folder.chmod(stat.S_IMODE(folder.parent.stat().st_mode))


def move(source: Path, target: Path) -> None:
    """Move a file or folder within a file system, durably. Raises ProfileError."""
    try:
        _replace(source, target)
        sync_folder(target.parent)
    except OSError as error:
        raise unwritable(target, error) from error


def read_limited(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes; nothing else is opened.

    Raises ProfileError for anything missing, unreadable, larger, or not a regular file (pipe, device).
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ProfileError(f"{path.name} is not a file; choose a profile file.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise ProfileError(f"There is no file {path.name}; check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its path is not valid"
        raise ProfileError(f"{path.name} cannot be read ({reason}).") from error
    if len(data) > limit:
        raise ProfileError(f"{path.name} is larger than {limit // 2**20} MB, which no profile is.")
    return data


def sync_folder(folder: Path) -> None:
    """Put the folder's entries on the disk (Windows does so by itself)."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # a folder one may write to but not list
    try:
        os.fsync(descriptor)
    except OSError:
        logger.debug("This file system does not sync folders.")
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> ProfileError:
    """The sentence for a write that failed."""
    reason = error.strerror or type(error).__name__
    return ProfileError(
        f"The profile could not be saved ({reason}): make room or choose another folder than {path.parent}; "
        "what was saved before is untouched."
    )


def _mode(folder: Path) -> int:
    """A file is as open to others as its folder, so that a department can share one."""
    try:
        return stat.S_IMODE(folder.stat().st_mode) & 0o666 | 0o600
    except OSError:
        return 0o600


def _share(descriptor: int, folder: Path) -> None:
    """Give the file the folder's mode whatever the umask; another user's file is left as it is."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, _mode(folder))


def _replace(source: Path, target: Path) -> None:
    """Rename over; on Windows a reader may hold the target for a moment."""
    for attempt in range(_RETRIES):
        try:
            source.replace(target)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == _RETRIES - 1:
                raise
            time.sleep(_PAUSE)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ProfileError(
                f"The profile folder's file system gives no locks ({error.strerror}); choose another folder."
            ) from error
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
