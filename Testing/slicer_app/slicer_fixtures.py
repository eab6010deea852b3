"""Fixtures for tests on real MRML. Register them in a folder's conftest.py:

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slicer_app"))
from slicer_fixtures import *
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

__all__ = ["a_volume_node", "add_volume", "offscreen_views", "slicer_app"]


@pytest.fixture
def slicer_app() -> Iterator[Any]:
    """The stand-in of the application; the test fails on any error in Slicer's log."""
    pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")
    from slicer_log import ErrorLog
    from slicer_stand_in import StandIn

    log = ErrorLog()
    log.open()
    try:
        app = StandIn(log)
        try:
            yield app
        finally:
            app.close()
    finally:
        log.close()
    log.check()


@pytest.fixture
def add_volume(slicer_app: Any) -> Callable[..., Any]:
    """Make a volume node of an imaging Volume; scalar or RGB."""
    from slicer_volumes import add_volume_node

    def add(volume: Any) -> Any:
        return add_volume_node(slicer_app.scene, volume)

    return add


@pytest.fixture
def a_volume_node(add_volume: Callable[..., Any]) -> Any:
    """A small rotated, anisotropic, CT-like volume: 24 x 40 x 36 voxels of 3 x 0.9 x 0.7 mm, one ball."""
    from slicer_volumes import small_volume

    return add_volume(small_volume(np.random.default_rng(0)))


@pytest.fixture
def offscreen_views(slicer_app: Any) -> Iterator[Any]:
    """Real slice views without a window: `add(tag, orientation, size)`, `show(volume)`, `picture(tag)`."""
    pytest.importorskip("trame_slicer", reason="trame-slicer is not installed (the extra `viewer` brings it)")
    from slicer_views import OffscreenViews

    views = OffscreenViews(slicer_app)
    yield views
    views.close()
