"""Slices that lie on no rectangular grid, resampled to one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import InputError

MOST_GROWTH = 8
"""A grid of more than this many times the voxels given is refused: its slices are too far off it."""


def resample_slices(
    array: np.ndarray, matrix: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slices to a rectangular grid, linear between and within slices: the new array, voxel -> RAS.

    array: (K, J, I[, C]). matrix: (4, 4) voxel -> RAS of the first slice, its third column the wanted step
    along the normal. places: (K, 3) mm along columns, rows and normal from the first slice to each, the last
    ascending. Where no slice reaches, the smallest value stands. Raises InputError for grids far too large.
    """
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    offset = np.round(places[:, :2] / spacing[:2], 6)  # in pixels, (column, row)
    least = np.floor(offset.min(axis=0) + 1e-6).astype(int)
    extra = np.ceil(offset.max(axis=0) - 1e-6).astype(int) - least
    depth = int(np.floor(places[-1, 2] / spacing[2] + 1e-6)) + 1
    rows, cols = array.shape[1] + int(extra[1]), array.shape[2] + int(extra[0])
    if depth * rows * cols > MOST_GROWTH * array.shape[0] * array.shape[1] * array.shape[2]:
        raise InputError(
            "The slices lie too far from a rectangular grid to be resampled; check their positions."
        )
    fill = float(array.min())
    planes = []
    for k in range(depth):
        at = k * spacing[2]
        above = min(int(np.searchsorted(places[:, 2], at - 1e-6)), len(places) - 1)
        below = max(above - 1, 0)
        gap = places[above, 2] - places[below, 2]
        share = 1.0 if gap <= 0 else float(np.clip((at - places[below, 2]) / gap, 0.0, 1.0))
        plane = np.zeros((rows, cols, *array.shape[3:]))
        for index, weight in ((below, 1 - share), (above, share)):
            if weight > 1e-9:
                plane += weight * _moved(array[index], offset[index] - least, (rows, cols), fill)
        planes.append(_as_type(plane, array.dtype))
    moved = matrix.copy()
    moved[:3, 3] = matrix[:3, 3] + matrix[:3, 0] * least[0] + matrix[:3, 1] * least[1]
    return np.stack(planes), moved


def resample_sheared(array: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sheared grid to a rectangular one that covers it, linearly: the new array, voxel -> RAS.

    array: (K, J, I). matrix: (4, 4) voxel -> RAS. The first voxel axis keeps its direction, the second its
    plane; voxel sizes stay. Where nothing was measured, the smallest value stands. Raises InputError for
    grids far too large.
    """
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    axes, upper = np.linalg.qr(matrix[:3, :3])
    axes = axes * np.sign(np.diag(upper))
    size = np.array(array.shape[::-1])
    corners = np.stack(np.meshgrid(*((0, extent - 1) for extent in size), indexing="ij")).reshape(3, -1)
    reach = (axes.T @ matrix[:3, :3] @ corners) / spacing[:, None]
    least = np.floor(reach.min(axis=1) + 1e-6)
    shape = (np.ceil(reach.max(axis=1) - 1e-6) - least).astype(int) + 1
    if shape.prod() > MOST_GROWTH * array.size:
        raise InputError(
            "The voxels lie too far from a rectangular grid to be resampled; check their positions."
        )
    moved = np.eye(4)
    moved[:3, :3] = axes * spacing
    moved[:3, 3] = matrix[:3, 3] + moved[:3, :3] @ least
    back = np.linalg.inv(matrix) @ moved
    new = ndimage.affine_transform(
        array.astype(np.float64),
        back[2::-1, 2::-1],
        back[2::-1, 3],
        output_shape=tuple(shape[::-1]),
        order=1,
        mode="constant",
        cval=float(array.min()),
    )
    return _as_type(new, array.dtype), moved


def _moved(plane: np.ndarray, offset: np.ndarray, shape: tuple[int, int], fill: float) -> np.ndarray:
    """(J, I[, C]) on a larger plane, `offset` (column, row) pixels from its corner."""
    moved = np.full((*shape, *plane.shape[2:]), fill)
    by = (-offset[1], -offset[0], *(0.0 for _ in plane.shape[2:]))
    return ndimage.affine_transform(
        plane.astype(np.float64),
        np.ones(plane.ndim),
        by,
        output_shape=moved.shape,
        order=1,
        mode="constant",
        cval=fill,
    )


def _as_type(plane: np.ndarray, kind: np.dtype) -> np.ndarray:
    return np.round(plane).astype(kind) if kind.kind in "iu" else plane.astype(kind)
