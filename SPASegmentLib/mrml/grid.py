"""The voxels of a segment: where they lie, which of them a slice owns, and how to set a few of them.

Slicer keeps segments that do not overlap as labels of one shared labelmap (a layer). What is read and written
here is one segment's share of its layer, and only a box of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from scipy import ndimage
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.geometry import Slab, SlicePlane, paste_slab
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.mrml.volumes import array_of, ijk_to_ras_of, matrix_of, to_world_of

_ALIGNED = 1e-3
"""Grids whose voxels lie within this share of a voxel of each other are the same."""
_GEOMETRY = "Reference image geometry"


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid segments are kept on.

    to_node: (4, 4) voxel (i, j, k, 1) -> the segmentation node's own frame. to_world: the same to world RAS.
    """

    to_node: np.ndarray
    to_world: np.ndarray

    @classmethod
    def of(cls, node: Any, segment_id: str, volume_node: Any) -> Grid:
        """A segment's own grid; of an empty one the reference geometry, or else the volume's."""
        outer = to_world_of(node)
        image = labelmap_of(node, segment_id)
        stated = node.GetSegmentation().GetConversionParameter(_GEOMETRY)
        made = vtk.vtkMatrix4x4()
        if image is not None and not image.IsEmpty():
            image.GetImageToWorldMatrix(made)
            to_node = array_of(made)
        elif stated:
            to_node = _stated_matrix(stated)
        else:
            to_node = np.linalg.inv(outer) @ to_world_of(volume_node) @ ijk_to_ras_of(volume_node)
        return cls(to_node, outer @ to_node)

    def shift_of(self, ijk_to_world: np.ndarray) -> np.ndarray | None:
        """(3,) ints to add to another grid's (i, j, k) where it is this one but for its origin, else None."""
        matrix = np.linalg.inv(self.to_world) @ ijk_to_world
        whole = np.rint(matrix[:3, 3])
        # Over a few hundred voxels an error of the direction must stay below the same share.
        same = np.abs(matrix[:3, :3] - np.eye(3)).max() < _ALIGNED / 500
        return whole.astype(int) if same and np.abs(matrix[:3, 3] - whole).max() < _ALIGNED else None


def labelmap_of(node: Any, segment_id: str) -> Any:
    """The layer a segment is kept on (vtkOrientedImageData), or None."""
    return node.GetBinaryLabelmapInternalRepresentation(segment_id)


