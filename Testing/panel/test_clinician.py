"""A clinician's session and a button masher, through the widgets, with the shipped model and real MRML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ACTIONS = int(os.environ.get("SPASEGMENT_MASHER", "400"))
"""5,000 in the long run; the short one finds most and takes seconds."""


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


def test_no_order_of_buttons_breaks_anything_or_loses_a_voxel(user: Any, tmp_path: Path) -> None:
    import scenarios

    assert scenarios.masher(user, tmp_path, actions=ACTIONS, seed=7) > 5
