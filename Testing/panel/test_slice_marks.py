"""The strip of marks in the panel."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6 import QtCore, QtGui

Key = QtCore.Qt.Key


def test_done_and_followed_slices_are_marked_and_a_click_goes_there(user: Any, application: Any) -> None:
    import pythonqt

    button = user.ui.marksButton
    assert not button.visible
    user.seed(user.ras)
    user.press("approveButton")
    assert button.visible and "1 approved" in str(button.toolTip)
    application.press(Key.Key_F)
    user.wait()
    words, kinds = str(button.accessibleName), [one.kind for one in user.screen.object.slices]
    for kind, word in (("anchor", "approved"), ("carried", "carried"), ("doubtful", "doubtful")):
        assert (f"{kinds.count(kind)} {word}" in words) == (kind in kinds), words
    large, _small = user.panel.views.chosen()
    end = max(user.panel.marks._marks, key=lambda one: one.number)
    widget = pythonqt.unwrap(button)
    assert widget.width() >= 190 and not widget.icon().isNull()
    at = QtCore.QPoint(round((widget.width() - 190) / 2 + 190 * end.share), widget.height() // 2)
    QtGui.QCursor.setPos(widget.mapToGlobal(at))
    user.click("marksButton")
    assert large.GetSliceOffset() == pytest.approx(end.offset)
    user.panel.marks.go_to(0.0)
    assert large.GetSliceOffset() == pytest.approx(user.panel.marks._range[0], abs=0.01)
    user.click("undoButton")
    user.wait()
    assert not button.visible
