"""A server that computes for the panel: set, tried, lost and found again, with a real one as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "service" / "support"))

from servers import Line, running  # noqa: E402

from SPASegmentLib.service.server.keys import add_key  # noqa: E402


@pytest.fixture(scope="module")
def a_key(a_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A keys file and the key in it."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, add_key(path, "Ann")


@pytest.fixture(scope="module")
def a_server(a_model: Path, a_key: tuple[Path, str]) -> Iterator[Any]:
    """A server that has the tiny model and lets Ann in."""
    with running("--engine", "local", "--model", a_model, "--device", "cpu", "--keys", a_key[0]) as server:
        yield server


@pytest.fixture
def a_line(a_server: Any) -> Iterator[Line]:
    line = Line(a_server.port)
    yield line
    line.close()


@pytest.fixture
def open_at(application: Any, a_model: Path, tmp_path: Path) -> Callable[..., Any]:
    """Opens the panel with the tiny model chosen, and a server where one is named."""

    def open_at(**more: Any) -> Any:
        from PySide6 import QtCore

        saved = json.dumps({"model": str(a_model), "device": "cpu", **more})
        QtCore.QSettings().setValue("SPASegment/settings", saved)
        application.open_panel()
        import scenarios
        from SPASegmentWidgets import selftest

        user = selftest.open_panel(tmp_path)
        user.node, user.ras = scenarios.rotated_volume()
        user.choose_volume(user.node)
        scenarios.look(user, "axial", user.ras)
        return user

    return open_at


def outcome_of_the_test(user: Any) -> str:
    """What the panel says after the connection was tested."""
    user.click("serverTestButton")
    user.until(lambda: user.ui.serverTestButton.enabled, 20)
    return str(user.ui.serverSaid.text)


def set_server(user: Any, address: str, key: str = "") -> None:
    """Typed, and the field left."""
    user.ui.serverEdit.text, user.ui.serverKeyEdit.text = address, key
    user.panel.server.on_edited()


@pytest.mark.long
def test_a_server_that_is_set_computes_and_is_there_again_after_a_restart(
    open_at: Any, application: Any, a_server: Any, a_key: tuple[Path, str]
) -> None:
    user = open_at()
    before = len(a_server.log)
    set_server(user, a_server.address, a_key[1])
    user.seed(user.ras)
    assert "on server 127.0.0.1." in str(user.ui.modelStatusLabel.text), user.status
    user.press("cardPicture1")
    user.press("approveButton")
    assert user.voxels().any()
    user.press("wholeObjectButton")
    assert "Whole object" in user.status
    assert a_server.log[before:].count("POST /v1/propose 200") >= 3
    application.reload_module()
    again = application.widget.panel
    assert (again.settings.server, again.settings.server_key) == (a_server.address, a_key[1])
    assert str(again.ui.serverEdit.text) == a_server.address


def test_the_key_is_neither_shown_nor_saved_with_the_scene(
    open_at: Any, a_server: Any, a_key: tuple[Path, str], tmp_path: Path
) -> None:
    import zipfile

    import slicer

    user = open_at(server=a_server.address, server_key=a_key[1])
    user.seed(user.ras)
    assert user.screen.recommendation is not None
    assert user.ui.serverKeyEdit.displayText != a_key[1]
    assert a_key[1] not in repr(user.panel.settings)
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    with zipfile.ZipFile(path) as saved:
        for name in saved.namelist():
            assert a_key[1].encode() not in saved.read(name), name


def test_the_button_says_in_a_sentence_what_is_wrong(
    open_at: Any, a_server: Any, a_key: tuple[Path, str], a_line: Line
) -> None:
    user = open_at()
    said = {"none": outcome_of_the_test(user)}
    for case, address, key in (
        ("good", a_server.address, a_key[1]),
        ("key", a_server.address, "wrong"),
        ("refused", "127.0.0.1:9", ""),
        ("plain", "http://segment.example.org", ""),
        ("address", "no address", ""),
    ):
        user.ui.serverEdit.text, user.ui.serverKeyEdit.text = address, key
        said[case] = outcome_of_the_test(user)
    a_line.cut = True
    user.ui.serverEdit.text = f"127.0.0.1:{a_line.port}"
    said["cut"] = outcome_of_the_test(user)
    assert said["none"] == "No server is set: this computer computes."
    assert said["good"] == f"Connected to {a_server.address}, which computes with the model tiny."
    assert "does not know this key" in said["key"]
    assert "nothing listens there; check the address" in said["refused"]
    assert "has no https" in said["plain"]
    assert "is no server's address" in said["address"]
    assert "it does not answer" in said["cut"]
    user.panel.settings.model = "general"
    user.ui.serverEdit.text, user.ui.serverKeyEdit.text = a_server.address, a_key[1]
    assert "no model general; it has tiny" in outcome_of_the_test(user)


@pytest.mark.alone
def test_testing_does_not_stop_the_interface(open_at: Any, a_line: Line) -> None:
    user = open_at()
    a_line.cut = True
    set_server(user, f"127.0.0.1:{a_line.port}")
    started = time.monotonic()
    user.click("serverTestButton")
    assert time.monotonic() - started < 0.5
    assert "Testing" in str(user.ui.serverSaid.text) and not user.ui.serverTestButton.enabled
    user.until(lambda: user.ui.serverTestButton.enabled, 20)


def test_an_address_that_cannot_be_used_leaves_the_server_that_was_set(open_at: Any, a_server: Any) -> None:
    user = open_at(server=a_server.address)
    set_server(user, "http://segment.example.org")
    assert user.panel.settings.server == a_server.address
    assert "has no https" in str(user.ui.serverSaid.text)


def test_the_section_fits_the_panel_and_a_long_sentence_does_not_widen_it(
    open_at: Any, application: Any, a_server: Any
) -> None:
    import pythonqt

    def settle() -> None:
        for _ in range(5):
            application.processEvents()

    user = open_at(server=a_server.address)
    application._window.centralWidget().setFixedSize(440, 720)
    user.ui.advancedSection.collapsed = False
    user.panel.server._say("The server https://segmentation.a-long-name.example.org does not answer. " * 3)
    settle()
    panel = pythonqt.unwrap(application._parent)
    said, button = (pythonqt.unwrap(one) for one in (user.ui.serverSaid, user.ui.serverTestButton))
    assert said.height() >= said.heightForWidth(said.width()), "the sentence is cut off"
    assert button.width() >= button.fontMetrics().horizontalAdvance(button.text())
    for edit in (user.ui.serverEdit, user.ui.serverKeyEdit):
        assert pythonqt.unwrap(edit).width() >= 120
    width = panel.minimumSizeHint().width()
    for name in ("serverEdit", "serverKeyEdit", "serverTestButton", "serverSaid"):
        getattr(user.ui, name).visible = False
    settle()
    assert panel.minimumSizeHint().width() == width, "the section makes the panel wider"


@pytest.mark.long
@pytest.mark.alone
def test_a_lost_server_is_noticed_within_ten_seconds_and_the_session_goes_on_here(
    open_at: Any, a_server: Any, a_key: tuple[Path, str], a_line: Line
) -> None:
    user = open_at(server=f"127.0.0.1:{a_line.port}", server_key=a_key[1])
    user.seed(user.ras)
    assert "on server" in str(user.ui.modelStatusLabel.text)
    a_line.close()
    started = time.monotonic()
    user.press("cardPicture1")
    assert 9.0 < time.monotonic() - started < 20.0
    assert user.screen.iteration == 2
    assert "does not answer, so this was computed on this computer" in str(user.ui.warningsLabel.text)
    started = time.monotonic()
    user.press("cardPicture1")
    assert user.screen.iteration == 3 and time.monotonic() - started < 5.0
    assert "on CPU" in str(user.ui.modelStatusLabel.text)


@pytest.mark.long
def test_without_torch_the_page_of_the_installation_offers_a_server_and_the_panel_works(
    a_server: Any, a_key: tuple[Path, str], tmp_path: Path
) -> None:
    """In a process of its own that cannot import torch at all: a slice, a profile, a whole object."""
    code = f"""
