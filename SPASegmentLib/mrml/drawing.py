"""Boxes and lines drawn with the mouse in a slice view: seen while the drag goes on, told at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import vtk

Shape = Literal["box", "scribble"]
Place = tuple[float, float, float]
PRIORITY = 20.0
"""Before the tools of the view, to which a drag means something else."""
SHORTEST = 4
"""Display pixels; a shorter drag is a click by mistake."""
COLOR = (1.0, 0.85, 0.1)
WIDTH = 2.0

Drawn = Callable[[Shape, list[Place], bool, Any], None]
"""shape, its corners or places in world R, A, S (mm), whether it is positive (no Ctrl), slice node."""


class Drawing:
    """One drag in any of the watched views becomes a box or a line; then clicks are the view's own again."""

    def __init__(self, drawn: Drawn, changed: Callable[[], None] = lambda: None) -> None:
        """drawn: told of each box or line. changed: called when drawing begins or ends."""
        self._drawn, self._changed = drawn, changed
        self._shape: Shape | None = None
        self._views: list[_View] = []

    @property
    def shape(self) -> Shape | None:
        """What the next drag draws; None: nothing."""
        return self._shape

    def watch(self, interactor: Any, slice_node: Any, render: Callable[[], None]) -> None:
        """Hear of the mouse in a view. interactor: of its window. render: draws it soon."""
        if all(view.interactor is not interactor for view in self._views):
            self._views.append(_View(self, interactor, slice_node, render))

    def begin(self, shape: Shape) -> None:
        """The next drag draws this shape."""
        self._change(shape)

    def stop(self) -> None:
        """Nothing is drawn any more; what was begun is dropped."""
        self._change(None)

    def close(self) -> None:
        """Hear of no view any more."""
        self.stop()
        for view in self._views:
            view.close()
        self._views = []

    def _change(self, shape: Shape | None) -> None:
        was, self._shape = self._shape, shape
        for view in self._views:
            view.drop()
        if was != shape:
            self._changed()

    def ended(self, path: list[tuple[int, int]], positive: bool, slice_node: Any) -> None:
        """A drag has ended. path: display pixels of its view."""
        shape = self._shape
        self.stop()
        far = max(max(abs(x - path[0][0]), abs(y - path[0][1])) for x, y in path)
        if shape is None or far < SHORTEST:
            return
        matrix = slice_node.GetXYToRAS()
        at = [path[0], path[-1]] if shape == "box" else path
        places = [matrix.MultiplyPoint((x, y, 0.0, 1.0))[:3] for x, y in at]
        self._drawn(shape, places, positive, slice_node)


class _View:
    """One view's mouse, and the line over its picture."""

    def __init__(
        self, drawing: Drawing, interactor: Any, slice_node: Any, render: Callable[[], None]
    ) -> None:
        self._drawing, self.interactor, self._node, self._render = drawing, interactor, slice_node, render
        self._path: list[tuple[int, int]] = []
        self._line, self._actor = vtk.vtkPolyData(), vtk.vtkActor2D()
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self._line)
        self._actor.SetMapper(mapper)
        self._actor.GetProperty().SetColor(*COLOR)
        self._actor.GetProperty().SetLineWidth(WIDTH)
        self._renderer: Any = None
        self._tags = [
            self._hear("LeftButtonPressEvent", self._pressed),
            self._hear("MouseMoveEvent", self._moved),
            self._hear("LeftButtonReleaseEvent", self._released),
        ]

    def _hear(self, event: str, call: Callable[[], bool]) -> int:
        tag = 0

        def heard(_caller: Any, _event: str) -> None:
            took = call()
            self.interactor.GetCommand(tag).SetAbortFlag(took)  # nobody else hears of it then

        tag = int(self.interactor.AddObserver(event, heard, PRIORITY))
        return tag

    def close(self) -> None:
        """Hear of the mouse no more."""
        for tag in self._tags:
            self.interactor.RemoveObserver(tag)

    def drop(self) -> None:
        """Forget a drag that goes on."""
        self._path = []
        if self._renderer is not None:
            self._renderer.RemoveViewProp(self._actor)
            self._renderer = None
            self._render()

    def _at(self) -> tuple[int, int]:
        x, y = self.interactor.GetEventPosition()
        return int(x), int(y)

    def _pressed(self) -> bool:
        if self._drawing.shape is None:
            return False
        self._path = [self._at()]
        self._renderer = self.interactor.GetRenderWindow().GetRenderers().GetFirstRenderer()
        self._renderer.AddViewProp(self._actor)
        self._draw()
        return True

    def _moved(self) -> bool:
        if not self._path:
            return False
        self._path.append(self._at())
        self._draw()
        return True

    def _released(self) -> bool:
        if not self._path:
            return False
        path = [*self._path, self._at()]
        self._drawing.ended(path, not self.interactor.GetControlKey(), self._node)
        return True

    def _draw(self) -> None:
        corners = self._path
        if self._drawing.shape == "box":
            (x, y), (x2, y2) = self._path[0], self._path[-1]
            corners = [(x, y), (x2, y), (x2, y2), (x, y2), (x, y)]
        points, lines = vtk.vtkPoints(), vtk.vtkCellArray()
        lines.InsertNextCell(len(corners))
        for at in corners:
            lines.InsertCellPoint(points.InsertNextPoint(*at, 0.0))
        self._line.SetPoints(points)
        self._line.SetLines(lines)
        self._render()
