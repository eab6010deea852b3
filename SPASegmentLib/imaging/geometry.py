"""Slices out of volumes and masks back onto the voxel grid, in any orientation."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging.types import Volume

Orientation = Literal["axial", "sagittal", "coronal"]
ORIENTATIONS: dict[str, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Orientation -> the RAS axis its normal is closest to."""
_SNAP = 1e-6
"""Fractions of a voxel below this are rounding."""


@dataclass(frozen=True, eq=False)
class SlicePlane:
    """A rectangle of pixels in space.

    shape: (H, W) pixels. pixel_to_ras: (4, 4) float64, (col, row, 0, 1) -> RAS in mm of the pixel's centre;
    the third column leads away from the plane. spacing: (row, col) mm.
    axis, index: array axis (0 = k, 1 = j, 2 = i) and index of the voxel plane it coincides with, else None.
    """

    shape: tuple[int, int]
    pixel_to_ras: np.ndarray
    spacing: tuple[float, float]
    axis: int | None = None
    index: int | None = None

    @classmethod
    def through(
        cls,
        volume: Volume,
        orientation: str,
        *,
        seed_ras: Sequence[float] | None = None,
        seed_ijk: Sequence[float] | None = None,
    ) -> SlicePlane:
        """The volume's own voxel plane through a seed, given either in RAS (mm) or in IJK voxels.

        The plane is the one whose normal is closest to S (axial), R (sagittal) or A (coronal); in a rotated
        volume that is still an exact plane of voxels, tilted as the volume is. The three orientations always
        take three different voxel axes. Rows and columns follow the voxel order, the slower index in rows:
        (j, i), (k, i) or (k, j); `display_steps` tells how to turn them for a viewer.
        Raises InputError for an unknown orientation, SeedError for a seed outside the volume.
        """
        if orientation not in ORIENTATIONS:
            raise InputError(f"There is no orientation {orientation}; choose axial, sagittal or coronal.")
        k, j, i = seed_voxel(volume, seed_ras=seed_ras, seed_ijk=seed_ijk)
        axis = orientation_axis(volume, orientation)
        return cls.of_voxels(volume, axis, (k, j, i)[axis])

    @classmethod
    def of_voxels(cls, volume: Volume, axis: int, index: int) -> SlicePlane:
        """The voxel plane `index` across array axis `axis` (0 = k, 1 = j, 2 = i), in voxel order.

        Raises InputError for a plane the volume does not have.
        """
        if axis not in (0, 1, 2) or not 0 <= index < volume.shape[axis]:
            raise InputError(f"The volume has no slice {index} along that axis; choose another slice.")
        row_axis, col_axis = (a for a in (0, 1, 2) if a != axis)
        steps = volume.ijk_to_ras[:, 2::-1]  # columns in array order: k, j, i
        matrix = np.stack(
            [
                steps[:, col_axis],
                steps[:, row_axis],
                steps[:, axis],
                volume.ijk_to_ras[:, 3] + steps[:, axis] * index,
            ],
            axis=1,
        )
        lengths = np.linalg.norm(steps[:3], axis=0)
        shape = (volume.shape[row_axis], volume.shape[col_axis])
        return cls(shape, matrix, (float(lengths[row_axis]), float(lengths[col_axis])), axis, index)

    @classmethod
    def oblique(cls, pixel_to_ras: np.ndarray, shape: tuple[int, int]) -> SlicePlane:
        """Any plane, such as a Slicer slice view: (col, row, 0, 1) -> RAS in mm, and (H, W) pixels.

        The third column is replaced by the unit normal. Raises InputError where rows and columns are not at
        right angles or have no length.
        """
        matrix = np.array(pixel_to_ras, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InputError("The slice plane is not a finite 4 x 4 matrix; choose another slice.")
        if min(shape) < 1:
            raise InputError("The slice plane has no pixels; choose another slice.")
        cols, rows = matrix[:3, 0], matrix[:3, 1]
        width, height = float(np.linalg.norm(cols)), float(np.linalg.norm(rows))
        if not (width > 0 and height > 0) or abs(cols @ rows) > 1e-3 * width * height:
            raise InputError("The slice plane is sheared or has no extent; choose another slice.")
        normal = np.cross(cols, rows)
        matrix[:3, 2] = normal / np.linalg.norm(normal)
        matrix[3] = (0, 0, 0, 1)
        return cls((int(shape[0]), int(shape[1])), matrix, (height, width))

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit normal in RAS, on the side the third column points to."""
        normal = np.cross(self.pixel_to_ras[:3, 0], self.pixel_to_ras[:3, 1])
        normal = normal / np.linalg.norm(normal)
        return normal if normal @ self.pixel_to_ras[:3, 2] > 0 else -normal


@dataclass(frozen=True, eq=False)
class Slab:
    """The voxels one slice owns, as a box of the volume.

    start: (k, j, i) of the box. mask, owned: (dk, dj, di) bool; a voxel of the box that the plane does not
    pass through is not owned and must be left as it is.
    """

    start: tuple[int, int, int]
    mask: np.ndarray
    owned: np.ndarray

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box in a (K, J, I) array."""
        k, j, i = (slice(s, s + n) for s, n in zip(self.start, self.mask.shape, strict=True))
        return (k, j, i)

    @property
    def extent(self) -> tuple[int, int, int, int, int, int]:
        """(i0, i1, j0, j1, k0, k1), both ends included, as VTK counts."""
        k, j, i = self.slices
        return (i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)


def thickness(volume: Volume, normal: np.ndarray) -> float:
    """mm of the slab of voxels an oblique slice owns: slices this far apart share no voxel and skip none.

    normal: (3,) unit, in RAS.
    """
    return float(np.abs(normal @ volume.ijk_to_ras[:3, :3]).sum())


def parallel_plane(volume: Volume, plane: SlicePlane, steps: int) -> SlicePlane | None:
    """The plane `steps` slices further along the third column, on the same pixels; None off the volume's end.

    Oblique planes are moved by their `thickness`; whether they still meet the volume, `extract_slice` tells.
    """
    if plane.axis is not None and plane.index is not None:
        index = plane.index + steps
        inside = 0 <= index < volume.shape[plane.axis]
        return SlicePlane.of_voxels(volume, plane.axis, index) if inside else None
    matrix = plane.pixel_to_ras.copy()
    matrix[:3, 3] += plane.normal * (steps * thickness(volume, plane.normal))
    return SlicePlane(plane.shape, matrix, plane.spacing)


def ijk_to_ras(volume: Volume, ijk: np.ndarray | Sequence[float]) -> np.ndarray:
    """(..., 3) voxel coordinates (i, j, k) -> (..., 3) RAS in mm."""
    return _apply(volume.ijk_to_ras, ijk)


def ras_to_ijk(volume: Volume, ras: np.ndarray | Sequence[float]) -> np.ndarray:
    """(..., 3) RAS in mm -> (..., 3) voxel coordinates (i, j, k), not rounded."""
    return _apply(np.linalg.inv(volume.ijk_to_ras), ras)


def ras_to_pixel(plane: SlicePlane, ras: np.ndarray | Sequence[float]) -> np.ndarray:
    """(..., 3) RAS in mm -> (..., 2) (row, col) of its projection onto the plane, not rounded."""
    return _apply(np.linalg.inv(plane.pixel_to_ras), ras)[..., 1::-1]


def pixel_to_ras(plane: SlicePlane, row: float, col: float) -> np.ndarray:
    """(3,) RAS in mm of a pixel's centre."""
    return plane.pixel_to_ras[:3] @ np.array([col, row, 0.0, 1.0])


def seed_voxel(
    volume: Volume,
    *,
    seed_ras: Sequence[float] | None = None,
    seed_ijk: Sequence[float] | None = None,
) -> tuple[int, int, int]:
    """(k, j, i) of the voxel that holds a seed given in RAS (mm) or IJK. Raises SeedError outside."""
    if (seed_ras is None) == (seed_ijk is None):
        raise SeedError("Give the seed either in RAS or in IJK coordinates.")
    given = np.asarray(seed_ras if seed_ras is not None else seed_ijk, dtype=np.float64)
    if given.shape != (3,) or not np.isfinite(given).all():
        raise SeedError("The seed is not three finite coordinates; place it again.")
    ijk = given if seed_ras is None else ras_to_ijk(volume, given)
    nearest = np.floor(np.round(ijk, 9) + 0.5)
    size = np.array(volume.shape[::-1])
    if (nearest < 0).any() or (nearest >= size).any():
        name = "RAS" if seed_ras is not None else "IJK"
        at = ", ".join(f"{value:g}" for value in given)
        most = " x ".join(map(str, size))
        raise SeedError(f"The seed {name} ({at}) lies outside the volume of {most} voxels; place it inside.")
    i, j, k = (int(value) for value in nearest)
    return (k, j, i)


def orientation_axis(volume: Volume, orientation: str) -> int:
    """Array axis (0 = k, 1 = j, 2 = i) whose direction is closest to the orientation's normal.

    Voxel axes are matched to R, A, S together, so that no two orientations share one.
    """
    steps = volume.ijk_to_ras[:3, 2::-1]
    cosines = np.abs(steps / np.linalg.norm(steps, axis=0))  # [RAS axis, array axis]
    best = max(permutations((2, 1, 0)), key=lambda p: round(sum(cosines[a, p[a]] for a in range(3)), 9))
    return best[ORIENTATIONS[orientation]]


def display_steps(plane: SlicePlane) -> tuple[bool, bool, bool]:
    """(transpose, flip rows, flip columns), in that order, that show a slice as radiologists expect it.

    Head up, or nose up in axial slices; the patient's right at the viewer's left, or the nose at the left in
    sagittal slices. Only for showing: masks and points stay in the plane's own rows and columns.
    """
    normal = int(np.abs(plane.normal).argmax())
    right, up = {2: (0, 1), 1: (0, 2), 0: (1, 2)}[normal]
    cols, rows = plane.pixel_to_ras[:3, 0], plane.pixel_to_ras[:3, 1]
    turn = abs(cols[right]) / np.linalg.norm(cols) < abs(rows[right]) / np.linalg.norm(rows)
    down_axis, right_axis = (cols, rows) if turn else (rows, cols)
    return bool(turn), bool(down_axis[up] > 0), bool(right_axis[right] > 0)


def to_display(pixels: np.ndarray, plane: SlicePlane) -> np.ndarray:
    """A view of (H, W[, C]) pixels turned as `display_steps` says."""
    transpose, flip_rows, flip_cols = display_steps(plane)
    pixels = pixels.swapaxes(0, 1) if transpose else pixels
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_cols else 1]


