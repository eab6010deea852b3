"""What is meant after answers: particles over regions, samples and shapes; what is shown of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.choices import alternatives, best_expected, supports
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.hypotheses import Hypotheses
from SPASegmentLib.inference.messages import RegionSamples
from SPASegmentLib.inference.posterior import Answer, PointTest, Posterior

SHAPE, SPACING = (120, 100), (1.0, 1.5)
CENTRE = (60.0, 50.0)
NUCLEUS, CELL = 10.0, 34.0
"""Radii in mm of two objects around one click."""


def disc(radius: float, row: float = CENTRE[0], col: float = CENTRE[1]) -> np.ndarray:
    """(H, W) bool, a disc of `radius` mm."""
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot((rows - row) * SPACING[0], (cols - col) * SPACING[1]) <= radius


def pool(radius: float, weight: float = 0.5, edge: float = 0.08, grid: int = 64) -> RegionSamples:
    """Three samples of about one radius, in the region that fits it; edge: how wide, in radii."""
    region = Region(CENTRE, 5 * radius, grid)
    maps = []
    for share in (0.92, 1.0, 1.08):
        axis = (np.arange(grid) - (grid - 1) / 2) * region.size_mm / grid
        distance = np.hypot(axis[:, None], axis[None])
        maps.append(expit((share * radius - distance) / (edge * radius)))
    samples = np.round(np.stack(maps) * 255).astype(np.uint8)
    return RegionSamples(region, samples, np.full(3, np.log(weight / 3)))


@pytest.fixture
def nested() -> Hypotheses:
    return Hypotheses([pool(NUCLEUS), pool(CELL)], SPACING, harmonics=4)


def shown(hypotheses: Hypotheses, *masks: np.ndarray):
    """Masks of the slice as they are compared with hypotheses."""
    whole = Region(CENTRE, 150.0, 150)
    return hypotheses.masks_on(
        np.stack([zoom.sample_mask(mask, SPACING, whole) for mask in masks]), [whole] * len(masks)
    )


def posterior(hypotheses: Hypotheses, seed: int = 0) -> Posterior:
    return Posterior(hypotheses, np.random.default_rng(seed), DEFAULT.close_enough)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_masks_of_different_regions_have_the_dice_they_have_on_the_slice(nested):
    samples = np.array([1, 4])
    logits = nested.logits(samples, np.zeros((2, nested.dimension)))
    masks = (logits > 0).astype(np.float32)
    values = nested.dice(samples, masks, nested.areas(samples, masks), shown(nested, disc(20.0)))[:, 0]
    assert values == pytest.approx([dice(disc(NUCLEUS), disc(20)), dice(disc(CELL), disc(20))], abs=0.03)


def test_before_any_answer_regions_have_the_weight_they_came_with():
    uneven = posterior(Hypotheses([pool(NUCLEUS, 0.8), pool(CELL, 0.2)], SPACING, 4))
    share = (uneven.hypotheses.owner[uneven.particles.samples] == 1).mean()
    assert share == pytest.approx(0.2, abs=0.02)


def test_a_pick_of_the_larger_object_leaves_hardly_anything_of_the_smaller(nested):
    one = posterior(nested)
    one.update([Answer(shown(nested, disc(NUCLEUS), disc(CELL)), 1)], [])
    assert (nested.owner[one.particles.samples] == 1).mean() > 0.95
    best = best_expected(one)
    mask = zoom.unsample(best.probability, best.region, SHAPE, SPACING) >= best.cut
    assert dice(mask, disc(CELL)) > 0.9


def test_picks_shape_what_no_sample_has(nested):
    """The user wants the disc moved by a fifth of its diameter: harmonics, not samples, can follow."""
    target = disc(CELL, col=CENTRE[1] + 8)
    one = posterior(nested)
    rng = np.random.default_rng(1)
    answers = []
    for _ in range(4):
        maps = alternatives(one, shown(nested, disc(CELL)), 4, rng, plain=not answers)
        masks = [zoom.unsample(m.probability, m.region, SHAPE, SPACING) >= m.cut for m in maps]
        picked = int(np.argmax([dice(mask, target) for mask in masks]))
        answers.append(Answer(shown(nested, *masks), picked))
        one = posterior(nested)
        one.update(answers, [])
    best = best_expected(one)
    mask = zoom.unsample(best.probability, best.region, SHAPE, SPACING) >= best.cut
    assert dice(mask, target) > dice(disc(CELL), target) + 0.05


def test_turning_all_down_moves_on_to_what_was_not_shown():
    nested = Hypotheses([pool(NUCLEUS, edge=0.03), pool(CELL, edge=0.03)], SPACING, harmonics=4)
    one = posterior(nested)
    turned_down = shown(nested, disc(CELL), disc(CELL - 2), disc(CELL + 2))
    before = one.dice(one.particles, turned_down).max(axis=1)
    one.update([Answer(turned_down, None)], [])
    after = one.dice(one.particles, turned_down).max(axis=1)
    assert (before > DEFAULT.close_enough).mean() > 0.03
    assert (after > DEFAULT.close_enough + 0.02).mean() < 0.04


def test_points_leave_the_hypotheses_that_obey_them(nested):
    row, col = np.round(zoom.to_grid(np.array([[60.0, 66.0]]), nested.regions[1], SPACING)[0]).astype(int)
    cells = (None, int(row * nested.regions[1].grid + col))
    one = posterior(nested)
    one.update([], [PointTest(cells, True)])
    assert (nested.owner[one.particles.samples] == 1).mean() > 0.9
    other = posterior(nested)
    other.update([], [PointTest(cells, False)])
    assert (nested.owner[other.particles.samples] == 0).mean() > 0.8


def test_equal_questions_have_equal_answers(nested):
    answer = Answer(shown(nested, disc(NUCLEUS), disc(CELL)), 0)
    first, second = posterior(nested, 3), posterior(nested, 3)
    first.update([answer], [])
    second.update([answer], [])
    np.testing.assert_array_equal(first.particles.logits, second.particles.logits)


def test_alternatives_hold_the_other_meaning_and_differ_visibly(nested):
    one = posterior(nested)
    maps = alternatives(one, shown(nested, disc(NUCLEUS)), 4, np.random.default_rng(0), plain=True)
    masks = [zoom.unsample(m.probability, m.region, SHAPE, SPACING) >= m.cut for m in maps]
    assert len(masks) == 4
    assert max(dice(mask, disc(CELL)) for mask in masks[:2]) > 0.85
    for index, mask in enumerate(masks):
        for other in [*masks[:index], disc(NUCLEUS)]:
            assert (mask != other).sum() > 0.02 * max(mask.sum(), other.sum())


def test_no_more_alternatives_are_offered_than_a_person_can_tell_apart():
    """Outlines this sharp leave the level nothing to move: three samples are three masks."""
    sharp = Hypotheses([pool(CELL, 1.0, edge=1e-4, grid=32)], SPACING, harmonics=0)
    maps = alternatives(posterior(sharp), shown(sharp, disc(CELL)), 4, np.random.default_rng(0), plain=True)
    assert 2 <= len(maps) <= 3


def test_the_four_serve_more_users_than_four_at_random(nested):
    one = posterior(nested)
    recommended = shown(nested, disc(NUCLEUS))
    maps = alternatives(one, recommended, 4, np.random.default_rng(0), plain=True)
    chosen = nested.masks_on(np.stack([m.probability >= m.cut for m in maps]), [m.region for m in maps])
    value = one.dice(one.particles, chosen).max(axis=1).mean()
    rng = np.random.default_rng(5)
    grid = nested.regions[0].grid
    for _ in range(10):
        at = rng.choice(len(one.particles.samples), 4, replace=False)
        regions = [nested.regions[nested.owner[one.particles.samples[k]]] for k in at]
        drawn = nested.masks_on(one.particles.masks[at].reshape(-1, grid, grid), regions)
        assert value > one.dice(one.particles, drawn).max(axis=1).mean()


def test_supports_are_shares_of_the_particles(nested):
    one = posterior(nested)
    shares = supports(one, shown(nested, disc(NUCLEUS), disc(CELL)))
    assert shares == pytest.approx([0.5, 0.5], abs=0.1)
    assert shares.sum() == pytest.approx(1.0)