import sys
for name in ("torch", "segment_anything"):
    sys.modules[name] = None
sys.path[:0] = [{str(ROOT / "Testing/panel/support")!r}, {str(ROOT / "Testing/slicer_app")!r}]
from pathlib import Path
from slicer_log import ErrorLog
from application import PanelApplication
app = PanelApplication(ErrorLog(), Path({str(tmp_path)!r}))
from SPASegmentLib.inference import config
widget = app.open_panel()
import scenarios
from SPASegmentWidgets.clinician import Clinician
user = Clinician(widget)
assert "torch" in widget.ui.installText.text and widget.panel.controller is None
widget.panel.settings.model = "tiny.safetensors"
user.answers.answers = [{a_server.address!r}, {a_key[1]!r}]
user.click("installServerButton")
assert widget.panel.controller is not None, widget.ui.installStep.text
node, ras = scenarios.rotated_volume()
user.choose_volume(node)
scenarios.look(user, "axial", ras)
user.answers.answers = ["Dr. A"]
user.press("newProfileButton")
user.seed(ras)
user.press("cardPicture1")
user.press("approveButton")
user.until(lambda: user.screen.profile_images == 1)
user.press("wholeObjectButton")
assert "Whole object" in user.status, user.status
user.ui.serverEdit.text = ""
user.panel.server.on_edited()
assert widget.ui.installFrame.visible and not widget.ui.workArea.visible
app.check()
print("used")
import os; os._exit(0)
"""
    environment = {**os.environ, "SPASEGMENT_PROFILES": str(tmp_path / "profiles")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=environment,
        timeout=120,
    )
    assert "used" in done.stdout, done.stderr[-3000:]
