"""A further point that mends a small error leaves what lies far from it as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.correcting import corrected_near, depth_mm, kept_region, reach_mm
from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.inference.messages import Corrected, ProposalRequest
from SPASegmentLib.inference.session import Session

SIZE = 120
SPACING = (0.5, 1.0)


def disc(radius_mm: float, row: float = 60, col: float = 60) -> np.ndarray:
    rows, cols = np.mgrid[:SIZE, :SIZE]
    return np.hypot((rows - row) * SPACING[0], (cols - col) * SPACING[1]) <= radius_mm


def a_request(mask: np.ndarray, point: PointPrompt) -> ProposalRequest:
    image = SliceImage(np.zeros((SIZE, SIZE), np.float32), SPACING)
    before = Corrected(mask, mask.astype(np.float32), Region((60, 60), 50.0, 32))
    return ProposalRequest(image, (PointPrompt(60, 60), point), corrected=before)


def test_how_deep_a_point_lies_in_an_error_is_in_mm() -> None:
    mask = disc(12)
    assert depth_mm(mask, PointPrompt(60, 80), SPACING) == pytest.approx(8.0, abs=0.5)
    assert depth_mm(mask, PointPrompt(100, 60), SPACING) == pytest.approx(8.0, abs=0.5)
    assert depth_mm(mask, PointPrompt(60, 68, positive=False), SPACING) == pytest.approx(4.5, abs=0.6)
    assert depth_mm(mask, PointPrompt(60, 66), SPACING) == 0.0
    assert depth_mm(mask, PointPrompt(0, 0, positive=False), SPACING) == 0.0
    assert depth_mm(np.zeros_like(mask), PointPrompt(60, 60), SPACING) == np.inf


def test_a_point_deep_in_what_is_missing_looks_at_everything_anew() -> None:
    diameter = 24.0
    near, deep = (PointPrompt(60, 60 + 12 + share * diameter) for share in (0.2, 0.35))
    assert reach_mm(a_request(disc(12), deep)) is None
    assert kept_region(a_request(disc(12), deep), 64) is None
    assert reach_mm(a_request(disc(12), near)) == pytest.approx(4 * 0.2 * diameter, rel=0.1)
    assert kept_region(a_request(disc(12), near), 64) == Region((60, 60), 50.0, 64)
    assert reach_mm(a_request(np.zeros((SIZE, SIZE), bool), near)) is None
    assert reach_mm(replace(a_request(disc(12), near), corrected=None)) is None


def test_far_from_the_point_the_old_mask_stays_and_at_the_point_the_new_one_holds() -> None:
    old, new = disc(12), disc(16) & ~disc(3, 60, 50)
    request = a_request(old, PointPrompt(60, 74))
    reach = reach_mm(request)
    assert reach == pytest.approx(DEFAULT.reach_share * 24, rel=0.02)
    mask, probability = corrected_near(request, new, np.where(new, 0.9, 0.1).astype(np.float32))
    rows, cols = np.mgrid[:SIZE, :SIZE]
    away = np.hypot((rows - 60) * SPACING[0], (cols - 74) * SPACING[1])
    assert np.array_equal(mask[away >= reach], old[away >= reach])
    assert np.array_equal(probability[away >= reach], old.astype(np.float32)[away >= reach])
    close = away <= (1 - DEFAULT.reach_fade) * reach
    assert np.array_equal(mask[close], new[close]) and (mask != old)[close].any()
    assert request.corrected is not None and np.array_equal(request.corrected.recommendation, old)


def test_between_the_two_the_outline_moves_gradually() -> None:
    old, new = disc(12), disc(16)
    mask, _ = corrected_near(a_request(old, PointPrompt(60, 74)), new, new.astype(np.float32))
    radii = []
    for angle in np.linspace(0, np.pi, 60):
        reach = np.arange(0, 20, 0.25)
        at = np.round(60 + reach * np.sin(angle) / SPACING[0]), np.round(60 + reach * np.cos(angle))
        radii.append(reach[mask[at[0].astype(int), at[1].astype(int)]].max())
    assert radii[0] == pytest.approx(16, abs=0.8) and radii[-1] == pytest.approx(12, abs=0.8)
    assert np.abs(np.diff(radii)).max() < 2.0  # a cut along a circle would step by all 4 mm at once


@pytest.fixture(scope="module", params=["general", "compact", "clusters"])
def engine(request: pytest.FixtureRequest) -> LocalEngine:
    """The shipped models, and the paper's candidates by K-means."""
    if request.param == "general":
        return load_engine("general", "cpu")
    engine = load_engine("compact", "cpu")
    if request.param == "clusters":
        engine.config = replace(engine.config, harmonics=0)
    return engine


@pytest.fixture(scope="module")
def begun(engine: LocalEngine) -> Session:
    """A click on a soft disc with a smaller one on its side."""
    noise = np.random.default_rng(3).normal(0, 0.02, (SIZE, SIZE))
    blob = ndimage.gaussian_filter((disc(12) | disc(7, 60, 74)).astype(float), (3.0, 1.5))
    image = SliceImage((0.2 + 0.5 * blob + noise).clip(0, 1).astype(np.float32), SPACING)
    return Session.start(image, engine.model, (60.0, 66.0)).advance(engine)


def test_only_a_further_point_says_what_it_corrects(engine: LocalEngine, begun: Session) -> None:
    assert begun.proposal is not None
    assert Session.start(begun.image, engine.model, (60.0, 66.0)).request().corrected is None
    assert begun.pick(0).request().corrected is None
    assert begun.none_of_these().request().corrected is None
    corrected = begun.add_point(60, 70).request().corrected
    assert corrected is not None and corrected.recommendation is begun.proposal.recommendation
    assert corrected.region == begun.proposal.feedback.region


@pytest.mark.parametrize("positive", [True, False])
def test_in_use_a_point_near_the_outline_leaves_the_other_side_as_it_was(
    engine: LocalEngine, begun: Session, positive: bool
) -> None:
    assert begun.proposal is not None
    before = begun.proposal.recommendation
    edge = int(np.flatnonzero(before[60]).max())
    col = edge + 2 if positive else edge - 1
    pointed = begun.add_point(60, col, positive=positive)
    assert reach_mm(pointed.request()) is not None
    found = pointed.advance(engine).proposal
    assert found is not None and found.recommendation[60, col] == positive
    changed = found.recommendation ^ before
    rows, cols = np.nonzero(changed)
    away = np.hypot((rows - 60) * SPACING[0], (cols - col) * SPACING[1])
    size = 2 * np.sqrt(before.sum() * SPACING[0] * SPACING[1] / np.pi)
    assert changed.any() and away.max() <= max(DEFAULT.reach_share * size, 8.0) + 0.5
    feedback = found.feedback  # the next request is told of what is shown, not of what was found
    region = replace(feedback.region, grid=feedback.recommendation.shape[-1])
    shown = zoom.sample(found.probability, SPACING, region)
    assert np.abs(shown * 255 - feedback.recommendation).max() <= 1
    assert feedback.region.size_mm == begun.proposal.feedback.region.size_mm
