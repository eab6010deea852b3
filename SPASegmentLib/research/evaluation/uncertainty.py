"""How well the spread of a proposal matches the spread of the raters (PROTOCOL.md, uncertainty quality)."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.imaging.types import Region
from SPASegmentLib.imaging.zoom import unsample
from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.research.evaluation.metrics import (
    calibration_counts,
    generalised_energy_distance,
    maximum_dice_match,
)

HALF = 127.5
"""A probability of 0.5 in the uint8 of `Feedback.samples`."""


def sample_masks(
    samples: np.ndarray, region: Region, spacing: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
    """The network's samples as masks of the slice, so that they meet the raters on the raters' own pixels.

    Each probability map goes back to the slice as the recommendation does and is cut at 0.5; outside the
    region there is nothing. samples: (N, G, G) uint8. spacing: mm. Returns (N, H, W) bool.
    """
    return np.stack([unsample(sample, region, shape, spacing) >= HALF for sample in samples])


def inside_region(region: Region, spacing: tuple[float, float], shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the slice pixels whose centres lie in the region."""
    return unsample(np.ones((region.grid, region.grid)), region, shape, spacing) > 0


def spread_against_raters(
    proposal: Proposal, masks: np.ndarray, spacing: tuple[float, float]
) -> tuple[float, float, float | None]:
    """Squared GED and D_max of the proposal's samples against the raters' masks (R, H, W).

    The third figure is the GED to the raters who drew something, None where nobody did. Who clicks sees an
    object, so no sample is empty, and a rater who drew nothing is beyond the reach of all of them.
    """
    shape = (int(masks.shape[1]), int(masks.shape[2]))
    feedback = proposal.feedback
    samples = sample_masks(feedback.samples, feedback.region, spacing, shape)
    drawn = masks[masks.any(axis=(1, 2))]
    ged = generalised_energy_distance(samples, masks)
    among_drawn = generalised_energy_distance(samples, drawn) if len(drawn) else None
    return ged, maximum_dice_match(samples, masks), among_drawn


def calibration_in_region(proposal: Proposal, target: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Calibration counts of the mean prediction against the target over the slice pixels in the region."""
    shape = (int(target.shape[0]), int(target.shape[1]))
    inside = inside_region(proposal.feedback.region, spacing, shape)
    return calibration_counts(proposal.probability[inside], target[inside])
