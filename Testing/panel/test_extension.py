"""The entry for the Extensions Index, by that index's rules, and the workflow that runs in the real Slicer.

The rules are those of the index's own checks and of its checklist for tier 1 and 3, as of August 2026. What
only its host can say (that an address answers, the repository's topics) is in CONTRIBUTING.md.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "SPASegment.json"
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
LICENCE_NAMES = ("LICENSE", "LICENCE", "License.txt", "license.txt", "LICENSE.txt", "COPYING", "COPYING.txt")
LARGEST = 100 * 2**20
"""Bytes of a clone, the folder .git with it."""
TEXT = {"type": "string", "minLength": 1}
SCHEMA = {
    "type": "object",
    "required": ["$schema", "category", "scm_url"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"pattern": r"/slicer-extension-catalog-entry-schema-v1\.0\.[012]\.json#?$"},
        "category": TEXT,
        "scm_url": TEXT,
        "scm_revision": TEXT,
        "scm_type": {"enum": ["git", "local"]},
        "build_dependencies": {"type": "array", "items": TEXT},
        "build_subdirectory": TEXT,
        "enabled": {"type": "boolean"},
        "tier": {"enum": [1, 3, 5]},
    },
}
"""What version 1.0.1 of the index's schema allows."""


@pytest.fixture
def entry() -> dict:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


def variable(name: str) -> str:
    """A variable of CMakeLists.txt, as the index looks for it."""
    (value,) = re.findall(rf'set\s*\({name}\s*"([^"]+)"[ ]*\)', CMAKE)
    return value


def test_the_entry_fits_the_schema_of_the_index(entry: dict) -> None:
    jsonschema.validate(entry, SCHEMA)
    for broken in ({"tier": 2}, {"build_dependencies": "PyTorch"}, {"icon": "x"}, {"category": ""}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(entry | broken, SCHEMA)


def test_the_entry_is_written_as_the_index_formats_it(entry: dict) -> None:
    content = ENTRY.read_bytes()
    assert b"\r" not in content
    assert content.decode() == json.dumps(entry, indent=2) + "\n"
    assert list(entry) == sorted(entry)


def test_names_and_address_are_as_the_index_wants_them(entry: dict) -> None:
    extension = ENTRY.stem
    assert re.findall(r"project\s*\(\s*([^\s)]+)", CMAKE)[:1] == [extension]
    assert not extension.lower().startswith("slicer")
    address = urlsplit(entry["scm_url"])
    assert address.scheme in ("https", "git")
    assert address.path.rsplit("/", 1)[-1].removesuffix(".git") == f"Slicer{extension}"
    assert entry["scm_revision"] == "main"


def test_the_index_entry_agrees_with_the_extension(entry: dict) -> None:
    assert entry["scm_url"] == f"{variable('EXTENSION_HOMEPAGE')}.git"
    assert entry["build_dependencies"] == variable("EXTENSION_DEPENDS").split()
    assert entry["category"] == variable("EXTENSION_CATEGORY") == "Segmentation"
    assert entry["tier"] == 1
    assert 1 <= len(re.findall(r"\.(?:\s|$)", variable("EXTENSION_DESCRIPTION"))) <= 2, "sentences"


def test_icon_and_screenshots_are_pictures_of_this_repository(entry: dict) -> None:
    addresses = [variable("EXTENSION_ICONURL"), *variable("EXTENSION_SCREENSHOTURLS").split()]
    assert len(addresses) > 1
    start = entry["scm_url"].removesuffix(".git").replace("github.com", "raw.githubusercontent.com")
    for address in addresses:
        path = ROOT / address.removeprefix(f"{start}/{entry['scm_revision']}/")
        assert path.is_file() and path != ROOT / address, address
        head = path.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", head[16:24])) >= 128


def test_the_licence_is_at_the_root_and_named_on_the_homepage() -> None:
    found = [name for name in LICENCE_NAMES if (ROOT / name).is_file()]
    assert found and "Apache License" in (ROOT / found[0]).read_text(encoding="utf-8")
    assert "Apache-2.0" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_homepage_has_what_the_checklist_asks() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for asked in ("# SPASegment", "![", "## In 3D Slicer", "Sample Data", "## Citation", "models delete"):
        assert asked in page, asked


def test_what_only_the_host_can_show_is_written_down() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for asked in ("SlicerSPASegment", "3d-slicer-extension", "100 MB", "SPASegment.json"):
        assert asked in page, asked


@pytest.mark.long
def test_a_clone_without_history_is_below_the_limit(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    address = ROOT.as_uri()
    subprocess.run(["git", "clone", "-q", "--depth", "1", address, str(tmp_path / "clone")], check=True)
    sizes = [path.stat().st_size for path in (tmp_path / "clone").rglob("*") if path.is_file()]
    assert 2**20 < sum(sizes) < LARGEST


def test_the_workflow_runs_on_three_systems_and_fails_where_nothing_ran() -> None:
    text = (ROOT / ".github" / "workflows" / "slicer.yml").read_text(encoding="utf-8")
    for system in ("ubuntu", "macos", "windows"):
        assert f"os: {system}" in text
    assert "-m slicer" in text
    assert "no test ran in Slicer" in text
