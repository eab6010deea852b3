"""Clicks, boxes and lines on the large view, by mouse and by keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from SPASegmentLib.mrml.controller import Controller
from SPASegmentLib.mrml.drawing import Drawing, Shape
from SPASegmentLib.viewer.navigation import Navigation, observe_clicks
from SPASegmentLib.viewer.views import Pane

Place = tuple[float, float, float]
SHAPES: dict[str, Shape] = {"box": "box", "scribble": "scribble"}
"""What the page may ask to draw."""


class PointInput:
    """Hands what is marked on the large view to the controller. clicked: the last positive place, in RAS.

    ready: whether something may be marked now; whoever refuses it says why.
    """

    def __init__(
        self,
        server: Any,
        controller: Controller,
        large: Pane,
        navigation: Navigation,
        ready: Callable[[], bool],
    ) -> None:
        self._server, self._controller, self._navigation = server, controller, navigation
        self._node, self._ready = large.node, ready
        self.clicked: Place | None = None
        self._drawing = Drawing(self._drawn, self._tell)
        self._drawing.watch(large.view.interactor(), large.node, large.view.schedule_render)
        observe_clicks(large, navigation, self.click)

    def click(self, ras: Place, positive: bool) -> None:
        """Place a point; a negative one, too, where that was announced."""
        if self._ready():
            positive = positive and not self._server.state.excluding
            self.exclude(False)
            if positive:
                self.clicked = ras
            self._controller.seed(ras, positive=positive, slice_node=self._node)

    def at_cursor(self, negative: bool) -> None:
        """Place a point at the keyboard's cross."""
        ras = self._navigation.at_cursor()
        if ras is not None:
            self.click(ras, not negative)

    def exclude(self, on: bool) -> None:
        """Whether the next click marks what does not belong; only where there is a proposal to correct."""
        if on:
            self._drawing.stop()
        with self._server.state as state:
            state.excluding = on and self._controller.screen.recommendation is not None

    def draw(self, name: str) -> None:
        """Let the next drag draw a box or a line; asked for twice, or for anything else: no more."""
        shape = SHAPES.get(name)
        if shape is None or shape == self._drawing.shape or not self._ready():
            self._drawing.stop()
            return
        self.exclude(False)
        self._drawing.begin(shape)

    def _tell(self) -> None:
        with self._server.state as state:
            state.drawing = self._drawing.shape or ""

    def _drawn(self, shape: Shape, places: list[Place], positive: bool, slice_node: Any) -> None:
        if not self._ready():
            return
        (r, a, s), (r2, a2, s2) = places[0], places[-1]
        if positive or shape == "box":
            self.clicked = ((r + r2) / 2, (a + a2) / 2, (s + s2) / 2)
        if shape == "box":
            self._controller.box(*places, slice_node=slice_node)
        else:
            self._controller.scribble(places, positive=positive, slice_node=slice_node)
