"""The module loads, explains itself and leaves cleanly, with nothing of its own installed."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a fresh Slicer: none of the heavy packages can be found."""
    import importlib.util

    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        hidden = {"torch", "segment_anything", "scipy"}
        return None if name.split(".")[0] in hidden else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_the_panel_opens_and_says_what_it_needs_with_nothing_installed(
    application: Any, nothing_installed: None
) -> None:
    widget = application.open_panel()
    assert widget.ui.installFrame.visible
    assert not widget.ui.workArea.visible
    assert "torch" in widget.ui.installText.text
    assert "GB" in widget.ui.installText.text
    assert widget.panel.controller is None


def test_everything_installed_shows_the_work_area(application: Any) -> None:
    widget = application.open_panel()
    assert not widget.ui.installFrame.visible
    assert widget.ui.workArea.visible
    assert "volume" in widget.ui.statusLabel.text.lower()


@pytest.mark.long
def test_the_self_test_of_the_module_passes(application: Any) -> None:
    application.open_panel()
    application.module.SPASegmentTest().runTest()
