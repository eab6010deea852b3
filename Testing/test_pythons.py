"""Every Python that is supported reads the code, and is named wherever Pythons are named."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
COMPILE = """
import pathlib, sys
for folder in sys.argv[1:]:
    for path in pathlib.Path(folder).rglob("*.py"):
        compile(path.read_bytes(), str(path), "exec")
print("read by", "%d.%d" % sys.version_info[:2])
"""


def test_the_same_pythons_are_supported_tested_and_set_up() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project) == list(PYTHONS)
    assert f'requires-python = ">={PYTHONS[0]}"' in project
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == list(PYTHONS)
    setup = (ROOT / ".ci" / "setup").read_text(encoding="utf-8")
    assert f"needs Python {PYTHONS[0]} to {PYTHONS[-1]}" in setup


def interpreter(version: str) -> str | None:
    """A Python of that version: on the path, or kept by pyenv, whose stand-ins on the path may do nothing."""
    kept = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")
    for command in (f"python{version}", *map(str, kept)):
        with contextlib.suppress(OSError):
            if subprocess.run([command, "-c", ""], capture_output=True, check=False).returncode == 0:
                return command
    return None


@pytest.mark.parametrize("version", PYTHONS)
def test_the_code_is_read_by(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed here")
    command = [python, "-W", "error", "-c", COMPILE, "SPASegmentLib", "SPASegment"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.stdout.split() == ["read", "by", version], done.stderr[-2000:]
