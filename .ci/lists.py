"""Brings the lists of files in CMakeLists.txt up to date: what is not listed is not in the package."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (
    "SPASegmentLib/research/",
    "SPASegmentLib/cli/",
    "SPASegmentLib/viewer/",
    "SPASegmentLib/service/server/",
)
"""What a clinician's installation does without: the wheel has it, the extension's package has not."""


def files(folder: str) -> list[str]:
    """Files below a folder that git keeps or would keep, relative to the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", folder]
    listed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    ).stdout.splitlines()
    return sorted(
        {name for name in listed if (ROOT / name).is_file() and not name.endswith("CMakeLists.txt")}
    )


def update(path: Path, lists: dict[str, list[str]]) -> None:
    """Write each set(NAME ...) of a CMake file anew."""
    text = path.read_text(encoding="utf-8")
    for name, entries in lists.items():
        body = "".join(f"  {entry}\n" for entry in entries)
        text, found = re.subn(rf"set\({name}\n[^)]*\)", f"set({name}\n{body}  )", text)
        if found != 1:
            raise SystemExit(f"{path.name} should have one list {name}, not {found}")
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Update both CMake files."""
    library, module = (
        [name for name in files("SPASegmentLib") if not name.startswith(LEFT_OUT)],
        [name.removeprefix("SPASegment/") for name in files("SPASegment")],
    )
    update(
        ROOT / "CMakeLists.txt",
        {
            "LIBRARY_SCRIPTS": [name for name in library if name.endswith(".py")],
            "LIBRARY_RESOURCES": [name for name in library if not name.endswith(".py")]
            + files("Resources/Models"),
        },
    )
    update(
        ROOT / "SPASegment" / "CMakeLists.txt",
        {
            "MODULE_PYTHON_SCRIPTS": [name for name in module if name.endswith(".py")],
            "MODULE_PYTHON_RESOURCES": [name for name in module if not name.endswith(".py")],
        },
    )


if __name__ == "__main__":
    main()
