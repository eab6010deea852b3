"""Folders of this account: named, usual, or none where it has no home."""

from __future__ import annotations

from pathlib import Path

import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.own_folders import own_folder


def no_home() -> Path:
    raise RuntimeError("could not determine the home directory")


def test_the_named_folder_comes_before_the_usual_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    monkeypatch.delenv("MINE", raising=False)
    assert own_folder("MINE", lambda: usual) == usual
    monkeypatch.setenv("MINE", str(tmp_path / "named"))
    assert own_folder("MINE", no_home) == tmp_path / "named"


@pytest.mark.parametrize(
    ("named", "usual"), [("", no_home), ("", lambda: Path("~/.local/share")), ("~nobody-at-all/x", Path)]
)
def test_without_a_home_folder_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, named: str, usual: object
) -> None:
    monkeypatch.setenv("MINE", named)
    with pytest.raises(InputError, match="no home folder to keep files in; set HOME, or MINE"):
        own_folder("MINE", usual)  # type: ignore[arg-type]
