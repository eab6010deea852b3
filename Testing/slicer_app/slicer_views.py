"""Real slice views, drawn off screen, for tests that look at pixels (trame-slicer's views)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy


class OffscreenViews:
    """Slice views of the stand-in's scene, by tag, drawn by the application's displayable managers."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._views: dict[str, Any] = {}

    def add(self, tag: str, orientation: str = "Axial", size: tuple[int, int] = (400, 400)) -> Any:
        """Make a view of some pixels; returns its slice node."""
        from trame_slicer.views import NoScheduleRendering, SliceView, ViewProps

        view = SliceView(self._app.scene, self._app.app_logic, tag, NoScheduleRendering())
        view.set_view_properties(ViewProps(label=tag, orientation=orientation))
        view.set_background_color([0, 0, 0])
        view.render_window().SetMultiSamples(0)  # a software renderer takes its time over them
        view.render_window().SetSize(*size)
        view.interactor().UpdateSize(*size)
        view._logic.ResizeSliceNode(*size)
        self._views[tag] = view
        return view.get_view_node()

    def show(self, volume: Any) -> None:
        """Put a volume behind all views and fit it."""
        for view in self._views.values():
            view.set_background_volume_id(volume.GetID())
            view.fit_view_to_content()

    def picture(self, tag: str) -> np.ndarray:
        """(H, W, 3) uint8 of a view as it is drawn now."""
        window = self._views[tag].render_window()
        window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(window)
        grab.SetInputBufferTypeToRGB()
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        width, height = image.GetDimensions()[:2]
        values = vtk_to_numpy(image.GetPointData().GetScalars())
        return values.reshape(height, width, 3)[::-1].copy()

    def side_by_side(self, large: str, small: Sequence[str], gap: int = 4) -> np.ndarray:
        """(H, W, 3) uint8: the screen of one large and four small views."""
        big = self.picture(large)
        four = [self.picture(tag) for tag in small]
        bar = np.full((four[0].shape[0], gap, 3), 40, np.uint8)
        rows = [np.concatenate([four[n], bar, four[n + 1]], axis=1) for n in (0, 2)]
        right = np.concatenate([rows[0], np.full((gap, rows[0].shape[1], 3), 40, np.uint8), rows[1]])
        height = max(len(big), len(right))
        parts = [np.pad(one, ((0, height - len(one)), (0, 0), (0, 0))) for one in (big, right)]
        return np.concatenate([parts[0], np.full((height, gap, 3), 40, np.uint8), parts[1]], axis=1)

    def close(self) -> None:
        """Give the windows back."""
        for view in self._views.values():
            view.finalize()
        self._views = {}


def scroll_to(slice_node: Any, view_slice: Any) -> None:
    """Move a view along its normal onto a slice."""
    from SPASegmentLib.mrml.volumes import array_of, matrix_of

    matrix = array_of(slice_node.GetSliceToRAS())
    normal = matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
    point = view_slice.to_world((view_slice.shape[0] - 1) / 2, (view_slice.shape[1] - 1) / 2)
    matrix[:3, 3] += normal * (normal @ (point - matrix[:3, 3]))
    slice_node.GetSliceToRAS().DeepCopy(matrix_of(matrix))
    slice_node.UpdateMatrices()


def zoom_to(slice_node: Any, view_slice: Any, mask: np.ndarray) -> None:
    """Bring a mask's object, (H, W) bool as shown, to the middle of a view, with some room around it."""
    from SPASegmentLib.mrml.volumes import array_of, matrix_of
    from SPASegmentLib.reporting.overlay import view_of

    about = view_of([mask], [], view_slice.image.spacing)
    found = np.argwhere(mask)
    row, col = (found.min(axis=0) + found.max(axis=0)) / 2
    matrix = array_of(slice_node.GetSliceToRAS())
    matrix[:3, 3] = view_slice.to_world(float(row), float(col))
    was = slice_node.StartModify()
    slice_node.GetSliceToRAS().DeepCopy(matrix_of(matrix))
    slice_node.UpdateMatrices()
    slice_node.SetXYZOrigin(0, 0, 0)
    width, height = (max(n, 1) for n in slice_node.GetDimensions()[:2])
    scale = about.size / min(width, height)
    slice_node.SetFieldOfView(width * scale, height * scale, slice_node.GetFieldOfView()[2])
    slice_node.EndModify(was)