def extract_slice(volume: Volume, plane: SlicePlane) -> np.ndarray:
    """(H, W[, 3]) float32 intensities: the voxels themselves on a voxel plane, trilinear elsewhere.

    Pixels outside the volume get its smallest value. Raises InputError where the plane misses the volume.
    """
    if plane.axis is not None and plane.index is not None:
        return volume.array.take(plane.index, axis=plane.axis).astype(np.float32)
    rows, cols = np.indices(plane.shape, dtype=np.float64)
    matrix = np.linalg.inv(volume.ijk_to_ras) @ plane.pixel_to_ras
    at = [matrix[n, 0] * cols + matrix[n, 1] * rows + matrix[n, 3] for n in (2, 1, 0)]
    inside = np.ones(plane.shape, dtype=bool)
    for coordinate, size in zip(at, volume.shape, strict=True):
        inside &= (coordinate >= -0.5 - _SNAP) & (coordinate <= size - 0.5 + _SNAP)
        np.clip(coordinate, 0, size - 1, out=coordinate)
    if not inside.any():
        raise InputError("The slice plane does not meet the volume; choose another slice.")
    channels = [volume.array] if not volume.is_rgb else list(np.moveaxis(volume.array, -1, 0))
    planes = [ndimage.map_coordinates(one, at, np.float32, order=1, mode="nearest") for one in channels]
    pixels = np.stack(planes, axis=-1) if volume.is_rgb else planes[0]
    if not inside.all():
        pixels[~inside] = _least(volume)
    return pixels


