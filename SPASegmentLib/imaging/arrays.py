"""One slice given as an array of raw intensities, as a volume of one slice."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import Volume


def volume_of_array(
    array: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0), modality: str | None = None
) -> Volume:
    """A volume of one axial slice, whose voxel plane is the array as it stands.

    array: (H, W) grey or (H, W, 3) RGB of any real type, or what numpy makes one of. spacing: (row, col) mm
    per pixel. Raises InputError for anything else.
    """
    try:
        pixels = np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError("The image is no array of numbers; give (H, W) or (H, W, 3) intensities.") from error
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind not in "iuf":
        raise InputError(f"The image has values of type {pixels.dtype}; give real numbers.")
    if pixels.size == 0 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        shape = " x ".join(map(str, pixels.shape)) or "a single number"
        raise InputError(f"The image is {shape}; give one slice, (H, W) grey or (H, W, 3) RGB.")
    try:
        row, col = (float(size) for size in spacing)
    except (TypeError, ValueError) as error:
        raise InputError("The spacing is two sizes in mm per pixel: (row, col).") from error
    if not (np.isfinite([row, col]).all() and row > 0 and col > 0):
        raise InputError(f"The spacing ({row:g}, {col:g}) mm is no size of pixels; give positive numbers.")
    return Volume(pixels[np.newaxis], np.diag([-col, -row, 1.0, 1.0]), modality, name="image")
