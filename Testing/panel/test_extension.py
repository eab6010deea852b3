"""The entry for the Extensions Index and the workflow that runs in the real Slicer."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_index_entry_agrees_with_the_extension() -> None:
    entry = json.loads((ROOT / "SPASegment.json").read_text(encoding="utf-8"))
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    homepage = re.search(r'EXTENSION_HOMEPAGE "([^"]+)"', cmake)
    depends = re.search(r'EXTENSION_DEPENDS "([^"]+)"', cmake)
    assert homepage and entry["scm_url"] == f"{homepage.group(1)}.git"
    assert depends and entry["build_dependencies"] == depends.group(1).split()
    assert f'EXTENSION_CATEGORY "{entry["category"]}"' in cmake
    assert (entry["scm_revision"], entry["tier"]) == ("main", 1)
    assert entry["scm_url"].endswith("/SlicerSPASegment.git")


def test_the_workflow_runs_on_three_systems_and_fails_where_nothing_ran() -> None:
    text = (ROOT / ".github" / "workflows" / "slicer.yml").read_text(encoding="utf-8")
    for system in ("ubuntu", "macos", "windows"):
        assert f"os: {system}" in text
    assert "-m slicer" in text
    assert "no test ran in Slicer" in text


def test_every_picture_the_index_shows_is_there() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for path in re.findall(r"/main/([\w/.-]+\.png)", cmake):
        assert (ROOT / path).is_file(), path
