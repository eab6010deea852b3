"""Taking a written mask back, exactly, and where Ctrl+Z in Slicer's Segment Editor looks for it.

Slicer has two ways to undo. The scene's own (vtkMRMLScene.Undo) is off in the application, and nodes take no
part in it unless they say so. What Ctrl+Z in the Segment Editor really uses is a vtkSegmentationHistory: a
copy of the whole segmentation, saved before every effect's change (qMRMLSegmentEditorWidget.saveStateForUndo;
since 5.11 vtkSlicerSegmentEditorLogic.SaveStateForUndo). So a `SegmentWriter` calls `before_change` once
before it writes: the panel hands it the open Segment Editor's saveStateForUndo, and Ctrl+Z there takes one
approval back.
Our own undo keeps nothing but the voxels that changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import slicer

from SPASegmentLib.errors import StepError
from SPASegmentLib.mrml.grid import Grid, change_box, read_box


class BeforeChange(Protocol):
    """Called once before a write changes anything."""

    def __call__(self) -> object:
        """Remember the state that Ctrl+Z returns to."""


@dataclass(frozen=True, eq=False)
class Part:
    """What one segment gained and lost in a box: packed bits of the voxels that changed.

    start: (k, j, i) in the segment's grid. shape: of the box.
    """

    segment_id: str
    grid: Grid
    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    gained: np.ndarray
    lost: np.ndarray

    @classmethod
    def of(
        cls, segment_id: str, grid: Grid, start: tuple[int, int, int], gained: np.ndarray, lost: np.ndarray
    ) -> Part:
        """Keep only the box around the changes."""
        changed = gained | lost
        box, first = [], []
        for axis in range(3):
            hit = np.flatnonzero(changed.any(axis=tuple(a for a in range(3) if a != axis)))
            box.append(slice(int(hit[0]), int(hit[-1]) + 1))
            first.append(start[axis] + int(hit[0]))
        inner = tuple(box)
        k, j, i = gained[inner].shape
        return cls(
            segment_id,
            grid,
            (first[0], first[1], first[2]),
            (k, j, i),
            np.packbits(gained[inner]),
            np.packbits(lost[inner]),
        )

    def unpacked(self) -> tuple[np.ndarray, np.ndarray]:
        """(gained, lost), each of the box's shape."""
        count = int(np.prod(self.shape))
        gained, lost = (
            np.unpackbits(bits, count=count).astype(bool).reshape(self.shape)
            for bits in (self.gained, self.lost)
        )
        return gained, lost


class SegmentChange:
    """One written mask: every voxel of every segment it changed, ready to be taken back and done again.

    Voxels that something else has changed since stay as they are. Raises StepError where the segmentation or
    the segment is gone.
    """

    def __init__(self, node: Any, parts: tuple[Part, ...]) -> None:
        self._node = node
        self._scene = node.GetScene()
        self._node_id = node.GetID()
        self._parts = parts
        self.done = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """What each segment gained and lost, to be kept with a saved scene."""
        return self._parts

    @property
    def voxels(self) -> int:
        """How many voxels changed, over all segments."""
        return int(sum(np.sum([bits.sum() for bits in part.unpacked()]) for part in self._parts))

    @property
    def nbytes(self) -> int:
        """Memory that undo takes."""
        return sum(part.gained.nbytes + part.lost.nbytes for part in self._parts)

    def undo(self) -> None:
        """Every voxel as it was. Does nothing where it was undone already."""
        if self.done:
            node = self._living()
            for part in self._parts:
                gained, lost = part.unpacked()
                self._set(node, part, add=lost, remove=gained)
            self.done = False

    def redo(self) -> None:
        """The same change once more. Does nothing where it is done already."""
        if not self.done:
            node = self._living()
            for part in self._parts:
                gained, lost = part.unpacked()
                self._set(node, part, add=gained, remove=lost)
            self.done = True

    def _set(self, node: Any, part: Part, *, add: np.ndarray, remove: np.ndarray) -> None:
        now = read_box(node, part.segment_id, part.start, part.shape)
        change_box(node, part.segment_id, part.grid, part.start, add & ~now, remove & now)

    def _living(self) -> Any:
        node = self._scene.GetNodeByID(self._node_id)
        if node is None or node is not self._node:
            raise StepError("The segmentation is gone; there is nothing to undo in it.")
        for part in self._parts:
            if node.GetSegmentation().GetSegment(part.segment_id) is None:
                raise StepError("The segment is gone; there is nothing to undo in it.")
        return node


class SegmentationUndo:
    """Slicer's own undo of a segmentation, for applications that have no Segment Editor open.

    Its `save` fits `SegmentWriter`'s `before_change`. states: how many whole copies it may keep.
    """

    def __init__(self, node: Any, states: int = 5) -> None:
        self._history = slicer.vtkSegmentationHistory()
        self._history.SetSegmentation(node.GetSegmentation())
        self._history.SetMaximumNumberOfStates(states)

    def save(self) -> None:
        """Remember the segmentation as it is."""
        self._history.SaveState()

    def undo(self) -> bool:
        """Back to the state before; whether there was one."""
        return bool(self._history.IsRestorePreviousStateAvailable() and self._history.RestorePreviousState())

    def redo(self) -> bool:
        """Forward again; whether there was a state."""
        return bool(self._history.IsRestoreNextStateAvailable() and self._history.RestoreNextState())
