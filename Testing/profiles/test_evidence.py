from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.imaging.zoom import sample_mask
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Answered, Candidate, Description, Feedback, Proposal
from SPASegmentLib.network.mixture import Mixture, log_normalised
from SPASegmentLib.profiles.evidence import (
    Contribution,
    Evidence,
    dice_matrix,
    doubted,
    log_gain,
    result_row,
    rows_of,
    summed,
)

M = 4
number = st.floats(-60, 0)
rows = st.lists(st.lists(number, min_size=M, max_size=M), min_size=0, max_size=4)


@st.composite
def contributions(draw: st.DrawFn) -> list[Contribution]:
    count = draw(st.integers(1, 8))
    return [
        Contribution(
            key=f"approval {n}",
            image=f"image {draw(st.integers(0, 3))}",
            rows=np.array(draw(rows)).reshape(-1, M),
            order=f"{draw(st.integers(0, 99)):02d}",
            weight=draw(st.sampled_from([1.0, 1.0, 0.5, 0.3])),
        )
        for n in range(count)
    ]


half_lives = st.sampled_from([None, 1.0, 7.5])


def evidence_of(parts: list[Contribution], half_life: float | None = None) -> Evidence:
    evidence = Evidence(M, {}, half_life)
    for part in parts:
        evidence = evidence.with_contribution(part)
    return evidence


@given(contributions(), st.randoms(), half_lives)
def test_the_order_in_which_images_arrive_does_not_matter(parts, random, half_life):
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert np.array_equal(evidence_of(parts, half_life).total(), evidence_of(shuffled, half_life).total())


@given(contributions(), contributions(), half_lives)
def test_removing_what_was_added_restores_the_mixture(before, added, half_life):
    base = Mixture(np.log([0.4, 0.3, 0.2, 0.1]), np.zeros((M, 2)), np.ones((M, 2)))
    evidence = evidence_of(before, half_life)
    fresh = [Contribution(f"new {p.key}", p.image, p.rows, p.order, p.weight) for p in added]
    fuller = evidence
    for part in fresh:
        fuller = fuller.with_contribution(part)
    for part in fresh:
        fuller = fuller.without(part.key)
    then = base.reweighted(fuller.total())
    assert np.abs(then.log_weights - base.reweighted(evidence.total()).log_weights).max() <= 1e-9


@given(contributions())
def test_the_total_is_the_weighted_sum_of_all_rows(parts):
    expected = sum((part.weight * part.rows.sum(axis=0) for part in parts), np.zeros(M))
    assert np.allclose(evidence_of(parts).total(), expected, rtol=1e-12, atol=1e-9)


@given(contributions())
def test_learning_the_same_slice_twice_is_learning_it_once(parts):
    assert np.array_equal(evidence_of(parts).total(), evidence_of(parts + parts).total())


@given(contributions())
def test_removing_an_image_removes_all_that_was_learnt_on_it_and_nothing_else(parts):
    image = parts[0].image
    left = evidence_of(parts).without_image(image)
    others = [part for part in parts if part.image != image]
    assert set(left.contributions) == {part.key for part in others}
    assert np.array_equal(left.total(), evidence_of(others).total())


def test_forgetting_halves_evidence_with_every_half_life_of_newer_images():
    row = np.array([[0.0, -1.0, -2.0, -3.0]])
    parts = [Contribution(f"{n}", f"{n}", row, order=f"{n}") for n in range(5)]
    faded = evidence_of(parts, half_life=2.0)
    assert np.allclose(faded.weights(), [0.25, 0.5**1.5, 0.5, 0.5**0.5, 1.0])
    assert np.allclose(faded.total(), row[0] * faded.weights().sum())
    assert np.array_equal(evidence_of(parts).weights(), np.ones(5))


def test_the_course_of_the_evidence_ends_in_its_total():
    rng = np.random.default_rng(0)
    parts = [Contribution(f"{n}", f"{n}", -rng.uniform(0, 3, (2, M)), order=f"{n}") for n in range(6)]
    for half_life in (None, 3.0):
        evidence = evidence_of(parts, half_life)
        assert np.allclose(evidence.totals()[-1], evidence.total())
        assert np.allclose(evidence.totals()[2], evidence_of(parts[:3], half_life).total())


def test_evidence_of_another_model_is_refused():
    with pytest.raises(InputError, match="another model"):
        Evidence(M).with_contribution(Contribution("a", "b", np.zeros((1, M + 1))))


@given(
    st.lists(st.floats(-500, 0), min_size=M, max_size=M), st.lists(st.floats(-3, 0), min_size=M, max_size=M)
)
def test_the_prior_for_the_next_image_keeps_a_doubt(evidence, weights):
    prior = doubted(np.array(evidence), np.array(weights))
    base = np.exp(log_normalised(np.array(weights)))
    assert (prior >= np.log(DEFAULT.doubt) - 1e-12).all()
    assert np.isclose((base * np.exp(prior)).sum(), 1.0)
    posterior = base * np.exp(np.array(evidence) - max(evidence))
    posterior /= posterior.sum()
    assert np.allclose(base * np.exp(prior), (1 - DEFAULT.doubt) * posterior + DEFAULT.doubt * base)


def test_without_evidence_the_prior_is_zero():
    assert np.allclose(doubted(np.zeros(M), np.log([0.4, 0.3, 0.2, 0.1])), 0.0, atol=1e-12)


