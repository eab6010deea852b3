"""What of given bytes a server has left on disks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

IN_MEMORY = ("tmpfs", "ramfs", "proc", "sysfs", "devtmpfs", "devpts", "cgroup2", "anon_inodefs", "mqueue")


def is_in_memory(path: Path) -> bool:
    """Whether a path is on a file system in memory."""
    best, kind = "", "?"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, one, *_ = line.split(" ")
        if len(mount) >= len(best) and Path(mount) in (path, *path.parents):
            best, kind = mount, one
    return kind in IN_MEMORY


def written_since(when: float, folders: Iterable[Path]) -> Iterator[Path]:
    """Files on disks below folders that were written to after a time (of the clock)."""
    for folder in folders:
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= when:
                    yield path


def open_on_disk(pids: Iterable[int]) -> Iterator[Path]:
    """What processes have open on disks, files without a name included."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for one in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    name = Path(os.readlink(one).removesuffix(" (deleted)"))  # noqa: PTH115
                    if name.is_absolute() and one.is_file() and not is_in_memory(name.parent):
                        yield one


def holding(needles: Iterable[bytes], paths: Iterable[Path]) -> list[Path]:
    """Which of the files hold one of the needles."""
    wanted, found = list(needles), []
    for path in paths:
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            if any(needle in content for needle in wanted):
                found.append(path)
    return found
