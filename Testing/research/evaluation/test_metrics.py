"""Metrics against values worked out by hand and against other people's code."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats
from torchmetrics.functional.classification import (
    binary_calibration_error,
    binary_f1_score,
    binary_jaccard_index,
)

from SPASegmentLib.research.evaluation import metrics

some_masks = arrays(bool, (3, 5, 6))


def square(row: int, col: int, side: int) -> np.ndarray:
    mask = np.zeros((10, 10), bool)
    mask[row : row + side, col : col + side] = True
    return mask


EMPTY = np.zeros((10, 10), bool)


def test_dice_of_half_overlapping_squares_is_a_half() -> None:
    assert metrics.dice(square(0, 0, 4), square(0, 2, 4)) == pytest.approx(0.5)


def test_two_empty_masks_agree_and_an_empty_one_misses_a_drawn_one() -> None:
    assert metrics.dice(EMPTY, EMPTY) == 1
    assert metrics.dice(EMPTY, square(2, 2, 3)) == 0
    assert metrics.dice(square(2, 2, 3), EMPTY) == 0
    assert metrics.iou_matrix(EMPTY[None], EMPTY[None])[0, 0] == 1


@given(some_masks, some_masks)
def test_dice_and_iou_are_torchmetrics_f1_and_jaccard(first: np.ndarray, second: np.ndarray) -> None:
    dices, ious = metrics.dice_matrix(first, second), metrics.iou_matrix(first, second)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            if a.any() or b.any():
                pair = torch.from_numpy(a.ravel()), torch.from_numpy(b.ravel()).int()
                assert dices[i, j] == pytest.approx(float(binary_f1_score(*pair)), abs=1e-6)
                assert ious[i, j] == pytest.approx(float(binary_jaccard_index(*pair)), abs=1e-6)


def test_pairwise_dice_lists_every_two_masks_once() -> None:
    masks = np.stack([square(0, 0, 4), square(0, 2, 4), EMPTY])
    assert metrics.pairwise_dice(masks) == pytest.approx([0.5, 0, 0])
    assert len(metrics.pairwise_dice(masks[:1])) == 0


def test_iterations_to_reach_counts_from_one_and_ten_where_it_is_never_reached() -> None:
    dice = np.array([[0.8, 0.9], [0.5, 0.7], [0.5, 0.69]])
    assert metrics.iterations_to_reach(dice, 0.7).tolist() == [1, 2, 10]


def test_energy_distance_of_equal_sets_is_zero_and_of_disjoint_ones_two() -> None:
    a, b = square(0, 0, 3), square(6, 6, 3)
    assert metrics.generalised_energy_distance(np.stack([a, b]), np.stack([a, b])) == pytest.approx(0)
    assert metrics.generalised_energy_distance(a[None], b[None]) == pytest.approx(2)


def test_energy_distance_by_hand() -> None:
    """Samples {A, empty}, rater {A}: 2 * (0 + 1) / 2 - (0 + 1 + 1 + 0) / 4 - 0 = 0.5."""
    a = square(1, 1, 4)
    assert metrics.generalised_energy_distance(np.stack([a, EMPTY]), a[None]) == pytest.approx(0.5)


def test_energy_distance_counts_two_empty_masks_as_equal() -> None:
    assert metrics.generalised_energy_distance(EMPTY[None], EMPTY[None]) == 0


def test_maximum_dice_match_takes_the_best_sample_for_each_rater() -> None:
    samples = np.stack([square(0, 0, 4), EMPTY])
    raters = np.stack([square(0, 0, 4), square(0, 2, 4), EMPTY])
    assert metrics.maximum_dice_match(samples, raters) == pytest.approx((1 + 0.5 + 1) / 3)


def test_matched_iou_gives_every_sample_a_rater_of_its_own() -> None:
    a, b = square(0, 0, 4), square(0, 2, 4)  # IoU 8 / 24
    assert metrics.matched_iou(np.stack([a, b]), np.stack([b, a])) == pytest.approx(1)
    assert metrics.matched_iou(a[None], np.stack([a, b])) == pytest.approx((1 + 1 / 3) / 2)
    # samples A A A, three empty; raters A A B B, two empty: pairs of 1, 1, 1/3, 0, 1 and 1
    samples, raters = np.stack([a, EMPTY]), np.stack([a, b, EMPTY])
    assert metrics.matched_iou(samples, raters) == pytest.approx((2 + 1 / 3 + 0 + 2) / 6)


@given(arrays(bool, (2, 3, 4)), arrays(bool, (4, 3, 4)))
def test_matched_iou_is_the_best_of_all_assignments(samples: np.ndarray, raters: np.ndarray) -> None:
    ious = metrics.iou_matrix(samples, raters)
    ways = set(permutations([0, 0, 1, 1]))
    best = max(np.mean([ious[sample, rater] for rater, sample in enumerate(way)]) for way in ways)
    assert metrics.matched_iou(samples, raters) == pytest.approx(best)


def test_the_area_under_dice_is_the_trapezoids_over_their_width() -> None:
    rows = np.array([[0.5, 0.7, 0.9], [0.0, 1.0, 0.0]])
    assert metrics.area_under_dice(rows) == pytest.approx([0.7, 0.5])
    assert metrics.area_under_dice(rows) * 2 == pytest.approx(integrate.trapezoid(rows, axis=1))
    assert metrics.area_under_dice(rows[:, :1]) == pytest.approx([0.5, 0.0])


@given(
    st.integers(1, 400).flatmap(
        lambda n: st.tuples(
            arrays(np.float32, n, elements=st.floats(0, 1, width=32, allow_subnormal=False)), arrays(bool, n)
        )
    )
)
def test_calibration_error_is_that_of_torchmetrics(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    probability, target = pixels
    edges = np.linspace(0, 1, 16)[1:-1]
    near_an_edge = (
        np.abs(probability[:, None] - edges).min(axis=1) < 1e-6
    )  # float32 edges there, float64 here
    probability = np.where(near_an_edge | (probability == 1), np.float32(0.5), probability)
    ours = metrics.expected_calibration_error(metrics.calibration_counts(probability, target))
    theirs = binary_calibration_error(
        torch.from_numpy(probability), torch.from_numpy(target).int(), n_bins=15, norm="l1"
    )
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_a_forecast_of_seventy_percent_that_holds_seven_times_in_ten_is_calibrated() -> None:
    target = np.arange(10) < 7
    perfect = metrics.calibration_counts(np.full(10, 0.7), target)
    assert metrics.expected_calibration_error(perfect) == pytest.approx(0)
    sure = metrics.calibration_counts(np.ones(10), target)
    assert metrics.expected_calibration_error(sure) == pytest.approx(0.3)
    assert np.isnan(metrics.expected_calibration_error(np.zeros((15, 3))))


def test_calibration_counts_of_cases_add_up() -> None:
    rng = np.random.default_rng(0)
    p, y = rng.random(100), rng.random(100) < 0.4
    halves = metrics.calibration_counts(p[:50], y[:50]) + metrics.calibration_counts(p[50:], y[50:])
    assert halves == pytest.approx(metrics.calibration_counts(p, y))


def test_interval_is_scipys_where_every_patient_has_one_case() -> None:
    rng = np.random.default_rng(0)
    values = rng.beta(8, 2, 60)
    [ours] = metrics.bootstrap_means(values[:, None], [str(i) for i in range(60)], 20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=rng
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.high, abs=0.003)


def test_interval_covers_the_truth_and_needs_the_patients_for_it() -> None:
    """Cases of a patient resemble each other; only resampling patients gives the promised coverage."""
    rng = np.random.default_rng(1)
    patients = [str(i) for i in range(40) for _ in range(5)]
    alone = [str(i) for i in range(200)]
    covered = naive = 0
    for _ in range(100):
        values = (rng.normal(0.8, 0.05, 40).repeat(5) + rng.normal(0, 0.01, 200))[:, None]
        [by_patient] = metrics.bootstrap_means(values, patients, 500)
        [by_case] = metrics.bootstrap_means(values, alone, 500)
        covered += by_patient.low <= 0.8 <= by_patient.high
        naive += by_case.low <= 0.8 <= by_case.high
    assert covered >= 87
    assert naive < 75


def test_interval_is_the_same_for_every_order_of_the_cases_patient_by_patient() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 64, (30, 2)) / 64  # sums are exact, so that order cannot matter
    patients = np.array([f"p{i % 7}" for i in range(30)])
    order = rng.permutation(30)
    assert metrics.bootstrap_means(values, list(patients), 400) == metrics.bootstrap_means(
        values[order], list(patients[order]), 400
    )


def test_many_patients_are_resampled_in_portions() -> None:
    values = np.random.default_rng(3).random((3000, 1))
    [estimate] = metrics.bootstrap_means(values, [str(i) for i in range(3000)], 3000)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * values.std() / 3000**0.5, rel=0.1)


def test_no_case_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        metrics.bootstrap_means(np.zeros((0, 1)), [])
