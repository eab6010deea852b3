"""A further point corrects the mask on the screen: where its error is small, only what lies near it changes.

How far a point lies from the outline tells how large the error is that it mends. One deep inside what is
missing says that another object is meant, and everything is looked at anew. One near the outline says that
the rest is right: the region stays, and the mask changes around the point alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from SPASegmentLib.imaging.types import PointPrompt, Region
from SPASegmentLib.inference.candidates import bounding_box
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import ProposalRequest

Spacing = tuple[float, float]


def kept_region(request: ProposalRequest, grid: int) -> Region | None:
    """The region of the mask that the newest point corrects, on a grid; None where all is looked at anew."""
    if request.corrected is None or reach_mm(request) is None:
        return None
    return replace(request.corrected.region, grid=grid)


def reach_mm(request: ProposalRequest) -> float | None:
    """How far from the newest point the mask may change; None where it is no correction of a small error."""
    if request.corrected is None:
        return None
    mask, point, spacing = request.corrected.recommendation, request.points[-1], request.image.spacing
    size = 2 * float(np.sqrt(np.count_nonzero(mask) * spacing[0] * spacing[1] / np.pi))
    depth = depth_mm(mask, point, spacing)
    if depth >= DEFAULT.small_error * size:
        return None
    return max(DEFAULT.reach_depths * depth, DEFAULT.reach_share * size)


def depth_mm(mask: np.ndarray, point: PointPrompt, spacing: Spacing) -> float:
    """How deep a point lies in what it says is wrong: how far the nearest pixel is that is as it wants.

    mask: (H, W) bool. 0 where the mask obeys the point already; infinite where no pixel does.
    """
    row, col = round(point.row), round(point.col)
    if mask[row, col] == point.positive:
        return 0.0
    box = bounding_box(mask)
    if box is None:
        return float("inf")
    rows, cols = (slice(max(part.start - 1, 0), part.stop + 1) for part in box)
    right = np.argwhere(mask[rows, cols] == point.positive)
    if not len(right):
        return float("inf")
    away = (right - (row - rows.start, col - cols.start)) * spacing
    return float(np.hypot(away[:, 0], away[:, 1]).min())


def corrected_near(
    request: ProposalRequest, mask: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is newly found near the newest point, and the mask it corrects everywhere else.

    mask: (H, W) bool and probability: (H, W), newly found. In between the outline moves gradually from the
    old one to the new. Returned as they are where the point is no correction of a small error.
    """
    before, reach = request.corrected, reach_mm(request)
    if before is None or reach is None:
        return mask, probability
    point, spacing = request.points[-1], request.image.spacing
    rows, cols = _around(point, reach, mask.shape, spacing)
    down = (np.arange(rows.start, rows.stop) - point.row) * spacing[0]
    right = (np.arange(cols.start, cols.stop) - point.col) * spacing[1]
    share = np.clip((reach - np.hypot.outer(down, right)) / (DEFAULT.reach_fade * reach), 0, 1)
    old, new = before.recommendation.copy(), before.probability.astype(np.float32)
    outline = (1 - share) * _signed(old[rows, cols], spacing, reach)
    outline += share * _signed(mask[rows, cols], spacing, reach)
    old[rows, cols] = np.where(share > 0, outline > 0, old[rows, cols])
    new[rows, cols] += share.astype(np.float32) * (probability[rows, cols] - new[rows, cols])
    return old, new


def _signed(mask: np.ndarray, spacing: Spacing, most: float) -> np.ndarray:
    """Distances (mm, at most `most`) from the outline: positive inside, negative outside."""
    if mask.all() or not mask.any():
        return np.where(mask, most, -most)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing)
    return np.clip(inside - ndimage.distance_transform_edt(~mask, sampling=spacing), -most, most)


def _around(
    point: PointPrompt, reach: float, shape: tuple[int, ...], spacing: Spacing
) -> tuple[slice, slice]:
    """Rows and columns that hold everything within reach of a point, and as much again around it."""
    parts = []
    for at, step, n in zip((point.row, point.col), spacing, shape, strict=True):
        half = int(np.ceil(2 * reach / step)) + 1
        parts.append(slice(max(round(at) - half, 0), min(round(at) + half + 1, n)))
    return parts[0], parts[1]
