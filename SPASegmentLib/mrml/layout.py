"""Five slice views: a large one with the recommendation, and four small ones that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk

from SPASegmentLib.mrml.volumes import array_of, matrix_of

LAYOUT_ID = 70514
"""Far from Slicer's own layouts (up to about 600) and from the numbers people pick first."""
LARGE = "SPASegment"
"""Singleton tag of the large view's slice node."""
SMALL = ("SPASegment1", "SPASegment2", "SPASegment3", "SPASegment4")
"""Tags of the small views' slice nodes, candidate 1 to 4."""
_GROUP = 514
"""View group: Slicer links views within one group only."""
_CLOSE = 1e-6
OBJECT_SHARE = 3.0
"""Small views show this many times an object's extent."""


def layout_description() -> str:
    """The layout as Slicer's layout manager reads it."""
    rows = "".join(
        '<item splitSize="250"><layout type="horizontal" split="true">'
        f"{_view(SMALL[first], str(first + 1))}{_view(SMALL[first + 1], str(first + 2))}"
        "</layout></item>"
        for first in (0, 2)
    )
    return (
        '<layout type="horizontal" split="true">'
        f"{_view(LARGE, 'S', 500)}"
        f'<item splitSize="500"><layout type="vertical" split="true">{rows}</layout></item>'
        "</layout>"
    )


def register_layout(layout_node: Any) -> int:
    """Teach a vtkMRMLLayoutNode the layout (again, where it knows it); returns the number to switch to."""
    description = layout_description()
    if layout_node.IsLayoutDescription(LAYOUT_ID):
        if layout_node.GetLayoutDescription(LAYOUT_ID) != description:
            layout_node.SetLayoutDescription(LAYOUT_ID, description)
    else:
        layout_node.AddLayoutDescription(LAYOUT_ID, description)
    return LAYOUT_ID


class ViewLink:
    """Keeps small views on the large one's slice and volume until `unlink`; scrolling works in each.

    They show as much as the large one, or what `focus` says.
    """

    def __init__(self, scene: Any, large_id: str, small_ids: Sequence[str]) -> None:
        self._scene = scene
        self._large_id, self._small_ids = large_id, tuple(small_ids)
        self._busy = False
        self._focus: tuple[np.ndarray, float] | None = None
        self._watched: list[tuple[Any, int]] = []
        for node_id in (large_id, *small_ids):
            node = scene.GetNodeByID(node_id)
            if node is not None:
                self._watched.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_change)))
        composite = self._composite(large_id)
        if composite is not None:
            tag = composite.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_change)
            self._watched.append((composite, tag))
        self.update()

    def focus(self, at: tuple[float, float, float, float] | None) -> None:
        """Let the small views show an object, a third of them; None: as much as the large one shows.

        at: world R, A, S of its middle and its extent, in mm. Where the large view shows less, so do they.
        """
        focus = None if at is None else (np.array(at[:3]), OBJECT_SHARE * at[3])
        same = focus is self._focus or (
            focus is not None
            and self._focus is not None
            and np.allclose(focus[0], self._focus[0])
            and np.isclose(focus[1], self._focus[1])
        )
        if not same:
            self._focus = focus
            self.update()

    def update(self) -> None:
        """Bring the small views to where the large one is."""
        large = self._scene.GetNodeByID(self._large_id)
        if large is None or self._busy:
            return
        self._busy = True
        try:
            for node_id in self._small_ids:
                small = self._scene.GetNodeByID(node_id)
                if small is not None:
                    _follow(small, large, self._focus)
                    self._same_volume(node_id)
        finally:
            self._busy = False

    def unlink(self) -> None:
        """Let the views go their own ways."""
        for node, tag in self._watched:
            node.RemoveObserver(tag)
        self._watched = []

    def _on_change(self, caller: Any, event: str) -> None:
        if self._busy:
            return
        large = self._scene.GetNodeByID(self._large_id)
        if large is not None and caller is not large and caller.IsA("vtkMRMLSliceNode"):
            moved = self._moved(array_of(caller.GetSliceToRAS()), array_of(large.GetSliceToRAS()))
            if moved is not None:
                self._busy = True
                try:
                    _place(large, moved)
                finally:
                    self._busy = False
        self.update()

    def _moved(self, small: np.ndarray, large: np.ndarray) -> np.ndarray | None:
        """(4, 4) where a small view took the large one; None where it stays. A focus alone moves nothing."""
        turned = np.abs(small[:3, :3] - large[:3, :3]).max() > _CLOSE
        if turned or self._focus is None:
            return small if np.abs(small - large).max() > _CLOSE else None
        along = large[:3, 2] @ (small[:3, 3] - large[:3, 3])
        if abs(along) <= _CLOSE:
            return None
        moved = large.copy()
        moved[:3, 3] += along * large[:3, 2]
        return moved

    def _composite(self, slice_node_id: str) -> Any:
        """The composite node that belongs to a slice node: same layout name."""
        node = self._scene.GetNodeByID(slice_node_id)
        if node is None:
            return None
        found = self._scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
        found.UnRegister(None)
        for n in range(found.GetNumberOfItems()):
            if found.GetItemAsObject(n).GetLayoutName() == node.GetLayoutName():
                return found.GetItemAsObject(n)
        return None

    def _same_volume(self, slice_node_id: str) -> None:
        large, small = self._composite(self._large_id), self._composite(slice_node_id)
        if large is None or small is None:
            return
        if small.GetBackgroundVolumeID() != large.GetBackgroundVolumeID():
            small.SetBackgroundVolumeID(large.GetBackgroundVolumeID())


