"""The panel as a user sees it: nothing clipped at 1280x800, readable on light and dark.

SPASEGMENT_SCREENSHOTS=docs/images writes the pictures of the documentation anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WIDTH, HEIGHT = 440, 720


@pytest.fixture
def a_panel_with_a_proposal(application: Any, nothing_ahead: None, remembering: None, tmp_path: Path) -> Any:
    """The panel after a seed on the sample, with a profile."""
    application.open_panel(WIDTH)
    from SPASegmentWidgets import selftest
    from SPASegmentWidgets.sample_data import add_sample, sample_seeds

    user = selftest.open_panel(tmp_path)
    user.choose_volume(add_sample())
    user.answers.answers = ["Dr. A, nodules"]
    user.press("newProfileButton")
    ras = sample_seeds()[selftest.NODULE]
    user.look_at(ras)
    user.seed(ras)
    return user


@pytest.fixture(params=["light", "dark"])
def palette(request: pytest.FixtureRequest) -> Iterator[str]:
    """Slicer's two looks."""
    import pythonqt
    from PySide6 import QtGui, QtWidgets

    app = pythonqt.application()
    before, style = app.palette(), app.style().objectName()
    app.setStyle(QtWidgets.QStyleFactory.create("Fusion"))
    colors = {"light": ("#f4f4f5", "#ffffff", "#1d1f22"), "dark": ("#313338", "#25272b", "#eceef1")}
    window, base, text = (QtGui.QColor(c) for c in colors[request.param])
    palette = QtGui.QPalette(window)
    role = QtGui.QPalette.ColorRole
    for one, color in (
        (role.Base, base),
        (role.Text, text),
        (role.WindowText, text),
        (role.ButtonText, text),
    ):
        palette.setColor(one, color)
    grey = QtGui.QColor("#8b8f96")
    for one in (role.Text, role.WindowText, role.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, one, grey)
    app.setPalette(palette)
    yield request.param
    app.setPalette(before)
    app.setStyle(style)


def test_the_panel_is_clear_and_nothing_is_clipped(
    palette: str, a_panel_with_a_proposal: Any, application: Any, tmp_path: Path
) -> None:
    import pythonqt
    from PySide6 import QtWidgets

    area = application._window.centralWidget()
    area.setFixedSize(WIDTH, HEIGHT)
    application._window.adjustSize()
    for _ in range(5):
        application.processEvents()
    panel = pythonqt.unwrap(application._parent)
    assert panel.minimumSizeHint().width() <= WIDTH - 16, "a horizontal scroll bar is needed"
    for button in panel.findChildren(QtWidgets.QPushButton):
        if button.isVisible():
            needed = button.fontMetrics().horizontalAdvance(button.text())
            assert button.width() >= needed, f"{button.objectName()} is clipped: {button.text()}"
    cards = panel.findChild(QtWidgets.QFrame, "card4")
    bottom = cards.mapTo(panel, cards.rect().bottomLeft()).y()
    assert bottom < HEIGHT, "the fourth card lies below the screen"
    for number in range(5):
        picture = panel.findChild(QtWidgets.QToolButton, f"cardPicture{number}")
        assert not picture.icon().isNull()
    folder = Path(os.environ.get("SPASEGMENT_SCREENSHOTS", tmp_path))
    name = "panel.png" if palette == "light" else "panel-dark.png"
    assert area.grab().save(str(folder / name))


def test_all_that_a_slice_needs_fits_above_the_data_probe(
    a_panel_with_a_proposal: Any, application: Any
) -> None:
    """At 1280x800 the panel has some 420 pixels of height there, below the title and the help.

    15 of them are left for the application's larger letters.
    """
    import pythonqt
    from PySide6 import QtWidgets

    user = a_panel_with_a_proposal
    application._window.centralWidget().setFixedSize(WIDTH, HEIGHT)
    application._window.adjustSize()
    for _ in range(5):
        application.processEvents()
    panel = pythonqt.unwrap(application._parent)
    for name in ("statusLabel", "seedButton", "approveButton", "card4", "undoButton", "nextSliceButton"):
        widget = panel.findChild(QtWidgets.QWidget, name)
        bottom = widget.mapTo(panel, widget.rect().bottomLeft()).y()
        assert widget.isVisible() and bottom < 405, f"{name} ends at {bottom}"
    title = str(user.ui.inputsSection.text)
    assert user.ui.volumeSelector.currentNode().GetName() in title and "Dr. A, nodules" in title
    user.ui.inputsSection.collapsed = False
    user.press("cardPicture1")
    assert not user.ui.inputsSection.collapsed, "what the user opens stays open"


def test_the_status_stays_where_it_is_when_the_rest_is_scrolled(
    a_panel_with_a_proposal: Any, application: Any
) -> None:
    import pythonqt
    from PySide6 import QtWidgets

    user = a_panel_with_a_proposal
    panel = pythonqt.unwrap(application._parent)
    area = application._window.centralWidget()
    area.setFixedSize(WIDTH, 420)
    user.ui.advancedSection.collapsed = False
    for _ in range(5):
        application.processEvents()
    inner = panel.findChild(QtWidgets.QScrollArea, "workScroll")
    assert area.verticalScrollBar().maximum() == 0, "the panel scrolls by itself, Slicer need not"
    assert inner.verticalScrollBar().maximum() > 100
    status = panel.findChild(QtWidgets.QLabel, "statusLabel")

    def place() -> tuple[int, bool]:
        return status.mapTo(area, status.rect().topLeft()).y(), not status.visibleRegion().isEmpty()

    before = place()
    inner.verticalScrollBar().setValue(inner.verticalScrollBar().maximum())
    application.processEvents()
    assert place() == before and before[1]
    last = panel.findChild(QtWidgets.QPushButton, "exportDicomButton")
    assert not last.visibleRegion().isEmpty()
    assert inner.viewport().width() >= inner.widget().minimumSizeHint().width(), "clipped at the right"
    user.ui.advancedSection.collapsed = True


def test_words_are_those_of_clinicians_and_shares_are_explained_where_they_stand(
    a_panel_with_a_proposal: Any, application: Any
) -> None:
    import pythonqt
    from PySide6 import QtWidgets

    panel = pythonqt.unwrap(application._parent)
    words = {
        name: one.text()
        for kind in (QtWidgets.QLabel, QtWidgets.QPushButton)
        for one in panel.findChildren(kind)
        if (name := one.objectName())
    }
    for name, text in words.items():
        assert not re.search(r"(?i)\bsamples?\b|\biterations?\b|\bN\b", text), f"{name} says {text!r}"
    for number in range(1, 5):
        assert "% of masks" in words[f"cardText{number}"]
        explained = panel.findChild(QtWidgets.QLabel, f"cardText{number}").toolTip()
        assert explained == "Share of the masks the model drew that are like this one"
