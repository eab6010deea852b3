"""Rough labellings from files: what is foreground, what is background, and what nobody has said yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.headers import OWN
from SPASegmentLib.imaging.segment_files import first_voxel
from SPASegmentLib.imaging.types import Volume

UNKNOWN, FOREGROUND, BACKGROUND = 0, 1, 2
"""The values of a labelling in this program, and of the label files it writes."""


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
    start = first_voxel(path, given, volume)
    labels = np.full(volume.shape, UNKNOWN, dtype=np.uint8)
    ends = [slice(first, first + n) for first, n in zip(start, given.shape, strict=True)]
    part = labels[ends[0], ends[1], ends[2]]
    part[given.array == foreground] = FOREGROUND
    part[given.array == background] = BACKGROUND
    return labels
