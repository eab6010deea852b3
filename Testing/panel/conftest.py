"""The panel on the stand-ins: real MRML, PySide6 off screen with PythonQt's rules."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
HERE = Path(__file__).resolve().parent
for folder in (HERE / "support", HERE.parent / "slicer_app"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture
def profiles_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles of this test only."""
    monkeypatch.setenv("SPASEGMENT_PROFILES", str(tmp_path / "profiles"))
    return tmp_path / "profiles"


@pytest.fixture
def application(tmp_path: Path, profiles_folder: Path) -> Iterator[Any]:
    """The application with a main window; the test fails on every error line and on PythonQt's complaints."""
    for needed, why in (("slicer", "slicer-core"), ("PySide6", "PySide6-Essentials")):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{why} is not installed (the extra `viewer` brings slicer-core, `panel` PySide6)")
    from application import PanelApplication
    from slicer_log import ErrorLog

    log = ErrorLog()
    log.open()
    try:
        app = PanelApplication(log, tmp_path)
        try:
            yield app
        finally:
            app.close()
    finally:
        log.close()
    from scenarios import SLICERS_OWN

    log.errors[:] = [line for line in log.errors if not any(own in line for own in SLICERS_OWN)]
    log.check()
    app.check()


@pytest.fixture
def nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """No neighbouring slice is encoded ahead: answers are the same, and tests end sooner."""
    from SPASegmentLib.inference.local import LocalEngine

    monkeypatch.setattr(LocalEngine, "warm", None)


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal requests are answered once: answers are the same, and tests end sooner."""
    import answers

    from SPASegmentLib.inference.local import LocalEngine

    compute = LocalEngine.propose

    def propose(engine: Any, asked: Any, cancel: Any = None) -> Any:
        return answers.remembered(partial(compute, engine), engine, asked, cancel)

    monkeypatch.setattr(LocalEngine, "propose", propose)


@pytest.fixture
def user(application: Any, nothing_ahead: None, remembering: None, tmp_path: Path) -> Any:
    """At the open panel, the rotated volume chosen, before a seed."""
    application.open_panel()
    import scenarios
    from SPASegmentWidgets import selftest

    user = selftest.open_panel(tmp_path)
    user.node, user.ras = scenarios.rotated_volume()
    user.choose_volume(user.node)
    scenarios.look(user, "axial", user.ras)
    return user
