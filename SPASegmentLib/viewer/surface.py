"""The approved segment in 3-D."""

from __future__ import annotations

from typing import Any

from SPASegmentLib.viewer.views import Pane


class Surface:
    """Shows a segmentation's closed surface in the 3-D view, and makes it only while it is shown."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self._segmentation: Any = None
        self.shown = False

    def show(self, segmentation: Any) -> None:
        """Make the surface and look at it."""
        self._segmentation = segmentation
        segmentation.CreateClosedSurfaceRepresentation()
        display = segmentation.GetDisplayNode()
        display.SetVisibility3D(True)
        self.shown = True
        self.look()

    def look(self) -> None:
        """Turn the camera to the whole surface."""
        self._pane.view.fit_view_to_content()
        self._pane.view.schedule_render()

    def hide(self) -> None:
        """Take the surface away; later changes cost nothing."""
        self.shown = False
        if self._segmentation is not None and self._segmentation.GetScene() is not None:
            display = self._segmentation.GetDisplayNode()
            if display is not None:
                display.SetVisibility3D(False)
            self._segmentation.RemoveClosedSurfaceRepresentation()
