"""Recommended masks have no one-pixel teeth: maps of coarse cells become pixels along smooth outlines."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.inference.messages import Proposal, ProposalRequest
from SPASegmentLib.research.evaluation.outlines import bending_energy

AROUND = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])


def teeth(mask: np.ndarray) -> float:
    """Pixels that stand out of or are missing in the outline of a mask, per 100 pixels of outline."""
    inside = np.pad(mask, 1)
    beside = ndimage.convolve(inside.astype(int), AROUND, mode="constant")
    single = (inside & (beside <= 1)) | (~inside & (beside >= 3))
    return float(100 * single.sum() / (inside & (beside < 4)).sum())


def ellipse(side: int, long: float, short: float) -> tuple[np.ndarray, np.ndarray]:
    """A tilted ellipse in noise, (side, side) float32 in [0, 1], and the pixels it covers."""
    rows, cols = np.mgrid[:side, :side] - side / 2 + 0.3
    turn = np.deg2rad(27)
    along, across = rows * np.cos(turn) + cols * np.sin(turn), cols * np.cos(turn) - rows * np.sin(turn)
    covered = np.hypot(along / long, across / short) < 1
    pixels = ndimage.gaussian_filter(0.25 + 0.5 * covered, 0.7)
    pixels += np.random.default_rng(0).normal(0, 0.08, covered.shape)
    return np.clip(pixels, 0, 1).astype(np.float32), covered


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return load_engine("compact", "cpu")


def asked(engine: LocalEngine, pixels: np.ndarray) -> Proposal:
    middle = len(pixels) / 2
    image = SliceImage(pixels, (1.0, 1.0), "CT")
    return engine.propose(ProposalRequest(image, (PointPrompt(middle, middle),)))


@pytest.mark.parametrize(("side", "long", "short"), [(128, 20, 14), (256, 60, 40)])
def test_recommended_masks_have_no_one_pixel_teeth(
    engine: LocalEngine, side: int, long: float, short: float
) -> None:
    pixels, covered = ellipse(side, long, short)
    proposal = asked(engine, pixels)
    found = proposal.recommendation
    assert 2 * (found & covered).sum() > 0.9 * (found.sum() + covered.sum())
    cells_per_pixel = proposal.feedback.region.grid / proposal.feedback.region.size_mm
    assert cells_per_pixel < 0.7, "each cell of the map becomes several pixels"
    for mask in (found, *(candidate.mask for candidate in proposal.candidates)):
        assert teeth(mask) <= 1
    assert bending_energy(found) < 4 * bending_energy(covered), "stairs as wide as cells"


def test_a_tooth_is_counted_and_a_smooth_outline_has_none() -> None:
    _, covered = ellipse(128, 40, 30)
    assert teeth(covered) == 0
    edge = np.argwhere(covered & ~ndimage.binary_erosion(covered))[::5]
    noisy = covered.copy()
    noisy[tuple(edge.T)] = False
    assert teeth(noisy) > 5
