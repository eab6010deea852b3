"""Rough labellings from files: what is foreground, what is background, and what nobody has said yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.headers import OWN
from SPASegmentLib.imaging.types import Volume

UNKNOWN, FOREGROUND, BACKGROUND = 0, 1, 2
"""The values of a labelling in this program, and of the label files it writes."""
_OFF = 1e-2
"""How far, in voxels, a label file's grid may lie off the volume's."""


def read_labels(
    path: str | Path, volume: Volume, foreground: int = FOREGROUND, background: int = BACKGROUND
) -> np.ndarray:
    """A label file on the volume's voxels: (K, J, I) uint8 of UNKNOWN, FOREGROUND and BACKGROUND.

    foreground, background: the file's values; everything else in it must be 0. The file may cover a part of
    the volume, as a segmentation that Slicer cropped does. Raises InputError with one sentence for a file
    that cannot be read, holds other values, or lies on another grid.
    """
    if foreground == background or 0 in (foreground, background):
        raise InputError("Foreground and background need two different label values that are not 0.")
    given = read_volume(path, OWN)
    if given.is_rgb:
        raise InputError(f"{path} is in colour; save the labels as one number per voxel.")
    present = np.unique(given.array)
    other = [value for value in present if value not in (0, foreground, background)]
    if other:
        raise InputError(
            f"{path} has the value {other[0]:g}; say with --foreground and --background which values mean "
            "what, and leave the rest 0."
        )
    start = _start(path, given, volume)
    labels = np.full(volume.shape, UNKNOWN, dtype=np.uint8)
    ends = [slice(first, first + n) for first, n in zip(start, given.shape, strict=True)]
    part = labels[ends[0], ends[1], ends[2]]
    part[given.array == foreground] = FOREGROUND
    part[given.array == background] = BACKGROUND
    return labels


def _start(path: str | Path, given: Volume, volume: Volume) -> tuple[int, ...]:
    """(k, j, i) of the volume's voxel that the file's first voxel is."""
    steps = np.linalg.norm(volume.ijk_to_ras[:3, :3], axis=0)
    reach = np.array(given.shape[::-1]) * np.abs(given.ijk_to_ras[:3, :3] - volume.ijk_to_ras[:3, :3]) / steps
    first = np.linalg.solve(volume.ijk_to_ras, given.ijk_to_ras[:, 3])[:3]
    start = np.round(first)
    if reach.max() > _OFF or np.abs(first - start).max() > _OFF:
        raise InputError(
            f"{path} lies on another voxel grid than the volume; draw or resample it on its grid."
        )
    size, last = np.array(volume.shape[::-1]), start + np.array(given.shape[::-1])
    if (start < 0).any() or (last > size).any():
        raise InputError(f"{path} reaches beyond the volume; crop it to the volume.")
    return tuple(int(value) for value in start[::-1])