def link_views(scene: Any, large_id: str, small_ids: Sequence[str]) -> ViewLink:
    """Link views by the IDs of their slice nodes; keep the returned link and `unlink` it."""
    return ViewLink(scene, large_id, small_ids)


def _follow(small: Any, large: Any, focus: tuple[np.ndarray, float] | None) -> None:
    """The same slice, and as many millimetres across the shorter side or as few as an object needs.

    focus: (3,) world RAS of its middle, and mm to show.
    """
    was = small.StartModify()
    fov, matrix, origin = large.GetFieldOfView(), array_of(large.GetSliceToRAS()), large.GetXYZOrigin()
    across = min(fov[0], fov[1])
    if focus is not None and focus[1] < across:
        across, origin = focus[1], (0.0, 0.0, origin[2])
        aside = focus[0] - matrix[:3, 3]
        matrix[:3, 3] += aside - (aside @ matrix[:3, 2]) * matrix[:3, 2]
    _place(small, matrix)
    small.SetXYZOrigin(*origin)
    width, height = (max(n, 1) for n in small.GetDimensions()[:2])
    scale = across / min(width, height)
    if np.abs(np.subtract(small.GetFieldOfView()[:2], (width * scale, height * scale))).max() > _CLOSE:
        small.SetFieldOfView(width * scale, height * scale, fov[2])
    small.EndModify(was)


def _place(slice_node: Any, matrix: np.ndarray) -> None:
    """Set where a view is; nothing happens where it is there already."""
    if np.abs(array_of(slice_node.GetSliceToRAS()) - matrix).max() > _CLOSE:
        slice_node.GetSliceToRAS().DeepCopy(matrix_of(matrix))
        slice_node.UpdateMatrices()


def _view(tag: str, label: str, size: int | None = None) -> str:
    split = f' splitSize="{size}"' if size else ""
    colour = "#F2B200" if tag == LARGE else "#8C8C8C"
    return (
        f'<item{split}><view class="vtkMRMLSliceNode" singletontag="{tag}">'
        '<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{colour}</property>'
        f'<property name="viewgroup" action="default">{_GROUP}</property>'
        "</view></item>"
    )
