"""Approved masks into the user's segmentation: one slab of one segment, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from scipy import ndimage

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.geometry import Slab
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.mrml.colours import add_segment
from SPASegmentLib.mrml.grid import (
    Grid,
    box_in,
    intensities,
    pixels_on,
    read_box,
    seen_from,
    slab_of,
)
from SPASegmentLib.mrml.labels import check_labelmaps
from SPASegmentLib.mrml.segment_undo import BeforeChange, Part, SegmentationUndo, SegmentChange
from SPASegmentLib.mrml.volumes import volume_of_node

__all__ = [
    "SegmentChange",
    "SegmentWriter",
    "SegmentationUndo",
    "add_segmentation",
    "ensure_segment",
    "ensure_segmentation",
    "geometry_of",
    "segmentation_of",
    "use_with",
]
_USED_WITH = "SPASegment.segmentation"
"""Role of a volume node's reference to the segmentation its masks go to."""


class SegmentWriter:
    """Writes masks of slices into one segment.

    segmentation_node, segment_id: where to. volume_node: what the slices are of. editor_node: the
    vtkMRMLSegmentEditorNode whose masking and overwrite settings hold, or None for none of them.
    before_change: called once before each write, so that Ctrl+Z elsewhere finds the state (see segment_undo).
    Raises InputError where the segmentation, the segment or the volume is gone, or where it is kept as
    contours or surfaces.
    """

    def __init__(
        self,
        segmentation_node: Any,
        segment_id: str,
        volume_node: Any,
        editor_node: Any = None,
        *,
        before_change: BeforeChange | None = None,
    ) -> None:
        self._node = segmentation_node
        self._segment_id = segment_id
        self._volume_node = volume_node
        self._editor = editor_node
        self._before_change = before_change
        self._grid()

    def write(
        self,
        mask: np.ndarray,
        view_slice: ViewSlice,
        *,
        keep_apart: bool = False,
        kept: Sequence[Slab] = (),
    ) -> SegmentChange:
        """Make the segment on that slice equal the mask; other slices and other segments stay.

        mask: (H, W) bool as the view shows it. keep_apart: parts of the segment on this slice that the mask
        does not touch stay too (a second object on the same slice). kept: voxels of the segment's grid that
        stay as well, where they are set. What the editor node masks stays as it is; other segments lose
        voxels only where its overwrite mode says so. Surfaces that exist are kept up to date. Raises
        InputError as the constructor does, and for a mask of another shape.
        """
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != view_slice.shape:
            raise InputError(f"A mask of {mask.shape} pixels does not fit a slice of {view_slice.shape}.")
        grid = self._grid()
        slab = slab_of(mask, view_slice, grid, self._node, self._segment_id)
        now = read_box(self._node, self._segment_id, slab.start, slab.mask.shape)
        owned = slab.owned
        if keep_apart:
            # Told in voxels: off their planes the pixels of a slice do not say all that lies in it.
            owned = owned & ~_apart(now & owned, slab.mask)
        allowed = owned & self._editable(slab, grid, (now ^ slab.mask) & owned)
        gained, lost = slab.mask & ~now & allowed, now & ~slab.mask & allowed
        for other in kept:
            _clear(lost, slab.start, other)
        parts = self._overwritten(gained, slab, grid)
        if gained.any() or lost.any():
            parts.append(Part.of(self._segment_id, grid, slab.start, gained, lost))
        if parts and self._before_change is not None:
            self._before_change()
        change = SegmentChange(self._node, tuple(parts))
        change.redo()
        return change

    def slab_mask(self, view_slice: ViewSlice) -> np.ndarray:
        """(H, W) bool as the view shows it: the segment on that slice."""
        grid = self._grid()
        return pixels_on(view_slice, grid, self._node, self._segment_id)

    def _grid(self) -> Grid:
        """The segment's grid now; checks on the way that everything is still there."""
        node = self._node
        if node is None or node.GetScene() is None:
            raise InputError("There is no segmentation; choose or make one.")
        segmentation = node.GetSegmentation()
        if not self._segment_id or segmentation.GetSegment(self._segment_id) is None:
            raise InputError("There is no segment; choose or make one.")
        check_labelmaps(node)
        return Grid.of(node, self._segment_id, self._volume_node)

    def _editable(self, slab: Slab, grid: Grid, wanted: np.ndarray) -> np.ndarray:
        """(dk, dj, di) bool: voxels the Segment Editor's masking lets change; `wanted` are asked about."""
        allowed = np.ones(slab.mask.shape, dtype=bool)
        editor = self._editor
        if editor is None or editor.GetScene() is None or not wanted.any():
            return allowed
        allowed &= self._in_masked_segments(slab, grid)
        if editor.GetSourceVolumeIntensityMask():
            source = editor.GetSourceVolumeNode() or self._volume_node
            values = intensities(source, volume_of_node(source).array, grid, slab)
            low, high = editor.GetSourceVolumeIntensityMaskRange()
            allowed &= (values >= low) & (values <= high)
        return allowed

    def _in_masked_segments(self, slab: Slab, grid: Grid) -> np.ndarray:
        """Voxels inside (or outside) the segments that the mask mode names; the edited one's own are in."""
        kind = slicer.vtkMRMLSegmentationNode
        mode = self._editor.GetMaskMode()
        inside = {
            kind.EditAllowedInsideAllSegments: self._others(visible=False),
            kind.EditAllowedInsideVisibleSegments: self._others(visible=True),
            kind.EditAllowedInsideSingleSegment: [self._editor.GetMaskSegmentID()],
        }
        outside = {
            kind.EditAllowedOutsideAllSegments: self._others(visible=False),
            kind.EditAllowedOutsideVisibleSegments: self._others(visible=True),
        }
        if mode not in inside and mode not in outside:
            return np.ones(slab.mask.shape, dtype=bool)
        found = np.zeros(slab.mask.shape, dtype=bool)
        for other in inside.get(mode, outside.get(mode, [])):
            if other and self._node.GetSegmentation().GetSegment(other) is not None:
                found |= self._on_grid(other, slab, grid)
        own = read_box(self._node, self._segment_id, slab.start, slab.mask.shape)
        return found | own if mode in inside else ~found | own

    def _overwritten(self, gained: np.ndarray, slab: Slab, grid: Grid) -> list[Part]:
        """What other segments lose to this one."""
        editor = self._editor
        if editor is None or editor.GetScene() is None or not gained.any():
            return []
        mode = editor.GetOverwriteMode()
        if mode == editor.OverwriteNone:
            return []
        parts = []
        for other in self._others(visible=mode == editor.OverwriteVisibleSegments):
            own = Grid.of(self._node, other, self._volume_node)
            box = box_in(slab.start, slab.mask.shape, grid, own)
            lost = read_box(self._node, other, box.start, box.mask.shape)
            lost &= seen_from(gained, slab.start, grid, box, own)
            if lost.any():
                parts.append(Part.of(other, own, box.start, np.zeros_like(lost), lost))
        return parts

    def _others(self, *, visible: bool) -> list[str]:
        """IDs of the other segments, all or those that are shown."""
        display = self._node.GetDisplayNode()
        return [
            other
            for other in self._node.GetSegmentation().GetSegmentIDs()
            if other != self._segment_id
            and not (visible and display is not None and not display.GetSegmentVisibility(other))
        ]

    def _on_grid(self, segment_id: str, slab: Slab, grid: Grid) -> np.ndarray:
        """Another segment's voxels in the box; it may be kept on a grid of its own."""
        own = Grid.of(self._node, segment_id, self._volume_node)
        box = box_in(slab.start, slab.mask.shape, grid, own)
        voxels = read_box(self._node, segment_id, box.start, box.mask.shape)
        return seen_from(voxels, box.start, own, slab, grid)


