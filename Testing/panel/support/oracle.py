"""What segments must hold, kept beside the panel: from what is seen and done, never from its own account.

The oracle reads every voxel of every segment after every action. What changed must be what the action was:
nothing, an approval of the mask that was drawn in the view, or the exact undoing or redoing of one. Nothing
but what Slicer has is imported: the oracle runs in the application, too.
"""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

OVERLAYS = "SPASegment proposal"
"""Name of the hidden segmentation that shows a proposal."""
EDGE = 0.02
"""Shares of half a slice's thickness, and of a cell, within which rounding decides."""
Key = tuple[str, str]
"""IDs of a segmentation and of a segment in it."""
Held = dict[Key, np.ndarray]
"""(K, J, I) bool of each segment."""


class LostVoxelsError(AssertionError):
    """A segment holds something else than it must."""


class Drawn:
    """A mask as the view shows it, in voxels of the grid.

    sure: (K, J, I) bool, voxels of its slice that lie in it. maybe: those and the ones on its edge.
    within: voxels that its slice may own. normal, point: of its plane, world RAS.
    """

    def __init__(self, parts: list[tuple[object, int, bool]], grid: np.ndarray, shape: tuple) -> None:
        """parts: (labelmap, label, added) each; what is not added is taken away."""
        matrix = _matrix(parts[0][0].GetImageToWorldMatrix)
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        self.normal, self.point = matrix[:3, 2] / lengths[2], matrix[:3, 3]
        across = np.linalg.inv(matrix) @ grid
        at = _along(across, shape)
        half = np.abs(self.normal @ grid[:3, :3]).sum() / 2
        depth = np.abs(at[2]) * lengths[2] / half
        self.within = depth <= 1 + EDGE
        box = np.nonzero(self.within)
        x, y = (at[n][box] for n in (0, 1))
        found = np.stack([_in(parts, x + dx, y + dy) for dx in (-EDGE, EDGE) for dy in (-EDGE, EDGE)])
        self.sure, self.maybe = np.zeros(shape, bool), np.zeros(shape, bool)
        self.sure[box] = found.all(axis=0) & (depth[box] <= 1 - EDGE)
        self.maybe[box] = found.any(axis=0)


class Approval:
    """One approval of `drawn` into a segment: what that gained and lost, as indices of voxels.

    claim: voxels of its mask that nothing has taken since. inherited: those an approval undone since left to
    it. stands: until it is undone. certain: unless nobody can see whether it was undone, because it changed
    nothing.
    """

    def __init__(self, key: Key, drawn: Drawn, before: np.ndarray, after: np.ndarray) -> None:
        self.key, self.normal, self.point = key, drawn.normal, drawn.point
        self.shape = drawn.sure.shape
        self.sure, self.maybe = np.flatnonzero(drawn.sure), np.flatnonzero(drawn.maybe)
        self.gained, self.lost = np.flatnonzero(after & ~before), np.flatnonzero(before & ~after)
        self.claim = self.sure
        self.inherited = self.sure[:0]
        self.stands = self.certain = True

    def is_on(self, normal: np.ndarray, point: np.ndarray, slack: float = 1e-3) -> bool:
        """Whether it lies on a plane. slack: mm."""
        apart = abs(self.normal @ (point - self.point))
        return bool(abs(self.normal @ normal) > 1 - 1e-3 * slack and apart < slack)


