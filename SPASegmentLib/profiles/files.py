"""Files that survive: a lock between processes, whole-file writes that are on the disk when they return.

The lock belongs to an open file, so that it goes with a process that dies, however it dies. It also works
between machines on a shared folder whose file system passes locks on (NFS since version 4, SMB).
"""

from __future__ import annotations

import contextlib
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from SPASegmentLib.errors import ProfileError
from SPASegmentLib.imaging.atomic import atomic_file, mode_of, move_durably

LOCK_SECONDS: Final = 30.0
"""How long to wait for another window before saying so."""
_PAUSE: Final = 0.005
TEMPORARY_SUFFIX: Final = ".part"


@contextlib.contextmanager
def locked(path: Path, timeout: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock file `path` alone among all processes and threads.

    Raises ProfileError where another process holds it for longer than `timeout` seconds or it cannot be made.
    """
    lock = FileLock(path, timeout=timeout, mode=mode_of(path.parent), poll_interval=_PAUSE)
    try:
        lock.acquire()
    except Timeout as error:
        raise ProfileError(
            "The profiles are being written by another window that does not finish; "
            "close it, or wait and try again."
        ) from error
    except NotImplementedError as error:
        raise ProfileError(
            f"The file system of {path.parent} gives no locks; choose another profile folder."
        ) from error
    except OSError as error:
        raise unwritable(path.parent, error) from error
    try:
        yield
    finally:
        lock.release()


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file's content, or leave it as it was; what returned is on the disk.

    Raises ProfileError where that fails (full disk, no right to write); nothing is lost then.
    """
    with atomic_file(path, like_folder=True, refusal=unwritable) as file:
        file.write(data)


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
        move_durably(source, target)
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


def unwritable(path: Path, error: OSError) -> ProfileError:
    """The sentence for a write that failed."""
    reason = error.strerror or type(error).__name__
    return ProfileError(
        f"The profile could not be saved ({reason}): make room or choose another folder than {path.parent}; "
        "what was saved before is untouched."
    )
