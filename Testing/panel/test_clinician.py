"""A clinician's session, through the widgets, with the shipped model and real MRML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def user(application: Any, tmp_path: Path) -> Any:
    """At the open panel, with a profile store of their own."""
    application.open_panel()
    from SPASegmentWidgets import selftest

    return selftest.open_panel(tmp_path)


@pytest.mark.parametrize("plane", ["axial", "sagittal", "coronal", "oblique"])
def test_a_clinicians_session_puts_every_voxel_where_it_belongs(
    user: Any, tmp_path: Path, plane: str
) -> None:
    import scenarios

    scenarios.clinician(user, tmp_path, plane)


def test_a_whole_object_is_followed_reviewed_and_taken_back(user: Any, tmp_path: Path) -> None:
    import scenarios

    scenarios.whole_object(user, tmp_path)