def paste_mask(mask: np.ndarray, plane: SlicePlane, volume: Volume) -> np.ndarray:
    """(H, W) bool on the plane -> (K, J, I) bool on the voxel grid; the exact inverse on voxel planes.

    Off voxel planes, see `paste_slab`. Raises InputError for a mask of another shape than the plane.
    """
    slab = paste_slab(mask, plane, volume)
    pasted = np.zeros(volume.shape, dtype=bool)
    pasted[slab.slices] = slab.mask
    return pasted


def paste_slab(mask: np.ndarray, plane: SlicePlane, volume: Volume, *, crop: bool = False) -> Slab:
    """The voxels the plane passes through, each with the value of the pixel nearest to its centre.

    A voxel is owned where its centre lies within half the voxel's extent along the normal (its whole box, so
    showing the voxels on the same plane leaves no hole), and within the plane's pixels. Where the plane runs
    midway between two layers, only the one of higher index is owned, so no layer is doubled; nearest-voxel
    display and `seed_voxel` round the same way. mask: (H, W) bool.
    crop: return only the box around the voxels that are set. Raises InputError for a wrong shape or a plane
    that misses the volume.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != plane.shape:
        raise InputError(f"A mask of {mask.shape} pixels does not fit a slice of {plane.shape}.")
    if plane.axis is not None and plane.index is not None:
        values = np.expand_dims(mask, plane.axis)
        start = tuple(plane.index if axis == plane.axis else 0 for axis in range(3))
        slab = Slab(start, values, np.ones_like(values))  # type: ignore[arg-type]
    else:
        slab = _oblique_slab(mask, plane, volume)
    return _cropped(slab) if crop else slab


def _apply(matrix: np.ndarray, points: np.ndarray | Sequence[float]) -> np.ndarray:
    return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


_least_of: weakref.WeakKeyDictionary[Volume, float] = weakref.WeakKeyDictionary()


def _least(volume: Volume) -> float:
    """The volume's smallest value, computed once."""
    if volume not in _least_of:
        _least_of[volume] = float(volume.array.min())
    return _least_of[volume]


