"""Points and slices: where a click lies, which slice a view shows, from one mask to the seed on the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import SeedError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.imaging.view_slices import ViewSlice


def central_point(
    mask: np.ndarray, spacing: tuple[float, float], near: tuple[float, float] | None = None
) -> tuple[int, int] | None:
    """The pixel of an object that lies furthest from its outline, or None where the mask is empty.

    mask: (H, W) bool. spacing: (row, col) mm. near: (row, col) of the seed; of several parts the one that
    holds it, or is nearest to it, is the object. Without it the largest is.
    """
    labels, count = ndimage.label(mask)
    if count == 0:
        return None
    if count > 1:
        mask = labels == _part(labels, count, spacing, near)
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    depth = ndimage.distance_transform_edt(np.pad(box, 1), sampling=spacing)[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row + rows[0]), int(col + cols[0])


def carried_seed(
    mask: np.ndarray, view: ViewSlice, following: ViewSlice, near: tuple[float, float] | None = None
) -> PointPrompt | None:
    """The seed that a mask on `view` proposes on the slice that follows, in that slice's pixels.

    None where the mask is empty or its middle lies outside the next slice.
    """
    at = central_point(mask, view.image.spacing, near)
    if at is None:
        return None
    return inside(following, *following.to_pixel(view.to_world(*at)))


def inside(view: ViewSlice, row: float, col: float, positive: bool = True) -> PointPrompt | None:
    """A point in pixels; one in the outer half of a border pixel belongs to that pixel, others are None."""
    height, width = view.image.shape
    slack = 0.5 + 1e-6
    if not (-slack <= row <= height - 1 + slack and -slack <= col <= width - 1 + slack):
        return None
    return PointPrompt(min(max(row, 0.0), height - 1.0), min(max(col, 0.0), width - 1.0), positive)


def shows(slice_to_ras: np.ndarray, view: ViewSlice) -> bool:
    """Whether a view's plane is this slice: parallel, and nearer to it than to its neighbours."""
    normal = slice_to_ras[:3, 2] / np.linalg.norm(slice_to_ras[:3, 2])
    height, width = view.image.shape
    distance = normal @ (view.to_world((height - 1) / 2, (width - 1) / 2) - slice_to_ras[:3, 3])
    if abs(distance) >= 0.499 * view.step_mm:  # so for nearly all slices, and much the cheaper question
        return False
    own = np.cross(view.pixel_to_world[:3, 0], view.pixel_to_world[:3, 1])
    return bool(abs(normal @ own) > 0.999 * np.linalg.norm(own))


def checked_ras(ras: Sequence[float]) -> tuple[float, float, float]:
    """Three finite coordinates. Raises SeedError."""
    try:
        r, a, s = (float(value) for value in ras)
    except (TypeError, ValueError):
        raise SeedError("The seed is not three coordinates; place it again.") from None
    if not np.isfinite([r, a, s]).all():
        raise SeedError("The seed has no finite coordinates; place it again.")
    return r, a, s


def _part(
    labels: np.ndarray, count: int, spacing: tuple[float, float], near: tuple[float, float] | None
) -> int:
    if near is None:
        return int(np.bincount(labels.ravel())[1:].argmax()) + 1
    found = np.argwhere(labels)
    distance = np.hypot(*((found - np.array(near)) * spacing).T)
    row, col = found[int(distance.argmin())]
    return int(labels[row, col])