def read_box(node: Any, segment_id: str, start: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray:
    """(dk, dj, di) bool: a segment's voxels in a box that starts at (k, j, i) of its grid."""
    found = np.zeros(shape, dtype=bool)
    image = labelmap_of(node, segment_id)
    if image is None or image.IsEmpty():
        return found
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    values = values.reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    here, there = [], []
    for first, size, low, high in zip(start, shape, (k0, j0, i0), (k1, j1, i1), strict=True):
        a, b = max(first, low), min(first + size, high + 1)
        if a >= b:
            return found
        here.append(slice(a - first, b - first))
        there.append(slice(a - low, b - low))
    label = node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    found[tuple(here)] = values[tuple(there)] == label
    return found


def change_box(
    node: Any, segment_id: str, grid: Grid, start: tuple[int, int, int], add: np.ndarray, remove: np.ndarray
) -> None:
    """Add and remove voxels of one segment in a box; every other voxel of every segment stays.

    add, remove: (dk, dj, di) bool. Where another segment of the same layer holds an added voxel, Slicer moves
    this segment to a layer of its own. Raises InputError where Slicer refuses.
    """
    # MODE_REPLACE would empty the rest of the segment, and MODE_MERGE_MAX writes the image's own values: on a
    # shared layer a 1 is the first segment's voxel. MERGE_MIN clears where the image is 0, in this segment
    # only; MERGE_MASK writes this segment's label where it is not.
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for voxels, mode in ((remove, logic.MODE_MERGE_MIN), (add, logic.MODE_MERGE_MASK)):
        if not voxels.any():
            continue
        box, first = _around(voxels, start)
        values = ~box if mode == logic.MODE_MERGE_MIN else box
        if not logic.SetBinaryLabelmapToSegment(_image(values, first, grid), node, segment_id, mode):
            raise InputError("Slicer did not take the mask into the segment; choose another segment.")


def slab_of(mask: np.ndarray, view_slice: ViewSlice, grid: Grid, node: Any, segment_id: str) -> Slab:
    """The voxels of the grid that a slice owns, with the mask's value; `start` counts in the grid.

    mask: (H, W) bool as shown. On the volume's own grid the slab is the slice itself; on another grid every
    voxel whose centre lies within the slice's thickness is owned, and gets the pixel nearest to its centre.
    """
    plane = view_slice.voxel_plane
    turned = view_slice.in_plane_order(mask)
    shift = grid.shift_of(view_slice.cut.to_world @ view_slice.volume.ijk_to_ras)
    if shift is not None:
        slab = paste_slab(turned, plane, view_slice.volume)
        k, j, i = (int(a + b) for a, b in zip(slab.start, shift[::-1], strict=True))
        return Slab((k, j, i), slab.mask, slab.owned)
    return _slab_on_other_grid(mask, view_slice, grid, labelmap_of(node, segment_id))


def pixels_on(view_slice: ViewSlice, grid: Grid, node: Any, segment_id: str) -> np.ndarray:
    """(H, W) bool as shown: a segment on a slice, each pixel with the voxel it lies in."""
    empty = np.zeros(view_slice.shape, dtype=bool)
    image = labelmap_of(node, segment_id)
    if image is None or image.IsEmpty():
        return empty
    rows, cols = np.indices(view_slice.shape, dtype=np.float64)
    matrix = np.linalg.inv(grid.to_world) @ view_slice.pixel_to_world
    ijk = [matrix[n, 0] * cols + matrix[n, 1] * rows + matrix[n, 3] for n in range(3)]
    voxel = [np.floor(np.round(at, 6) + 0.5).astype(np.int64) for at in ijk]
    low = [int(at.min()) for at in voxel]
    shape = [int(at.max()) - first + 1 for at, first in zip(voxel, low, strict=True)]
    extent = image.GetExtent()
    for n in range(3):  # read no more than there is
        last = min(low[n] + shape[n], extent[2 * n + 1] + 1)
        low[n] = max(low[n], extent[2 * n])
        shape[n] = last - low[n]
        if shape[n] <= 0:
            return empty
    box = read_box(node, segment_id, (low[2], low[1], low[0]), (shape[2], shape[1], shape[0]))
    inside = np.ones(view_slice.shape, dtype=bool)
    for n in range(3):
        voxel[n] -= low[n]
        inside &= (voxel[n] >= 0) & (voxel[n] < shape[n])
    empty[inside] = box[voxel[2][inside], voxel[1][inside], voxel[0][inside]]
    return empty


def intensities(volume_node: Any, array: np.ndarray, grid: Grid, slab: Slab) -> np.ndarray:
    """(dk, dj, di) float intensities of a volume at the voxels of a box, -inf outside the volume."""
    matrix = np.linalg.inv(to_world_of(volume_node) @ ijk_to_ras_of(volume_node)) @ grid.to_world
    kji = np.indices(slab.mask.shape, dtype=np.float64) + np.array(slab.start)[:, None, None, None]
    ijk = np.tensordot(matrix[:3, :3], kji[::-1], axes=1) + matrix[:3, 3][:, None, None, None]
    at = np.round(ijk[::-1], 6)
    grey = array if array.ndim == 3 else array.mean(axis=-1)
    values = ndimage.map_coordinates(grey, at, np.float64, order=1, mode="nearest")
    size = np.array(grey.shape)[:, None, None, None]
    values[((at < -0.5) | (at > size - 0.5)).any(axis=0)] = -np.inf
    return values


def box_in(start: tuple[int, int, int], shape: tuple[int, ...], grid: Grid, other: Grid) -> Slab:
    """The box of another grid that covers a box of this one: a slab with nothing set."""
    ends = [(first - 0.5, first + size - 0.5) for first, size in zip(start, shape, strict=True)][::-1]
    corners = np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, 3)
    matrix = np.linalg.inv(other.to_world) @ grid.to_world
    ijk = np.round(corners @ matrix[:3, :3].T + matrix[:3, 3], 6)
    i, j, k = (int(n) for n in np.floor(ijk.min(axis=0) + 0.5))
    size = (np.ceil(ijk.max(axis=0) + 0.5).astype(int) - (i, j, k))[::-1]
    return Slab((k, j, i), np.zeros(size, dtype=bool), np.zeros(size, dtype=bool))