class Oracle:
    """Everything approved, undone and edited so far, and the segments as they were when last looked at."""

    def __init__(self, user) -> None:
        self._user = user
        self.approvals: list[Approval] = []
        self.voxels: Held = {}
        self._approved_before = False
        self._grids: dict[str, tuple[np.ndarray, tuple]] = {}
        self.compared = self.approved = self.undone = self.redone = 0

    # What is seen

    def look(self) -> Held:
        """(K, J, I) bool of every segment of the user's."""
        found = {}
        for node in _nodes("vtkMRMLSegmentationNode"):
            if not node.GetHideFromEditors():
                for identity in node.GetSegmentation().GetSegmentIDs():
                    found[node.GetID(), identity] = self._read(node, identity)
        return found

    def drawn(self, candidate: int | None = None) -> Drawn | None:
        """The recommendation that is shown, or candidate 0-3 as its view has it; None where there is none."""
        screen = self._user.screen
        node = next((n for n in _nodes("vtkMRMLSegmentationNode") if n.GetName() == OVERLAYS), None)
        volume = self._user.ui.volumeSelector.currentNode()
        if screen.recommendation is None or node is None or volume is None:
            return None
        if not node.GetNthDisplayNode(0).GetVisibility():
            return None
        parts = [(node.GetBinaryLabelmapInternalRepresentation("recommendation"), 1, True)]
        if candidate is not None:
            if candidate >= len(screen.cards):
                return None
            change = node.GetBinaryLabelmapInternalRepresentation(f"{candidate + 1} added, outline")
            parts += [(change, 1, True), (change, 2, False)]
        return Drawn(parts, *_grid_of(volume))

    def target(self) -> Key | None:
        """The segment that is chosen."""
        node = self._user.ui.segmentationSelector.currentNode()
        return (node.GetID(), str(self._user.ui.segmentSelector.currentSegmentID())) if node else None

    def _target(self, changed: list[Key]) -> Key | None:
        """The segment that is chosen; where none is, nor a volume, the volume's own, made anew if need be."""
        if self._user.ui.volumeSelector.currentNode() is None and len(changed) == 1:
            return changed[0]
        return self.target()

    # What was done

    def check(
        self, did: str = "", drawn: Drawn | None = None, *, just: bool = False, went_on: bool = False
    ) -> None:
        """Look again, and explain what changed. did: "approve", "undo", "redo", "edit", "delete" or "".

        drawn: what an approval was of. just: nothing has happened since. went_on: the next slice, which may
        have a proposal, is shown after an approval. Raises LostVoxelsError for what
        cannot be explained.
        """
        before, now = self.voxels, self.look()
        gone = before.keys() - now.keys()
        if gone and did != "delete":
            raise LostVoxelsError(f"the segments {sorted(gone)} went with {did or 'nothing done'}")
        for approval in [one for one in self.approvals if one.key in gone]:
            approval.certain, approval.key = False, ("", approval.key[1])
        was = {key: before.get(key, np.zeros_like(held)) for key, held in now.items()}
        changed = [key for key in now if not np.array_equal(was[key], now[key])]
        self.compared += len(now)
        over = self._user.screen.recommendation is None or (went_on and changed)
        if did == "approve" and drawn is not None and over:
            self._approve(was, now, changed, drawn)
        elif did in ("undo", "redo"):
            self._go_back_or_forth(did, was, now, changed, just)
        elif changed and did not in ("edit", "delete"):
            raise LostVoxelsError(f"{_told(was, now, changed)} with {did or 'nothing done'}")
        for approval in [one for one in self.approvals if one.stands and one.key in changed]:
            approval.claim = approval.claim[now[approval.key].flat[approval.claim]]
        self.voxels, self._approved_before = now, self._says_approved()

    def _approve(self, was: Held, now: Held, changed: list[Key], drawn: Drawn) -> None:
        key = self._target(changed)
        if key is None or any(other != key for other in changed):
            raise LostVoxelsError(f"an approval into {key} changed {_told(was, now, changed)}")
        before, after = was[key], now[key]
        if after.shape != drawn.sure.shape:
            raise LostVoxelsError(f"an approval went into {key}, which is on another volume's grid")
        approval = Approval(key, drawn, before, after)
        kept = np.zeros_like(before)
        for one in self._others(approval):
            if one.is_on(drawn.normal, drawn.point):
                kept.flat[one.claim] = True
        for voxels, why in (
            (drawn.sure & ~after, "approved voxels were not written"),
            (after & ~before & ~drawn.maybe, "voxels were written beside the mask"),
            (before & ~after & ~drawn.within, "voxels of other slices were lost"),
            (before & ~after & kept, "voxels approved on the same slice were lost"),
            (~after & _apart(before & drawn.within, drawn.maybe), "what the mask does not touch was lost"),
        ):
            if voxels.any():
                raise LostVoxelsError(f"{voxels.sum()} {why}: {key}")
        self.approvals.append(approval)
        self.approved += 1

    def _go_back_or_forth(self, did: str, was: Held, now: Held, changed: list[Key], just: bool) -> None:
        """One approval is taken back or done again to the voxel; or none, and nothing changes."""
        back, unseen = did == "undo", False
        for approval in reversed([one for one in self.approvals if one.stands is back or not one.certain]):
            key = approval.key
            if key not in now or any(other != key for other in changed):
                continue
            wanted, loose = self._after(did, approval, was[key])
            if ((wanted ^ now[key]) & ~loose).any():
                continue
            if changed:
                if back:
                    self._leave(approval, now[key])
                approval.stands, approval.certain = not back, True
                approval.claim = approval.sure
                self.undone, self.redone = self.undone + back, self.redone + (not back)
                return
            if self._is_seen(approval):
                approval.certain, unseen = False, True
        if changed and did == "redo" and self._written_anew(was, now, changed):
            return
        if changed:
            raise LostVoxelsError(f"{_told(was, now, changed)} with {did}, which no approval explains")
        screen = self._user.screen
        opened = screen.tone == "hint" and screen.recommendation is not None
        if just and back and self._approved_before and opened and not unseen:
            raise LostVoxelsError("an approval was undone, and its voxels stayed")

    def _after(self, did: str, approval: Approval, was: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The segment once an approval is undone or redone, and the voxels that may be either."""
        wanted, loose = was.copy(), np.zeros_like(was)
        if did == "redo":
            wanted.flat[approval.gained] = True
            wanted.flat[approval.lost] = False
            loose.flat[approval.inherited] = True
            return wanted, loose
        wanted.flat[approval.gained] = wanted.flat[approval.inherited] = False
        for one in self._others(approval):
            loose.flat[one.maybe] = True
        loose &= was & ~wanted
        for one in self._others(approval):
            if one.certain:  # what others approved stays
                wanted.flat[one.claim] = True
                loose.flat[one.claim] = False
        wanted.flat[approval.lost] = True
        return wanted, loose

    def _leave(self, approval: Approval, now: np.ndarray) -> None:
        """Voxels that stay as an approval is undone, since others hold them, go with the last of those."""
        stayed = np.zeros_like(now)
        stayed.flat[approval.gained] = stayed.flat[approval.inherited] = True
        stayed &= now
        for one in self._others(approval):
            one.inherited = np.union1d(one.inherited, one.maybe[stayed.flat[one.maybe]])

    def _written_anew(self, was: Held, now: Held, changed: list[Key]) -> bool:
        """Whether an approval whose segment was deleted was written into the one that is chosen."""
        key = self._target(changed)
        if key is None or changed != [key]:
            return False
        gained, lost = now[key] & ~was[key], was[key] & ~now[key]
        lost_with = [one for one in self.approvals if one.key[0] == "" and one.shape == now[key].shape]
        for approval in lost_with:
            beside = gained.copy()
            beside.flat[approval.maybe] = False
            if now[key].flat[approval.sure].all() and not beside.any():
                approval.key, approval.stands, approval.certain = key, True, True
                approval.gained, approval.lost = np.flatnonzero(gained), np.flatnonzero(lost)
                approval.claim = approval.sure
                return True
        return False

    def _others(self, approval: Approval) -> list[Approval]:
        """What else stands in the same segment."""
        return [
            one for one in self.approvals if one is not approval and one.stands and one.key == approval.key
        ]

    def _says_approved(self) -> bool:
        return self._user.screen.tone == "done" and self._user.status.startswith(("Approved", "Taken"))

    def _is_seen(self, approval: Approval) -> bool:
        """Whether a slice view shows the approval's slice."""
        planes = [slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()) for node in _nodes("vtkMRMLSliceNode")]
        return any(approval.is_on(plane[:3, 2], plane[:3, 3], slack=1.0) for plane in planes)

    def _grid(self, segmentation) -> tuple[np.ndarray, tuple]:
        """Of the volume a segmentation was made for, also once that is deleted."""
        known, identity = self._grids, segmentation.GetID()
        volume = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
        if volume is not None:
            known[identity] = _grid_of(volume)
        return known[identity]

    def _read(self, node, identity: str) -> np.ndarray:
        grid, shape = self._grid(node)
        held = np.zeros(shape, bool)
        image = node.GetBinaryLabelmapInternalRepresentation(identity)
        if image is None or image.IsEmpty():
            return held
        shift = np.linalg.inv(grid) @ _matrix(image.GetImageToWorldMatrix)
        moved = np.rint(shift[:3, 3]).astype(int)
        assert np.allclose(shift[:3, :3], np.eye(3), atol=1e-5), "a segment is on a grid of its own"
        assert np.abs(shift[:3, 3] - moved).max() < 1e-3, "a segment lies between the volume's voxels"
        i0, i1, j0, j1, k0, k1 = image.GetExtent()
        size = (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
        values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(size)
        values = values == node.GetSegmentation().GetSegment(identity).GetLabelValue()
        start = np.array([k0, j0, i0]) + moved[::-1]
        low, high = np.maximum(start, 0), np.minimum(start + size, shape)
        if (high <= low).any():
            return held
        here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        held[here] = values[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))]
        if held.sum() != values.sum():
            raise LostVoxelsError(f"{identity} has voxels outside the volume")
        return held


