"""Boxes and lines in the panel: by key, by button and with the mouse in the large view."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6 import QtCore

Key = QtCore.Qt.Key


def test_a_box_and_a_line_are_drawn_by_key_and_by_button(user: Any, application: Any) -> None:
    import scenarios

    application.press(Key.Key_O)
    assert user.ui.boxButton.checked and user.status.startswith("Drag a box")
    application.press(Key.Key_Escape)
    assert not user.ui.boxButton.checked
    scenarios.drag_in_view(user.ras, [(-14.0, -14.0), (14.0, 14.0)])
    user.wait()
    assert user.screen.recommendation is None, "drags are Slicer's own again"
    user.click("boxButton")
    scenarios.drag_in_view(user.ras, [(-14.0, -14.0), (0.0, 0.0), (14.0, 14.0)])
    user.panel.queue.drain()
    user.wait()
    assert user.screen.iteration == 1 and not user.ui.boxButton.checked
    ((r, a, s, positive),) = user.screen.seeds
    assert positive and np.linalg.norm(np.subtract((r, a, s), user.ras)) < 3
    application.press(Key.Key_D)
    assert user.ui.scribbleButton.checked and "Ctrl" in user.status
    scenarios.drag_in_view(user.ras, [(18.0, -10.0), (18.0, 0.0), (18.0, 10.0)], ctrl=True)
    user.panel.queue.drain()
    user.wait()
    signs = [seed[3] for seed in user.screen.seeds]
    assert len(signs) > 2 and signs == [True] + [False] * (len(signs) - 1)
    user.click("undoButton")
    assert len(user.screen.seeds) == 1, "the line goes in one step"
    application.press(Key.Key_S)
    assert user.panel.views.placing is True
    application.press(Key.Key_O)
    assert user.panel.views.placing is None and user.panel.views.drawing == "box"
    application.press(Key.Key_S)
    assert user.panel.views.placing is True and user.panel.views.drawing is None
    assert "(O)" in str(user.ui.boxButton.toolTip) and "(D)" in str(user.ui.scribbleButton.toolTip)