def a_proposal(log_shares: np.ndarray, order: tuple[int, ...] = (0, 1, 2)) -> Proposal:
    empty = np.zeros((4, 4), dtype=bool)
    maps = np.zeros((len(log_shares), 4, 4), np.uint8)
    what = Description("larger", "larger", 1.0, 1.0, 0.0, 1.0, 0.0, 0.3)
    candidates = tuple(Candidate(empty, what, cluster) for cluster in order)
    feedback = Feedback(Region((0, 0), 4.0, 4), maps, np.zeros(len(maps), int), maps, maps[0], log_shares)
    return Proposal(empty, empty.astype(np.float32), candidates, feedback, 0.0)


def test_a_pick_counts_for_the_cluster_its_candidate_came_from():
    shares = np.log(np.array([[0.7, 0.1, 0.1], [0.2, 0.8, 0.1], [0.1, 0.1, 0.8]]))
    answered = [Answered(a_proposal(shares, order=(2, 0)), 0), Answered(a_proposal(shares), 1)]
    assert np.array_equal(rows_of(answered, 3), shares[[2, 1]])


def test_none_of_these_says_nothing_about_components():
    assert rows_of([Answered(a_proposal(np.zeros((3, 3))), None)], 3).shape == (0, 3)


def test_a_pick_of_what_was_not_shown_is_refused():
    with pytest.raises(InputError, match="Candidate 3 was picked but 2 were shown"):
        rows_of([Answered(a_proposal(np.zeros((3, 3)), order=(0, 1)), 2)], 3)


def bars(width: int) -> np.ndarray:
    return np.arange(10)[None, :].repeat(10, axis=0) < width


def first_feedback(widths: list[int], components: list[int]) -> Feedback:
    """Samples that are bars of these widths, of these components."""
    samples = np.stack([np.uint8(bars(width) * 255) for width in widths])
    nothing = np.zeros((0, 10, 10), np.uint8)
    return Feedback(
        Region((4.5, 4.5), 10.0, 10), samples, np.array(components), nothing, samples[0], np.zeros((0, 3))
    )


def test_a_result_speaks_for_components_whose_samples_look_like_it():
    first = first_feedback([3] * 10 + [5] * 10 + [8] * 10, [0] * 10 + [1] * 10 + [2] * 10)
    row = result_row(first, bars(5), 3, (1.0, 1.0))
    assert row.argmax() == 1 and row[1] - max(row[0], row[2]) > 1.0
    assert (row <= 0).all()


def test_a_component_without_samples_leans_on_all_of_them():
    first = first_feedback([3, 8, 8], [0, 2, 2])
    row = result_row(first, bars(8), 3, (1.0, 1.0))
    assert row[0] < row[1] < row[2]
    samples = np.array([2 * 3 / 11, 1, 1])
    assert row[1] == pytest.approx(
        DEFAULT.result_counts * np.log(np.mean(np.exp((samples - 1) / DEFAULT.result_softness)))
    )


def test_a_result_that_no_sample_resembles_says_nothing():
    first = first_feedback([3, 5, 8], [0, 1, 2])
    away = np.zeros((10, 10), bool)
    assert np.ptp(result_row(first, away, 3, (1.0, 1.0))) == pytest.approx(0)


def test_ten_results_of_no_style_leave_a_prior_less_sure_than_ten_of_one():
    first = first_feedback([3] * 4 + [5] * 4 + [8] * 4, [0] * 4 + [1] * 4 + [2] * 4)
    small, large = (result_row(first, bars(width), 3, (1.0, 1.0)) for width in (4, 8))
    steady = doubted(summed(np.array([large] * 10)))
    assert steady.argmax() == 2 and np.exp(steady[0]) < 0.05
    torn = doubted(summed(np.array([small, large] * 5)))
    assert np.ptp(torn) < np.ptp(steady)


def test_a_result_is_seen_in_the_first_region_however_large_the_last_was():
    """The first proposal looked at the middle of what the user ended in."""
    wide = first_feedback([3, 5, 8], [0, 1, 2])
    middle = Region((4.5, 4.5), 5.0, 10)
    inner = np.stack([sample_mask(bars(w), (1.0, 1.0), middle) * np.uint8(255) for w in (3, 5, 8)])
    zoomed = replace(wide, region=middle, samples=inner)
    row = result_row(zoomed, bars(5), 3, (1.0, 1.0))
    assert row.argmax() == 1 == result_row(wide, bars(5), 3, (1.0, 1.0)).argmax()


def test_dice_of_two_empty_masks_is_one():
    empty, full = np.zeros((1, 3, 3), bool), np.ones((1, 3, 3), bool)
    assert dice_matrix(np.concatenate([empty, full]), np.concatenate([empty, full])).tolist() == [
        [1, 0],
        [0, 1],
    ]


def test_a_profile_that_predicts_the_picks_gains_and_one_that_contradicts_them_loses():
    evidence = np.array([-20.0, -20.0, 0.0, -20.0])
    like_before = np.log([[0.1, 0.1, 0.9, 0.1]])
    unlike_before = np.log([[0.9, 0.1, 0.01, 0.1]])
    assert log_gain(like_before, evidence, np.zeros(M)) > 1.0
    assert log_gain(unlike_before, evidence, np.zeros(M)) < -2.0
    assert log_gain(np.zeros((0, M)), evidence, np.zeros(M)) == pytest.approx(0.0, abs=1e-12)
