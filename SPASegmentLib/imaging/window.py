"""Intensities to the network's [0, 1]: the window given, the file's own, CT's soft tissue, or percentiles."""

from __future__ import annotations

import weakref

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.geometry import SlicePlane, extract_slice, parallel_plane
from SPASegmentLib.imaging.types import IntensityWindow, SliceImage, Volume

CT_LUNG = IntensityWindow(-1350.0, 150.0)
CT_SOFT_TISSUE = IntensityWindow(-160.0, 240.0)
PERCENTILES = (0.5, 99.5)
NEIGHBOURS = 2
"""Slices on either side that a slice is shown to the engine with."""
_ENOUGH = 2**20
"""Percentiles are taken from at most about this many values, evenly spread; extremes from all."""
_AIR = -1100.0
"""HU; a constant above may be air or a background, which are to be seen."""
_BELOW_AIR = -1200.0
"""HU that only some noise of a CT lies below."""
_LUNG = (-900.0, -500.0)
"""HU of lung: above air with its noise, below fat."""
_LUNG_SHARE = 0.05
"""A CT slice shows lung where so much of what is not air has its HU; gas and skin make up to 0.03."""
_TISSUE = 0.0
"""HU that the brightest values of a slice reach where it shows more than air and a table."""
_SHADES = 32
"""An image of fewer shades is a drawing, whose lowest shade may be far from the next."""
_ROWS = 2**20
"""Values converted at a time, so that huge slices need no second copy in double precision."""

_is_ct: weakref.WeakKeyDictionary[Volume, bool] = weakref.WeakKeyDictionary()


def choose_window(
    volume: Volume, given: IntensityWindow | None = None, slice_pixels: np.ndarray | None = None
) -> IntensityWindow:
    """The window to show intensities with, in this order: `given`, the file's own, percentiles 0.5 and 99.5.

    A CT that states none is shown as soft tissue unless its percentiles are narrower or it shows lung.
    slice_pixels: (H, W[, C]) the values percentiles are taken from; the whole volume where None. RGB ignores
    the file's window: 8-bit colours keep 0 to 255, others take their range.
    Raises InputError for an impossible window and for constant or empty pixels.
    """
    if given is not None:
        return _checked(given)
    pixels = volume.array if slice_pixels is None else slice_pixels
    if pixels.size == 0:
        raise InputError("The slice is empty; choose another slice.")
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("The slice has values that are not finite; read the volume from its file again.")
    if low == high:
        raise InputError(f"The slice is constant (every pixel is {low:g}); choose another slice or volume.")
    if volume.is_rgb:
        return IntensityWindow(0.0, 255.0) if volume.array.dtype == np.uint8 else IntensityWindow(low, high)
    if volume.window is not None and volume.window.low < high and volume.window.high > low:
        return volume.window
    few = without_padding(pixels)
    robust_low, robust_high = (float(value) for value in np.percentile(few, PERCENTILES))
    if robust_low < CT_SOFT_TISSUE.low and robust_high > _TISSUE and is_ct(volume) and not _shows_lung(few):
        return CT_SOFT_TISSUE
    if robust_high - robust_low > 1e-6 * (high - low):
        return IntensityWindow(robust_low, robust_high)
    return IntensityWindow(low, high)


def is_ct(volume: Volume) -> bool:
    """`looks_like_ct`, found once per volume: it may have to look at every voxel."""
    if volume not in _is_ct:
        _is_ct[volume] = looks_like_ct(volume)
    return _is_ct[volume]


