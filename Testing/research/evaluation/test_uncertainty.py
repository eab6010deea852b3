"""The spread of a proposal on the raters' own pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_toys import ToyDataset, ToyEngine

from SPASegmentLib.imaging.types import Region
from SPASegmentLib.research.evaluation.interaction import (
    calibration_in_region,
    inside_region,
    interact,
    sample_masks,
    spread_against_raters,
    spread_of_few,
)
from SPASegmentLib.research.evaluation.metrics import dice
from SPASegmentLib.research.evaluation.protocol import draw


def a_disc(
    shape: tuple[int, int], spacing: tuple[float, float], centre_mm: tuple[float, float], radius: float
):
    """Which pixels lie within `radius` mm of a point."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows * spacing[0] - centre_mm[0], cols * spacing[1] - centre_mm[1]) <= radius


def test_a_grid_that_is_the_slice_gives_its_pixels_back() -> None:
    samples = (np.random.default_rng(0).random((3, 16, 16)) < 0.5).astype(np.uint8) * 255
    region = Region((7.5, 7.5), 32.0, 16)
    assert (sample_masks(samples, region, (2.0, 2.0), (16, 16)) == (samples > 0)).all()


def test_a_probability_of_a_half_is_foreground() -> None:
    region = Region((0.5, 0.5), 2.0, 2)
    values = np.array([[[127, 128], [0, 255]]], np.uint8)
    assert sample_masks(values, region, (1.0, 1.0), (2, 2))[0].tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (1.0, 0.6), (0.9, 2.0)])
def test_a_disc_in_a_region_lands_where_it_is_in_millimetres(spacing: tuple[float, float]) -> None:
    """A disc drawn on the fine grid and one drawn on the slice are the same disc."""
    centre, size, grid = (21.0, 17.5), 24.0, 96
    steps = ((np.arange(grid) + 0.5) / grid - 0.5) * size
    middle = (centre[0] * spacing[0] + 3, centre[1] * spacing[1] - 2)
    in_mm = [steps + centre[axis] * spacing[axis] for axis in (0, 1)]
    distance = np.hypot(in_mm[0][:, None] - middle[0], in_mm[1][None] - middle[1])
    soft = np.clip(127.5 + (6 - distance) * 60, 0, 255).astype(np.uint8)
    shape = (60, 50)
    mask = sample_masks(soft[None], Region(centre, size, grid), spacing, shape)[0]
    assert dice(mask, a_disc(shape, spacing, middle, 6.0)) > 0.985


def test_a_region_beyond_the_slice_is_cut_off() -> None:
    full = np.full((1, 8, 8), 255, np.uint8)
    mask = sample_masks(full, Region((0.0, 0.0), 8.0, 8), (1.0, 1.0), (10, 10))[0]
    assert mask[:4, :4].all()
    assert mask.sum() == 16  # the far edge belongs to the next pixel
    assert not sample_masks(full, Region((-30.0, 2.0), 8.0, 8), (1.0, 1.0), (10, 10)).any()
    assert not inside_region(Region((-30.0, 2.0), 8.0, 8), (1.0, 1.0), (10, 10)).any()


def test_raters_outside_the_region_still_count_against_the_samples() -> None:
    case = ToyDataset()[2]
    drawn = draw(case, 0)
    assert drawn is not None
    proposal = interact(ToyEngine(), case, drawn, iterations=1).proposals[0]
    far = case.masks.copy()
    far[:, :4, :4] = True
    away = replace(proposal, feedback=replace(proposal.feedback, region=Region((20.0, 20.0), 14.0, 32)))
    assert (
        spread_against_raters(away, far, case.spacing)[0]
        > spread_against_raters(away, case.masks, case.spacing)[0]
    )


def test_samples_that_are_the_raters_masks_have_no_distance_and_match_fully() -> None:
    case = ToyDataset()[2]
    drawn = draw(case, 0)
    assert drawn is not None
    proposal = interact(ToyEngine(), case, drawn, iterations=1).proposals[0]
    perfect = replace(proposal.feedback, samples=case.masks.astype(np.uint8) * 255)
    ged, d_max, _ = spread_against_raters(replace(proposal, feedback=perfect), case.masks, case.spacing)
    assert ged == pytest.approx(0)
    assert d_max == pytest.approx(1)


def test_sixteen_samples_are_drawn_without_replacement_and_measured_like_all() -> None:
    case = ToyDataset()[2]
    drawn = draw(case, 0)
    assert drawn is not None
    proposal = interact(ToyEngine(), case, drawn, iterations=1, n_samples=48).proposals[0]
    samples = np.repeat(case.masks, 4, axis=0).astype(np.uint8) * 255
    perfect = replace(proposal, feedback=replace(proposal.feedback, samples=samples))
    few = spread_of_few(perfect, case.masks, case.spacing, np.random.default_rng(0))
    assert few == pytest.approx((0, 1, 1))
    thrice = np.concatenate([samples, samples, samples])
    many = replace(proposal, feedback=replace(proposal.feedback, samples=thrice))
    first, again, other = (
        spread_of_few(many, case.masks, case.spacing, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first[0] > 0 and first[1] < 1 and first[2] == 1
    eight = replace(perfect, feedback=replace(perfect.feedback, samples=samples[::2]))
    assert spread_of_few(eight, case.masks, case.spacing, np.random.default_rng(0)) == pytest.approx(
        (0, 1, 1)
    )


def test_calibration_looks_only_inside_the_region() -> None:
    case = ToyDataset()[2]
    drawn = draw(case, 0)
    assert drawn is not None
    proposal = interact(ToyEngine(), case, drawn, iterations=1).proposals[0]
    small = replace(proposal.feedback, region=Region((15.0, 15.0), 0.7 * 8.9, 32))
    counts = calibration_in_region(replace(proposal, feedback=small), drawn.target, case.spacing)
    assert counts[:, 0].sum() == 81
    box = (slice(11, 20), slice(11, 20))
    assert counts[:, 2].sum() == drawn.target[box].sum()
    assert counts[:, 1].sum() == pytest.approx(proposal.probability[box].sum(), rel=1e-5)


def test_the_distance_to_those_who_drew_leaves_out_those_who_did_not() -> None:
    case = ToyDataset()[0]
    drawn = draw(case, 0)
    assert drawn is not None
    proposal = interact(ToyEngine(), case, drawn, iterations=1).proposals[0]
    whole, _, same = spread_against_raters(proposal, case.masks, case.spacing)
    assert whole == same
    fewer = case.masks.copy()
    fewer[1:3] = False
    ged, _, among_drawn = spread_against_raters(proposal, fewer, case.spacing)
    [expected] = [spread_against_raters(proposal, case.masks[[0, 3]], case.spacing)[0]]
    assert among_drawn == pytest.approx(expected)
    assert ged > among_drawn
    assert spread_against_raters(proposal, np.zeros_like(fewer), case.spacing)[2] is None
