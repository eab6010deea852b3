from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.profiles.evidence import (
    Contribution,
    Evidence,
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
    return Evidence(M, {part.key: part for part in parts}, half_life)


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
    fuller = evidence_of([*before, *fresh], half_life)
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
