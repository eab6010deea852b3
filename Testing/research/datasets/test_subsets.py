"""Subsets of raters whose majority a user wants."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np

from SPASegmentLib.research.datasets.draws import draw_agreeing


def test_of_many_raters_every_group_whose_half_voted_is_as_likely():
    votes = np.array([True, False, True, False, False, True])
    rng, draws = np.random.default_rng(0), 20_000
    found = Counter(tuple(draw_agreeing(votes, rng).tolist()) for _ in range(draws))
    groups = [g for n in range(1, 7) for g in combinations(range(6), n) if 2 * votes[list(g)].sum() >= n]
    assert set(found) == set(groups)
    expected = draws / len(groups)
    assert max(abs(count - expected) for count in found.values()) < 5 * expected**0.5


def test_the_only_one_of_many_raters_who_voted_is_found_at_once():
    votes = np.arange(300) == 40
    drawn = [draw_agreeing(votes, np.random.default_rng(seed)) for seed in range(20)]
    assert all(40 in group and len(group) <= 2 for group in drawn)
