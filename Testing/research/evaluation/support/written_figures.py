"""What an evaluation wrote, for comparison with another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TIMES = {"seconds", "seconds_per_click", "seconds_per_pick", "peak_memory_mb", "machine"}


def without_times(value: Any) -> Any:
    """The value without what differs from run to run: times, memory, and how many processes there were."""
    if isinstance(value, dict):
        return {key: without_times(part) for key, part in value.items() if key not in TIMES}
    return [without_times(part) for part in value] if isinstance(value, list) else value


def figures(out: Path) -> dict[str, Any]:
    """All a run wrote, without times."""
    read = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")}
    for path in (out / "cases").glob("*.jsonl"):
        read[path.name] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(read) >= 3
    return without_times(read)