def seen_from(
    values: np.ndarray, start: tuple[int, int, int], grid: Grid, box: Slab, other: Grid
) -> np.ndarray:
    """(dk, dj, di) bool: each voxel of a box of another grid, with the value of the voxel it lies in."""
    if np.allclose(grid.to_world, other.to_world, atol=1e-6) and (start, values.shape) == (
        box.start,
        box.mask.shape,
    ):
        return values
    matrix = np.linalg.inv(grid.to_world) @ other.to_world
    kji = np.indices(box.mask.shape, dtype=np.float64) + np.array(box.start)[:, None, None, None]
    ijk = np.tensordot(matrix[:3, :3], kji[::-1], axes=1) + matrix[:3, 3][:, None, None, None]
    at = np.floor(np.round(ijk[::-1], 6) + 0.5).astype(np.int64) - np.array(start)[:, None, None, None]
    inside = ((at >= 0) & (at < np.array(values.shape)[:, None, None, None])).all(axis=0)
    found = np.zeros(box.mask.shape, dtype=bool)
    found[inside] = values[tuple(at[:, inside])]
    return found


def _slab_on_other_grid(mask: np.ndarray, view_slice: ViewSlice, grid: Grid, image: Any) -> Slab:
    """`paste_slab` in world space, on the part of the grid that the slice or the segment may reach."""
    plane = SlicePlane.oblique(view_slice.pixel_to_world, view_slice.shape)
    thick = float(np.abs(plane.normal @ grid.to_world[:3, :3]).sum())
    reach = max(thick, view_slice.step_mm) / 2
    height, width = view_slice.shape
    corners = [
        view_slice.to_world(row, col) + plane.normal * side
        for row in (-0.5, height - 0.5)
        for col in (-0.5, width - 0.5)
        for side in (-reach, reach)
    ]
    ijk = (np.array(corners) - grid.to_world[:3, 3]) @ np.linalg.inv(grid.to_world[:3, :3]).T
    low = np.floor(ijk.min(axis=0)).astype(int)
    high = np.ceil(ijk.max(axis=0)).astype(int) + 1
    origin = grid.to_world.copy()
    origin[:3, 3] += grid.to_world[:3, :3] @ low
    shape = tuple(int(n) for n in (high - low)[::-1])
    space = Volume(np.broadcast_to(np.uint8(0), shape), origin)
    slabs = []
    spare = max(view_slice.step_mm - thick, 0.0)
    for offset in np.linspace(-spare / 2, spare / 2, int(np.ceil(spare / thick)) + 1):
        matrix = plane.pixel_to_ras.copy()
        matrix[:3, 3] += plane.normal * offset
        slabs.append(paste_slab(mask, SlicePlane.oblique(matrix, plane.shape), space))
    start = np.min([slab.start for slab in slabs], axis=0)
    end = np.max([np.add(slab.start, slab.mask.shape) for slab in slabs], axis=0)
    values, owned = np.zeros(end - start, dtype=bool), np.zeros(end - start, dtype=bool)
    for slab in slabs:
        part = tuple(
            slice(a - b, a - b + n) for a, b, n in zip(slab.start, start, slab.mask.shape, strict=True)
        )
        values[part] |= slab.mask
        owned[part] |= slab.owned
    k, j, i = (int(a + b) for a, b in zip(start, low[::-1], strict=True))
    return Slab((k, j, i), values, owned)


def _around(voxels: np.ndarray, start: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The smallest box around the voxels that are set, and where it starts."""
    parts, first = [], []
    for axis in range(3):
        hit = np.flatnonzero(voxels.any(axis=tuple(a for a in range(3) if a != axis)))
        parts.append(slice(int(hit[0]), int(hit[-1]) + 1))
        first.append(start[axis] + int(hit[0]))
    return voxels[tuple(parts)], (first[0], first[1], first[2])


def _image(values: np.ndarray, start: tuple[int, int, int], grid: Grid) -> Any:
    """(dk, dj, di) bool as vtkOrientedImageData of that box of the grid."""
    image = slicer.vtkOrientedImageData()
    (k, j, i), (dk, dj, di) = start, values.shape
    image.SetExtent(i, i + di - 1, j, j + dj - 1, k, k + dk - 1)
    image.SetImageToWorldMatrix(matrix_of(grid.to_node))
    image.GetPointData().SetScalars(numpy_to_vtk(values.astype(np.uint8).ravel(), deep=True))
    return image


def _stated_matrix(text: str) -> np.ndarray:
    """The matrix of a serialized geometry: 16 numbers, then the extent."""
    try:
        matrix = np.array([float(word) for word in text.strip(";").split(";")[:16]]).reshape(4, 4)
        np.linalg.inv(matrix)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise InputError(
            "The segmentation's geometry is damaged; set it anew in the Segment Editor."
        ) from error
    return matrix
