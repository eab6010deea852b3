"""The strip of marks beside the doubtful slices: which slices along the view are done, followed, doubtful."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from .pictures import icon_of

WIDTH, HEIGHT = 190, 14
"""Of the strip, in pixels."""
NEAR = 5
"""Pixels beside a mark that still are the mark."""


class SliceMarks:
    """Draws the marks of a Screen, and goes to the slice that is clicked."""

    def __init__(self, button, looked_at: Callable[[], tuple]) -> None:
        """button: the QToolButton. looked_at: gives volume and slice node, each may be None."""
        self._button, self._looked_at = button, looked_at
        self._drawn: tuple | None = None
        self._marks: tuple = ()
        self._range = (0.0, 0.0, 1.0)
        button.setIconSize(qt.QSize(WIDTH, HEIGHT))
        button.connect("clicked()", self.on_click)

    def render(self, screen) -> None:
        """Show what there is to mark."""
        from SPASegmentLib.errors import InputError
        from SPASegmentLib.mrml.slice_marks import slice_range, slider_marks, strip

        volume, node = self._looked_at()
        self._marks = ()
        if volume is not None and node is not None and (screen.object is not None or screen.approved):
            try:
                self._range = slice_range(volume, node)
                self._marks = slider_marks(screen.object, screen.approved, volume, node)
            except InputError:
                pass  # the controller says what is wrong with the volume
        self._button.visible = bool(self._marks)
        drawn = (self._marks, self._range)
        if not self._marks or drawn == self._drawn:
            return
        self._drawn = drawn
        from SPASegmentLib.mrml.thumbnails import png_of

        low, high, step = self._range
        self._button.icon = icon_of(png_of(strip(self._marks, round((high - low) / step) + 1, WIDTH, HEIGHT)))
        self._button.toolTip = self._button.accessibleName = self._in_words()

    def on_click(self) -> None:
        """Go to the slice under the mouse."""
        at = self._button.mapFromGlobal(qt.QCursor.pos()).x()
        self.go_to((at - (self._button.width - WIDTH) / 2) / WIDTH)

    def go_to(self, share: float) -> None:
        """Go to the mark at, or next to, a place of the strip in [0, 1], else to the slice there."""
        _volume, node = self._looked_at()
        if node is None or not self._marks:
            return
        low, high, step = self._range
        nearest = min(self._marks, key=lambda one: abs(one.share - share))
        if abs(nearest.share - share) * WIDTH <= NEAR:
            node.SetSliceOffset(nearest.offset)
        else:
            number = round(min(max(share, 0.0), 1.0) * (high - low) / step)
            node.SetSliceOffset(low + number * step)

    def _in_words(self) -> str:
        kinds = [one.kind for one in self._marks]
        parts = [
            (kinds.count("approved") + kinds.count("anchor"), _("{count} approved (blue, tall)")),
            (kinds.count("carried"), _("{count} carried (grey, low)")),
            (kinds.count("doubtful"), _("{count} doubtful (orange, with a gap)")),
        ]
        said = ", ".join(text.format(count=count) for count, text in parts if count)
        return _("Slices along the view: {marks}; a click goes there.").format(marks=said)