def _oblique_slab(mask: np.ndarray, plane: SlicePlane, volume: Volume) -> Slab:
    """Walk along the voxel axis closest to the normal: per column of voxels, at most four are near enough."""
    voxel_to_pixel = np.linalg.inv(plane.pixel_to_ras) @ volume.ijk_to_ras
    steps = volume.ijk_to_ras[:3, 2::-1]  # array order k, j, i
    along = plane.normal @ steps
    axis = int(np.abs(along).argmax())
    half = float(np.abs(along).sum()) / 2
    others = [a for a in range(3) if a != axis]
    grids = np.meshgrid(*(np.arange(volume.shape[a]) for a in others), indexing="ij")
    base = plane.normal @ (volume.ijk_to_ras[:3, 3] - plane.pixel_to_ras[:3, 3])
    distance = base + sum(along[a] * grid for a, grid in zip(others, grids, strict=True))
    middle = np.floor(-distance / along[axis]).astype(np.int64)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for offset in (-1, 0, 1, 2):
        at: list[np.ndarray] = [np.empty(0)] * 3
        at[axis], at[others[0]], at[others[1]] = middle + offset, grids[0], grids[1]
        share = np.round((distance + along[axis] * at[axis]) / half, 6) * np.sign(along[axis])
        near = (share > -1) & (share <= 1) & (at[axis] >= 0) & (at[axis] < volume.shape[axis])
        kji = np.stack([coordinate[near] for coordinate in at], axis=-1)
        pixel = _apply(voxel_to_pixel, kji[:, ::-1])[:, 1::-1]
        pixel = np.floor(np.round(pixel, 6) + 0.5).astype(np.int64)
        within = ((pixel >= 0) & (pixel < plane.shape)).all(axis=1)
        found.append((kji[within], mask[pixel[within, 0], pixel[within, 1]]))
    voxels = np.concatenate([kji for kji, _ in found])
    if not len(voxels):
        raise InputError("The slice plane does not meet the volume; choose another slice.")
    start = voxels.min(axis=0)
    box = tuple(voxels.max(axis=0) - start + 1)
    owned, values = np.zeros(box, dtype=bool), np.zeros(box, dtype=bool)
    k, j, i = (voxels - start).T
    owned[k, j, i] = True
    values[k, j, i] = np.concatenate([value for _, value in found])
    return Slab((int(start[0]), int(start[1]), int(start[2])), values, owned)


def _cropped(slab: Slab) -> Slab:
    """The box around the set voxels; one voxel of the box where none is set."""
    inner = []
    for axis in range(3):
        hit = np.flatnonzero(slab.mask.any(axis=tuple(a for a in range(3) if a != axis)))
        inner.append(slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else slice(0, 1))
    box = tuple(inner)
    k, j, i = (s + one.start for s, one in zip(slab.start, inner, strict=True))
    return Slab((k, j, i), slab.mask[box], slab.owned[box])