def segmentation_of(volume_node: Any) -> Any:
    """A volume's own segmentation: the one it was used with last, else the first on its geometry, else None.

    Told by references between nodes, never by names, which volumes may share.
    """
    chosen = volume_node.GetNodeReference(_USED_WITH)
    if chosen is not None and chosen.IsA("vtkMRMLSegmentationNode"):
        return chosen
    found = volume_node.GetScene().GetNodesByClass("vtkMRMLSegmentationNode")
    found.UnRegister(None)
    nodes = (found.GetItemAsObject(n) for n in range(found.GetNumberOfItems()))
    return next((n for n in nodes if not n.GetHideFromEditors() and geometry_of(n) is volume_node), None)


def geometry_of(segmentation_node: Any) -> Any:
    """The volume node on whose grid a segmentation was made, or None where that is not known."""
    return segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())


def use_with(segmentation_node: Any, volume_node: Any) -> None:
    """Remember in the scene that a volume's masks go to this segmentation."""
    if volume_node.GetNodeReference(_USED_WITH) is not segmentation_node:
        volume_node.SetNodeReferenceID(_USED_WITH, segmentation_node.GetID())


def ensure_segmentation(scene: Any, volume_node: Any, name: str) -> Any:
    """The volume's own segmentation (`segmentation_of`), or a new one of that name."""
    node = segmentation_of(volume_node)
    return node if node is not None else add_segmentation(scene, volume_node, name)


def add_segmentation(scene: Any, volume_node: Any, name: str) -> Any:
    """A new segmentation node on the volume's grid and under its transforms."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    transform = volume_node.GetParentTransformNode()
    node.SetAndObserveTransformNodeID(transform.GetID() if transform is not None else None)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)  # through both transforms
    return node


def ensure_segment(node: Any, name: str) -> str:
    """The ID of the segment of that name, or of a new empty one in a colour of its own."""
    segmentation = node.GetSegmentation()
    found = segmentation.GetSegmentIdBySegmentName(name)
    return str(found or add_segment(segmentation, name))


def _clear(voxels: np.ndarray, start: tuple[int, int, int], slab: Slab) -> None:
    """Unset what a slab's mask holds in a box that starts at (k, j, i)."""
    low = np.maximum(start, slab.start)
    high = np.minimum(np.add(start, voxels.shape), np.add(slab.start, slab.mask.shape))
    if (high > low).all():
        here, there = (
            tuple(slice(int(a), int(b)) for a, b in zip(low - first, high - first, strict=True))
            for first in (start, slab.start)
        )
        voxels[here] &= ~slab.mask[there]


def _apart(before: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(dk, dj, di) bool: parts of `before` that do not touch the mask."""
    touching = np.ones((3, 3, 3))
    labels, _ = ndimage.label(before, structure=touching)
    near = ndimage.binary_dilation(mask, structure=touching)
    touched = np.unique(labels[near & before])
    return before & ~np.isin(labels, touched[touched > 0])
