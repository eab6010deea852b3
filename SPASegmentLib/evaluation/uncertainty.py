"""How well the spread of a proposal matches the spread of the raters (PROTOCOL.md, uncertainty quality)."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.engine.messages import Proposal
from SPASegmentLib.evaluation.metrics import (
    calibration_counts,
    generalised_energy_distance,
    maximum_dice_match,
)
from SPASegmentLib.imaging.types import Region

HALF = 127.5
"""A probability of 0.5 in the uint8 of `Feedback.samples`."""


def sample_masks(
    samples: np.ndarray, region: Region, spacing: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
    """The network's samples as masks of the slice, so that they meet the raters on the raters' own pixels.

    Each probability map is read at the pixel centres by bilinear interpolation between the cells of the
    region's grid and cut at 0.5; outside the region there is nothing.
    samples: (N, G, G) uint8. spacing: mm. Returns (N, H, W) bool.
    """
    masks = np.zeros((len(samples), *shape), dtype=bool)
    (rows, at_rows), (cols, at_cols) = (_grid_positions(region, spacing, shape, axis) for axis in (0, 1))
    if len(rows) == 0 or len(cols) == 0:
        return masks
    read = _interpolate(np.asarray(samples, dtype=np.float32), at_rows, axis=1)
    read = _interpolate(read, at_cols, axis=2)
    masks[:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = read >= HALF
    return masks


def inside_region(
    region: Region, spacing: tuple[float, float], shape: tuple[int, int]
) -> tuple[slice, slice]:
    """The slice pixels whose centres lie in the region."""
    rows, cols = (_grid_positions(region, spacing, shape, axis)[0] for axis in (0, 1))
    return tuple(slice(int(i[0]), int(i[-1]) + 1) if len(i) else slice(0, 0) for i in (rows, cols))  # type: ignore[return-value]


def _grid_positions(
    region: Region, spacing: tuple[float, float], shape: tuple[int, int], axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slice pixels along an axis that lie in the region, and where their centres fall on its grid."""
    pixels = np.arange(shape[axis])
    share = (pixels - region.centre[axis]) * spacing[axis] / region.size_mm + 0.5
    held = (share >= 0) & (share <= 1)
    return pixels[held], share[held] * region.grid - 0.5


def _interpolate(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation along one axis at fractional positions, the border cells held beyond the ends."""
    last = values.shape[axis] - 1
    at = np.clip(at, 0, last)
    before = np.minimum(at.astype(np.int64), max(last - 1, 0))
    after = np.minimum(before + 1, last)
    weight = (at - before).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return values.take(before, axis) * (1 - weight) + values.take(after, axis) * weight


def spread_against_raters(
    proposal: Proposal, masks: np.ndarray, spacing: tuple[float, float]
) -> tuple[float, float]:
    """Squared GED and D_max of the proposal's samples against the raters' masks (R, H, W)."""
    shape = (int(masks.shape[1]), int(masks.shape[2]))
    feedback = proposal.feedback
    samples = sample_masks(feedback.samples, feedback.region, spacing, shape)
    return generalised_energy_distance(samples, masks), maximum_dice_match(samples, masks)


def calibration_in_region(proposal: Proposal, target: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Calibration counts of the mean prediction against the target over the slice pixels in the region."""
    height, width = target.shape
    box = inside_region(proposal.feedback.region, spacing, (height, width))
    return calibration_counts(proposal.probability[box], target[box])
