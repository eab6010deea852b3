"""Checks and repairs of voxel values, whatever file they came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SPASegmentLib.errors import InputError


def clean_voxels(path: Path | str, array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Make voxels ready for use: (K, J, I) or (K, J, I, 3), all finite; and sentences on what was changed.

    array: (K, J, I[, C]). Raises InputError for a single pixel or where no voxel is finite.
    """
    if np.prod(array.shape[:3]) == 1:
        raise InputError(f"{path} is a single pixel; give an image.")
    warnings: list[str] = []
    if array.ndim == 4 and array.shape[3] == 4:
        warnings.append("The image has a transparency channel: it was ignored.")
        array = np.ascontiguousarray(array[..., :3])
    if np.issubdtype(array.dtype, np.floating):
        array, replaced = _finite(path, array)
        if replaced:
            what = "1 voxel was" if replaced == 1 else f"{replaced:,} voxels were"
            warnings.append(f"{what} not a number or infinite: replaced by the smallest value of the image.")
    return array, tuple(warnings)


def _finite(path: Path | str, array: np.ndarray) -> tuple[np.ndarray, int]:
    """Replace NaN and infinite voxels by the smallest finite one, slice by slice to save memory."""
    bad = sum(int(plane.size - np.isfinite(plane).sum()) for plane in array)
    if not bad:
        return array, 0
    if bad == array.size:
        raise InputError(f"{path} holds no finite voxel; export it again.")
    least = min(plane[np.isfinite(plane)].min() for plane in array if np.isfinite(plane).any())
    if not array.flags.writeable:
        array = array.copy()
    for plane in array:
        plane[~np.isfinite(plane)] = least
    return array, bad
