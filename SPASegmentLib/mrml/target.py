"""Where approved masks go: the chosen segment of the user's segmentation, made when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import InputError, StepError
from SPASegmentLib.imaging.geometry import Slab, SlicePlane
from SPASegmentLib.imaging.segments import ALGORITHM_TAG, algorithm_entry
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.inference.messages import ModelInfo
from SPASegmentLib.mrml.grid import Grid, labelmap_of, read_box, slab_of
from SPASegmentLib.mrml.segment_undo import BeforeChange, Part, SegmentChange
from SPASegmentLib.mrml.segments import (
    SegmentWriter,
    ensure_segment,
    ensure_segmentation,
    geometry_of,
    segmentation_of,
    use_with,
)
from SPASegmentLib.mrml.volumes import ijk_to_ras_of, to_world_of
from SPASegmentLib.mrml.work import Work

SEGMENT_NAME = "SPASegment"
MARGIN = 3
"""Pixels around what is written that an oblique slice owns, too."""
_GONE = "The segmentation this mask was written to is gone, so there are no voxels to take back."


def is_alive(node: Any) -> bool:
    """Whether a node is still in a scene."""
    return node is not None and node.GetScene() is not None


class Target:
    """The chosen segmentation node, segment and segment editor node; each may be None or be deleted."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._volume: Any = None
        self._segmentation: Any = None
        self._segment = self._name = ""
        self._editor: Any = None
        self._kept: list[Work] = []
        self.before_change: BeforeChange | None = None

    @property
    def segmentation(self) -> Any:
        """The chosen node, or None where there is none or it was deleted."""
        if not is_alive(self._segmentation):
            self._segmentation = None
        return self._segmentation

    @property
    def segment_name(self) -> str | None:
        """As the user sees it; None before the segment exists and has been named."""
        segment = self._found()
        return segment.GetName() if segment is not None else self._name or None

    @property
    def segment(self) -> str | None:
        """ID or name, as it was chosen."""
        return self._segment or None

    @property
    def has_segment(self) -> bool:
        """Whether the chosen segment is there."""
        return self._found() is not None

    def choose_volume(self, node: Any) -> None:
        """Another volume: its own segmentation takes its masks. A segment is found in it by name only."""
        self._volume = node
        if node is not None:
            self._segmentation = segmentation_of(node)
            self._segment = self._name

    def choose_segmentation(self, node: Any) -> None:
        """The node the chosen volume's masks go to; None: its own, made when a mask is approved."""
        self._segmentation = node
        if node is not None and is_alive(self._volume):
            use_with(node, self._volume)

    @property
    def doubt(self) -> str:
        """A sentence where the chosen segmentation is on another volume's grid; else ""."""
        node, volume = self.segmentation, self._volume
        other = geometry_of(node) if node is not None else None
        if other is None or not is_alive(volume) or other is volume or _same_grid(other, volume):
            return ""
        return (
            f"{node.GetName()} has the voxels of {other.GetName()}: masks of {volume.GetName()} are rounded"
            " to them."
        )

    def choose_segment(self, id_or_name: str | None) -> None:
        """The segment to write to; a name that is not there yet is given to a new segment."""
        self._segment = self._name = id_or_name or ""
        self._found()

    def choose_editor(self, node: Any) -> None:
        """The vtkMRMLSegmentEditorNode whose masking and overwriting are honoured, or None."""
        self._editor = node

    def forget(self, node: Any) -> None:
        """A node is about to go."""
        if node is self._segmentation:
            self._segmentation = None
        if node is self._volume:
            self._volume = self._segmentation = None
        if node is self._editor:
            self._editor = None

    def keep(self, works: list[Work]) -> None:
        """Works that cannot be undone any more: what was approved on them stays when others are."""
        for work in works:
            if work.finished and work.target is not None:
                work.rest()
                hollow = np.broadcast_to(np.uint8(0), work.view.volume.array.shape)
                volume = replace(work.view.volume, array=hollow)  # its voxels are not held in memory
                work.view = replace(work.view, volume=volume)
                self._kept.append(work)

    def forget_all(self) -> None:
        """The scene is closed."""
        self._volume, self._segmentation, self._kept = None, None, []

    def mask_on(self, view: ViewSlice, volume_node: Any) -> np.ndarray:
        """(H, W) bool: the chosen segment on a slice; empty where there is no segment yet."""
        segment = self._found()
        if segment is None:
            return np.zeros(view.shape, dtype=bool)
        segment_id = self.segmentation.GetSegmentation().GetSegmentIdBySegment(segment)
        return SegmentWriter(self.segmentation, segment_id, volume_node).slab_mask(view)

    def write(self, mask: np.ndarray, work: Work, volume_node: Any, others: list[Work]) -> None:
        """Write an approved mask; what was approved before on this slice in this segment stays.

        others: the objects of the same slice. Raises InputError or StepError, nothing written then.
        """
        segmentation, segment_id = self._ready(volume_node)
        editor = self._editor if is_alive(self._editor) else None
        writer = SegmentWriter(
            segmentation, segment_id, volume_node, editor, before_change=self.before_change
        )
        target = (segmentation.GetID(), segment_id)
        kept = [
            slab
            for other in others
            if other is not work and other.target == target
            if (slab := self._voxels_of(other, segmentation, volume_node)) is not None
        ]
        part, box = trimmed(work.view, mask | writer.slab_mask(work.view))
        if work.goes_on:  # the mask is all that the segment is to have on this slice
            kept = []
        work.changes = [writer.write(mask[box], part, keep_apart=not work.goes_on, kept=kept)]
        work.target, work.voxels = target, None

    def sign(self, work: Work, model: ModelInfo) -> None:
        """Keep with the segment that was written to which model drew in it."""
        segment = self._written_to(work).GetSegmentation().GetSegment(_of(work)[1])
        segment.SetTag(ALGORITHM_TAG, algorithm_entry(model.name, model.hash))

    def write_further(
        self,
        slices: Sequence[tuple[ViewSlice, np.ndarray, np.ndarray | None]],
        work: Work,
        volume_node: Any,
        others: list[Work],
    ) -> None:
        """Write an approved object's other slices; they are taken back and brought back with the work's own.

        slices: slice, mask, and the object's mask there before, which it takes the place of, or None.
        others: all works; what was approved on those slices stays. All is written or, where that raises,
        nothing.
        """
        node, before = self._written_to(work), self.before_change
        editor = self._editor if is_alive(self._editor) else None
        changes: list[SegmentChange] = []
        try:
            for view, mask, before_it in slices:
                writer = SegmentWriter(node, _of(work)[1], volume_node, editor, before_change=before)
                kept = [
                    slab
                    for other in others
                    if other is not work and other.key == view.key and other.target == work.target
                    if (slab := self._voxels_of(other, node, volume_node)) is not None
                ]
                held = writer.slab_mask(view)
                part, box = trimmed(view, mask | held)
                # Off the planes of voxels a slice's pixels do not say all that lies in it.
                replaces = before_it is not None and view.plane.index is not None
                if before_it is not None and replaces:
                    mask = mask | (held & ~before_it)
                changes.append(writer.write(mask[box], part, keep_apart=not replaces, kept=kept))
                before = before if not changes[-1].parts else None  # one state for Ctrl+Z
        except Exception:
            for change in reversed(changes):
                change.undo()
            raise
        work.changes += changes

    def take_back(self, work: Work, volume_node: Any, others: list[Work]) -> None:
        """Undo a write. Raises StepError where the segment is gone: there is nothing to take back then.

        others: all works; where their slices cross this one, what was approved on them stays.
        """
        node = self._written_to(work)
        held = [
            (other, slab, read_box(node, segment_id, slab.start, slab.mask.shape))
            for other in (*others, *self._kept)
            if (slab := self._shared(work, other, node, volume_node)) is not None
            for segment_id in (_of(other)[1],)
        ]
        for change in reversed(work.changes):
            change.undo()
        for other, slab, had in held:
            segment_id = _of(other)[1]
            now = read_box(node, segment_id, slab.start, slab.mask.shape)
            lost = slab.mask & had & ~now
            if lost.any():
                grid = Grid.of(node, segment_id, volume_node)
                part = Part.of(segment_id, grid, slab.start, lost, np.zeros_like(lost))
                change = SegmentChange(node, (part,))
                change.redo()
                other.changes.append(change)

    def bring_back(self, work: Work, mask: np.ndarray, volume_node: Any, others: list[Work]) -> None:
        """Redo a write, or write anew where the segment is gone."""
        try:
            self._written_to(work)
            for change in work.changes:
                change.redo()
        except StepError:
            work.changes = []
        if not work.changes:
            self.write(mask, work, volume_node, others)

    def _shared(self, work: Work, other: Work, node: Any, volume_node: Any) -> Slab | None:
        """What another work approved in the same segment, if the two slices can share voxels."""
        if other is work or other.target != work.target or not _may_share(work.view, other.view):
            return None
        return self._voxels_of(other, node, volume_node)

    def _voxels_of(self, work: Work, node: Any, volume_node: Any) -> Slab | None:
        """What was approved on a work's slice, in voxels of its segment's grid; None where nothing was."""
        mask, segment_id = work.approved(), _of(work)[1]
        image = labelmap_of(node, segment_id)
        if mask is None or image is None or image.IsEmpty():
            return None
        grid = Grid.of(node, segment_id, volume_node)
        place = grid.to_world.tobytes()
        if work.voxels is None or work.voxels[0] != place:
            part, box = trimmed(work.view, mask)
            work.voxels = (place, _cropped(slab_of(mask[box], part, grid, node, segment_id)))
        return work.voxels[1]

    def _ready(self, volume_node: Any) -> tuple[Any, str]:
        """Segmentation and segment for a volume's masks, made where there are none."""
        if not is_alive(volume_node):
            raise StepError("The volume is gone; choose a volume.")
        if volume_node is not self._volume:
            self.choose_volume(volume_node)
        if self.segmentation is None:
            name = f"{volume_node.GetName()} segmentation"
            self.choose_segmentation(ensure_segmentation(self._scene, volume_node, name))
        if self._found() is None:
            self._segment = ensure_segment(self._segmentation, self._name or SEGMENT_NAME)
            self._found()
        segments = self._segmentation.GetSegmentation()
        if segments.GetSegment(self._segment) is None:
            self._segment = segments.GetSegmentIdBySegmentName(self._name)
        return self._segmentation, self._segment

    def _found(self) -> Any:
        node = self.segmentation
        if node is None or not self._segment:
            return None
        segments = node.GetSegmentation()
        segment = segments.GetSegment(self._segment)
        if segment is None:
            segment = segments.GetSegment(segments.GetSegmentIdBySegmentName(self._name))
        if segment is not None:
            self._name = segment.GetName()  # found again by it in another segmentation
        return segment

    def _written_to(self, work: Work) -> Any:
        node_id, segment_id = _of(work)
        node = self._scene.GetNodeByID(node_id) if node_id else None
        if node is None or node.GetSegmentation().GetSegment(segment_id) is None:
            raise StepError(_GONE)
        return node


