"""The small views' titles: which candidate each one shows, written over its picture.

They take the place of the bars above the slice views, which are wider than a small view on a small screen,
and of what Slicer's Data Probe writes into their corners, which overlaps there; the large view has both.
"""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

SIZE = 15
"""Of the letters."""


class Titles:
    """A line of text in each small view."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._actors: dict[str, tuple[vtk.vtkTextActor, object]] = {}

    def put_up(self) -> None:
        """Put titles in the place of the bars of the small views that are there by now."""
        from SPASegmentLib.mrml.layout import SMALL

        manager = slicer.app.layoutManager()
        for tag in SMALL:
            widget = manager.sliceWidget(tag) if manager is not None else None
            if widget is None or tag in self._actors:
                continue
            widget.sliceController().setVisible(False)
            widget.sliceView().cornerAnnotation().VisibilityOff()
            actor = _actor()
            renderer = widget.sliceView().renderWindow().GetRenderers().GetFirstRenderer()
            renderer.AddViewProp(actor)
            self._actors[tag] = actor, renderer
        self._write()

    def show(self, titles: Sequence[str]) -> None:
        """titles: of the small views, in their order; the others have their number."""
        from SPASegmentLib.mrml.layout import SMALL

        texts = {tag: titles[n] if n < len(titles) else str(n + 1) for n, tag in enumerate(SMALL)}
        if texts != self._texts:
            self._texts = texts
            self._write()

    def take_down(self) -> None:
        """Leave the views as they came."""
        manager = slicer.app.layoutManager()
        for tag, (actor, renderer) in self._actors.items():
            widget = manager.sliceWidget(tag) if manager is not None else None
            if widget is not None:
                renderer.RemoveViewProp(actor)
                widget.sliceView().cornerAnnotation().VisibilityOn()
                widget.sliceController().setVisible(True)
        self._actors = {}

    def _write(self) -> None:
        manager = slicer.app.layoutManager()
        for tag, (actor, _renderer) in self._actors.items():
            text = self._texts.get(tag, tag[-1])
            if actor.GetInput() != text:
                actor.SetInput(text)
                widget = manager.sliceWidget(tag)
                if widget is not None:
                    widget.sliceView().scheduleRender()


def _actor() -> vtk.vtkTextActor:
    actor = vtk.vtkTextActor()
    look = actor.GetTextProperty()
    look.SetFontSize(SIZE)
    look.SetBold(True)
    look.SetColor(1.0, 1.0, 1.0)
    look.SetShadow(True)
    look.SetBackgroundColor(0.0, 0.0, 0.0)
    look.SetBackgroundOpacity(0.45)
    look.SetVerticalJustificationToTop()
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(0.03, 0.97)
    return actor
