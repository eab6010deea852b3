from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from SPASegmentLib.profiles.store import ProfileStore

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "support" / "killing.py"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_two_hundred_kills_while_two_processes_write_lose_no_acknowledged_pick(tmp_path: Path):
    store = ProfileStore(tmp_path / "profiles")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(store.folder), "200", "7"],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
    counts = re.fullmatch(r"200 kills, (\d+) lessons, (\d+) taken back\n", done.stdout)
    assert counts is not None and int(counts[1]) >= 50 and int(counts[2]) >= 1

    assert len(store.history("P")) <= 11 and not any(v.problem for v in store.history("P"))
    assert not list(store.folder.glob("*.damaged-*"))
    store.reset("P")
    assert not list(store.folder.rglob("*.part"))
