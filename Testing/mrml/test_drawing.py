"""Boxes and lines: what the controller makes of them, and the drag that draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

vtk = pytest.importorskip("vtk", reason="vtk is not installed (the extra `viewer` brings it)")


def around(bench: Any, mm: float) -> list[tuple[float, ...]]:
    """Two opposite corners of a square box around the first nodule, in the plane of the large view."""
    matrix = np.array([[bench.large.GetSliceToRAS().GetElement(r, c) for c in range(3)] for r in range(3)])
    return [tuple(np.add(bench.nodules[0], matrix @ (side, side, 0.0))) for side in (-mm / 2, mm / 2)]


def test_a_box_is_a_seed_in_its_middle_that_knows_its_size(a_controller):
    a_controller.controller.box(*around(a_controller, 14.0))
    screen = a_controller.settle()
    assert screen.iteration == 1, screen.status
    (point,) = a_controller.work.session.points
    spacing = a_controller.work.view.image.spacing
    middle = a_controller.work.view.to_pixel(a_controller.nodules[0])
    assert np.abs(np.subtract((point.row, point.col), middle)).max() <= 0.75
    assert point.size_mm == pytest.approx(14.0, abs=2 * max(spacing))
    mask = a_controller.work.proposal.recommendation
    rows, cols = np.nonzero(mask)
    extent = max(np.ptp(rows) * spacing[0], np.ptp(cols) * spacing[1])
    assert 5 < extent < 21, "it is an object of about that size"


def test_a_line_is_some_points_on_it_and_one_undo_takes_them_all_back(a_controller):
    first, last = around(a_controller, 9.0)
    a_controller.controller.scribble([first, a_controller.nodules[0], last])
    screen = a_controller.settle()
    work = a_controller.work
    points = work.session.points
    assert 2 <= len(points) <= 6 and screen.iteration == len(points)
    mask = work.proposal.recommendation
    assert all(mask[round(point.row), round(point.col)] for point in points)
    ends = [np.array(work.view.to_pixel(at)) for at in (first, last)]
    for point in points:
        along = (np.array((point.row, point.col)) - ends[0]) @ (ends[1] - ends[0])
        off = (
            np.array((point.row, point.col))
            - ends[0]
            - along * (ends[1] - ends[0]) / np.sum((ends[1] - ends[0]) ** 2)
        )
        assert np.linalg.norm(off) < 1.5
    a_controller.controller.undo()
    assert a_controller.controller.screen.iteration == 0
    a_controller.controller.redo()
    assert a_controller.controller.screen.iteration == len(points)
    a_controller.controller.scribble(around(a_controller, 30.0)[:1], positive=False)
    a_controller.settle()
    assert [point.positive for point in work.session.points] == [True] * len(points) + [False]
    a_controller.controller.undo()
    assert work.session.points == points
    a_controller.controller.pick(0)
    a_controller.settle()
    a_controller.controller.undo()
    assert work.session.points == points, "a pick is one step"


def test_what_cannot_be_drawn_is_said(a_controller):
    controller, far = a_controller.controller, [(9000.0, 0.0, 0.0), (9000.0, 5.0, 0.0)]
    controller.box(*[a_controller.nodules[0]] * 2)
    assert "too small" in controller.screen.status
    controller.scribble([])
    assert "Nothing was drawn" in controller.screen.status
    controller.scribble(far)
    assert "outside" in controller.screen.status
    controller.scribble([a_controller.nodules[0]], positive=False)
    assert "positive point first" in controller.screen.status
    controller.box("here", None)
    controller.box(far[0], far[1])
    assert controller.screen.tone == "problem" and controller.screen.recommendation is None


class Mouse:
    """A view's window, and what else hears of its mouse."""

    def __init__(self, node: Any) -> None:
        self.window, self.interactor = vtk.vtkRenderWindow(), vtk.vtkGenericRenderWindowInteractor()
        self.window.AddRenderer(vtk.vtkRenderer())
        self.window.SetInteractor(self.interactor)
        self.interactor.SetInteractorStyle(None)
        self.interactor.SetRenderWindow(self.window)
        self.node = node
        self.heard: list[str] = []
        for event in ("LeftButtonPressEvent", "MouseMoveEvent", "LeftButtonReleaseEvent"):
            self.interactor.AddObserver(event, lambda _caller, name: self.heard.append(name), 10.0)

    def drag(self, *at: tuple[int, int], ctrl: bool = False, let_go: bool = True) -> None:
        events = ["LeftButtonPressEvent"] + ["MouseMoveEvent"] * (len(at) - 1)
        for event, (x, y) in zip(events, at, strict=True):
            self.interactor.SetEventInformation(x, y, int(ctrl), 0, "\0", 0, None)
            self.interactor.InvokeEvent(event)
        if let_go:
            self.interactor.InvokeEvent("LeftButtonReleaseEvent")

    @property
    def drawn_over(self) -> int:
        return int(self.window.GetRenderers().GetFirstRenderer().GetViewProps().GetNumberOfItems())


@pytest.fixture
def mouse(slicer_app):
    return Mouse(slicer_app.add_slice_view("Red", "Axial"))


def test_a_drag_draws_once_and_nobody_else_hears_of_it(mouse):
    from SPASegmentLib.mrml.drawing import Drawing

    told, changed = [], []
    drawing = Drawing(lambda *what: told.append(what), lambda: changed.append(drawing.shape))
    drawing.watch(mouse.interactor, mouse.node, lambda: None)
    drawing.watch(mouse.interactor, mouse.node, lambda: None)
    mouse.drag((10, 10), (40, 30))
    assert not told and len(mouse.heard) == 3, "without an announcement the mouse is the view's own"
    mouse.heard.clear()
    drawing.begin("box")
    mouse.drag((10, 10), (40, 30), (60, 20), let_go=False)
    assert mouse.drawn_over == 1
    mouse.interactor.InvokeEvent("LeftButtonReleaseEvent")
    assert mouse.drawn_over == 0 and not mouse.heard
    ((shape, corners, positive, node),) = told
    assert (shape, positive, node) == ("box", True, mouse.node)
    to_ras = mouse.node.GetXYToRAS()
    np.testing.assert_allclose(
        corners, [to_ras.MultiplyPoint((*at, 0.0, 1.0))[:3] for at in ((10, 10), (60, 20))]
    )
    assert changed == ["box", None] and drawing.shape is None
    drawing.begin("scribble")
    mouse.drag((10, 10), (20, 10), (30, 20), ctrl=True)
    assert told[1][0] == "scribble" and len(told[1][1]) >= 3 and told[1][2] is False
    drawing.begin("scribble")
    mouse.drag((10, 10), (11, 10))
    assert len(told) == 2, "a click is no line"


def test_escape_drops_a_drag_that_goes_on(mouse):
    from SPASegmentLib.mrml.drawing import Drawing

    told = []
    drawing = Drawing(lambda *what: told.append(what))
    drawing.watch(mouse.interactor, mouse.node, lambda: None)
    drawing.begin("scribble")
    mouse.drag((10, 10), (30, 20), let_go=False)
    drawing.stop()
    assert mouse.drawn_over == 0
    mouse.drag((10, 10), (30, 20))
    drawing.close()
    assert not told
