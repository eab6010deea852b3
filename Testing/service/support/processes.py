"""The processes below a server's, as Linux tells them."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path


def below(pid: int) -> dict[int, str]:
    """All descendants of a process: their command lines by their ids."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            one = int(entry.name)
            parents[one] = int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            commands[one] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    found, waiting = {}, [pid]
    while waiting:
        parent = waiting.pop()
        children = [one for one, its in parents.items() if its == parent]
        found |= {one: commands.get(one, "") for one in children}
        waiting += children
    return found


def replicas(pid: int) -> list[int]:
    """The replicas of a server."""
    return sorted(one for one, command in below(pid).items() if "ServeReplica:spasegment" in command)


def proxies(pid: int) -> list[int]:
    """What of a server takes requests in and hands them to replicas."""
    return sorted(one for one, command in below(pid).items() if "ProxyActor" in command)


def session_folder(pid: int) -> Path:
    """Where the Ray of a server writes."""
    (found,) = {
        match[1] for one in below(pid).values() if (match := re.search(r"raylet .*--session_dir=(\S+)", one))
    }
    return Path(found)


def is_there(pid: int) -> bool:
    """Whether a process runs, and is more than the remains of one."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