def looks_like_ct(volume: Volume) -> bool:
    """Whether intensities are Hounsfield units: the file says CT, or says nothing and they look like it."""
    if volume.is_rgb or volume.modality is not None:
        return volume.modality == "CT" and not volume.is_rgb
    flat = volume.array.reshape(-1)
    few = flat[:: max(1, flat.size // _ENOUGH) | 1]
    few = few[np.isfinite(few)]
    if not few.size:
        return False
    values = without_padding(few)
    low, high = float(values.min()), float(values.max())
    if not (-5000 <= low <= -500 and 50 <= high <= 33000):
        return False
    return float(np.percentile(values, 1)) >= _BELOW_AIR  # phase images of MR reach as low as that


def _shows_lung(values: np.ndarray) -> bool:
    """Whether (n,) HU of a slice hold lung, of which the soft tissue window would show nothing."""
    body = np.count_nonzero(values > _LUNG[0])
    lung = np.count_nonzero((values > _LUNG[0]) & (values < _LUNG[1]))
    return bool(lung > _LUNG_SHARE * body)


def without_padding(pixels: np.ndarray) -> np.ndarray:
    """(n,) values, evenly spread, without the constant that stands where nothing was measured.

    A smallest value that several pixels share counts as padding where it lies below air in HU and far below
    all others, by a tenth of the range of these. Images of few shades keep all.
    """
    values = pixels.reshape(-1)
    few = values[:: max(1, values.size // _ENOUGH)]
    least = few.min()
    rest = few[few > least]
    if least > _AIR or few.size - rest.size < 2 or rest.size < _SHADES:
        return few
    low, high = (float(value) for value in np.percentile(rest, PERCENTILES))
    gap = float(rest.min()) - float(least)
    if gap <= (high - low) / 10 or np.unique(rest[: 100 * _SHADES]).size < _SHADES:
        return few
    return rest


def apply_window(pixels: np.ndarray, window: IntensityWindow) -> np.ndarray:
    """(H, W[, C]) any real type -> float32 in [0, 1], linear between `low` and `high`, clipped outside."""
    _checked(window)
    result = np.empty(pixels.shape, dtype=np.float32)
    width = window.high - window.low
    rows = max(1, _ROWS // max(1, int(np.prod(pixels.shape[1:]))))
    for first in range(0, pixels.shape[0], rows):
        part = pixels[first : first + rows].astype(np.float64)
        part -= window.low
        part /= width
        np.clip(part, 0.0, 1.0, out=part)
        result[first : first + rows] = part
    return result


def make_slice(volume: Volume, plane: SlicePlane, window: IntensityWindow | None = None) -> SliceImage:
    """The slice as the engine gets it: cut, windowed (see `choose_window`), with the volume's warnings.

    Its neighbours, `NEIGHBOURS` on either side, are cut on the same pixels and shown in the same window.
    Where the file states no modality, values that are Hounsfield units make it a CT.

    Raises InputError for a slice that is constant, a line of pixels, off the volume, or flat in the window.
    """
    if min(plane.shape) < 2:
        height, width = plane.shape
        raise InputError(f"The slice is only {height} x {width} pixels; choose another orientation.")
    pixels, warnings = _finite(extract_slice(volume, plane), volume.warnings)
    chosen = choose_window(volume, None, pixels)
    if window is not None:
        chosen = choose_window(volume, window, pixels)
    elif volume.window is not None and chosen != volume.window and not volume.is_rgb:
        warnings += ("The file's display window leaves this slice flat: one from its values is used.",)
    shown = apply_window(pixels, chosen)
    if shown.min() == shown.max():
        raise InputError(
            f"The slice is flat in the window {chosen.low:g} to {chosen.high:g}; choose another window."
        )
    around = _neighbours(volume, plane, chosen)
    modality = volume.modality or ("CT" if is_ct(volume) else None)
    return SliceImage(shown, plane.spacing, modality, warnings, around)


def _neighbours(volume: Volume, plane: SlicePlane, window: IntensityWindow) -> tuple[np.ndarray | None, ...]:
    """The slices around a plane (see `SliceImage.neighbours`); () where the volume has none."""
    found: list[np.ndarray | None] = []
    for steps in (*range(-NEIGHBOURS, 0), *range(1, NEIGHBOURS + 1)):
        beside = parallel_plane(volume, plane, steps)
        try:
            pixels = None if beside is None else _finite(extract_slice(volume, beside), ())[0]
        except InputError:
            pixels = None
        found.append(None if pixels is None else apply_window(pixels, window))
    return tuple(found) if any(pixels is not None for pixels in found) else ()


def _finite(pixels: np.ndarray, warnings: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Volumes that did not come through `read_volume` may hold NaN or infinity: take the smallest value."""
    bad = ~np.isfinite(pixels)
    if not bad.any():
        return pixels, warnings
    if bad.all():
        raise InputError("The slice holds no finite value; choose another slice or volume.")
    pixels[bad] = pixels[~bad].min()
    return pixels, (*warnings, "The slice has values that are not finite: its smallest value replaces them.")


def _checked(window: IntensityWindow) -> IntensityWindow:
    if not (np.isfinite([window.low, window.high]).all() and window.low < window.high):
        raise InputError(
            f"The window {window.low:g} to {window.high:g} is empty; its low must be below its high."
        )
    return window