def _same_grid(one: Any, other: Any) -> bool:
    """Whether two volume nodes have the same voxels of the world."""
    try:
        grids = [to_world_of(node) @ ijk_to_ras_of(node) for node in (one, other)]
    except InputError:
        return False
    return bool(np.allclose(grids[0], grids[1], atol=1e-4))


def trimmed(view: ViewSlice, used: np.ndarray) -> tuple[ViewSlice, tuple[slice, slice]]:
    """The part of a resampled slice around what is used, and where it lies; planes of voxels stay whole.

    used: (H, W) bool. Which voxels an oblique slice owns takes long to find over a whole volume.
    """
    full = (slice(0, used.shape[0]), slice(0, used.shape[1]))
    if view.plane.index is not None or not used.any():
        return view, full
    rows, cols = (np.flatnonzero(used.any(axis=axis)) for axis in (1, 0))
    box = tuple(
        slice(max(0, int(hit[0]) - MARGIN), min(size, int(hit[-1]) + 1 + MARGIN))
        for hit, size in zip((rows, cols), used.shape, strict=True)
    )
    row, col = box[0].start, box[1].start
    shape = (box[0].stop - row, box[1].stop - col)
    shift = np.array([col, row, 0.0, 1.0])
    to_ras, to_world = view.plane.pixel_to_ras.copy(), view.pixel_to_world.copy()
    to_ras[:, 3], to_world[:, 3] = to_ras @ shift, to_world @ shift
    image = view.image.turned(lambda pixels: pixels[box], view.image.spacing)
    plane = SlicePlane.oblique(to_ras, shape)
    return replace(view, image=image, plane=plane, pixel_to_world=to_world), (box[0], box[1])


def _may_share(one: ViewSlice, other: ViewSlice) -> bool:
    """Whether slices may own the same voxels: all but parallel ones that are a step apart."""
    normals = [np.cross(view.pixel_to_world[:3, 0], view.pixel_to_world[:3, 1]) for view in (one, other)]
    first, second = (normal / np.linalg.norm(normal) for normal in normals)
    if abs(first @ second) < 1 - 1e-9:
        return True
    apart = abs(first @ (one.pixel_to_world[:3, 3] - other.pixel_to_world[:3, 3]))
    return bool(apart < 0.99 * min(one.step_mm, other.step_mm))


def _cropped(slab: Slab) -> Slab | None:
    """The box around the mask, or None for an empty one."""
    if not slab.mask.any():
        return None
    box = ndimage.find_objects(slab.mask.astype(np.uint8))[0]
    k, j, i = (int(first + part.start) for first, part in zip(slab.start, box, strict=True))
    return Slab((k, j, i), slab.mask[box].copy(), slab.owned[box].copy())


def _of(work: Work) -> tuple[str, str]:
    if work.target is None:
        raise StepError(_GONE)
    return work.target
