"""The approved segment in 3-D."""

from __future__ import annotations

from typing import Any

import vtk

from SPASegmentLib.viewer.views import Pane

SMOOTHING = "0.7"
"""Slicer's smoothing factor of closed surfaces: 0.5 leaves steps from slice to slice."""
ZOOM = 1.2
"""How much closer than a sphere around the object the camera comes."""


class Surface:
    """Shows a segmentation's closed surface in the 3-D view, and makes it only while it is shown."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self._segmentation: Any = None
        self._object: tuple[str, tuple[float, float, float] | None] = ("", None)
        self.shown = False
        pane.resized.append(self._resized)

    def show(self, segmentation: Any, segment: str, near: tuple[float, float, float] | None) -> None:
        """Make the surface, and look at the part of a segment that is nearest to a place.

        segment: its name. near: RAS in mm, or None for all of it.
        """
        self._segmentation, self._object = segmentation, (segment, near)
        whole = segmentation.GetSegmentation()
        whole.SetConversionParameter("Smoothing factor", SMOOTHING)
        segmentation.CreateClosedSurfaceRepresentation()
        segmentation.GetDisplayNode().SetVisibility3D(True)
        if not self.shown:
            self._pane.view.fit_view_to_content()
        self.shown = True
        self.look()

    def look(self) -> None:
        """Bring the camera to the object; the direction in which it looks stays."""
        bounds = self._bounds()
        if bounds is None:
            self._pane.view.fit_view_to_content()
        else:
            renderer = self._pane.view.renderer()
            renderer.ResetCamera(bounds)
            renderer.GetActiveCamera().Dolly(ZOOM)
            renderer.ResetCameraClippingRange()
        self._pane.view.schedule_render()

    def hide(self) -> None:
        """Take the surface away; later changes cost nothing."""
        self.shown = False
        if self._segmentation is not None and self._segmentation.GetScene() is not None:
            display = self._segmentation.GetDisplayNode()
            if display is not None:
                display.SetVisibility3D(False)
            self._segmentation.RemoveClosedSurfaceRepresentation()

    def _resized(self) -> None:
        if self.shown:
            self.look()

    def _bounds(self) -> tuple[float, ...] | None:
        """(6,) RAS in mm of the object's surface; None where there is none."""
        name, near = self._object
        segment = self._segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        surface = vtk.vtkPolyData()
        if not segment or not self._segmentation.GetClosedSurfaceRepresentation(segment, surface):
            return None
        if not surface.GetNumberOfPoints():
            return None
        if near is not None:
            part = vtk.vtkPolyDataConnectivityFilter()
            part.SetInputData(surface)
            part.SetExtractionModeToClosestPointRegion()
            part.SetClosestPoint(near)
            cleaned = vtk.vtkCleanPolyData()
            cleaned.SetInputConnection(part.GetOutputPort())
            cleaned.Update()
            surface = cleaned.GetOutput()
        return tuple(surface.GetBounds())