def _apart(held: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(K, J, I) bool: the parts of what is held that do not touch a mask."""
    from scipy import ndimage

    around = np.ones((3, 3, 3))
    labels, _count = ndimage.label(held, structure=around)
    touched = np.unique(labels[ndimage.binary_dilation(mask, structure=around)])
    return held & ~np.isin(labels, touched)


def _told(was: Held, now: Held, changed: list[Key]) -> str:
    return ", ".join(
        f"{key} lost {(was[key] & ~now[key]).sum()} and gained {(now[key] & ~was[key]).sum()} voxels"
        for key in changed
    )


def _along(matrix: np.ndarray, shape: tuple) -> list[np.ndarray]:
    """Three (K, J, I) arrays: x, y, z of every voxel's centre through a (4, 4) matrix."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return [matrix[n, 0] * i + matrix[n, 1] * j + matrix[n, 2] * k + matrix[n, 3] for n in range(3)]


def _in(parts: list[tuple[object, int, bool]], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) bool: whether cells x, y belong to the mask; all labelmaps have the same cells."""
    held = np.zeros(len(x), bool)
    for image, label, added in parts:
        width, height, _depth = image.GetDimensions()
        cells = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width)
        col, row = (np.floor(at + 0.5).astype(int) for at in (x, y))
        inside = (col >= 0) & (col < width) & (row >= 0) & (row < height)
        hit = np.zeros(len(x), bool)
        hit[inside] = cells[row[inside], col[inside]] == label
        held = held | hit if added else held & ~hit
    return held


def _grid_of(volume) -> tuple[np.ndarray, tuple]:
    """(4, 4) voxel to RAS, and (K, J, I)."""
    return _matrix(volume.GetIJKToRASMatrix), slicer.util.arrayFromVolume(volume).shape


def _matrix(give) -> np.ndarray:
    """(4, 4) of what a getter fills."""
    made = vtk.vtkMatrix4x4()
    give(made)
    return np.array([[made.GetElement(row, col) for col in range(4)] for row in range(4)])


def _nodes(kind: str) -> list:
    return slicer.util.getNodesByClass(kind)
