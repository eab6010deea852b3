"""What picks and rejections say of the samples so far."""

from __future__ import annotations

import math

import pytest
import torch

from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.network.belief import Belief, log_none, pairwise_dice

TEMPERATURE, CLOSE = 0.05, DEFAULT.close_enough


def strips(*widths: int) -> torch.Tensor:
    """(1, n, 40, 40): one sample a width, filled from the left."""
    return torch.stack([(torch.arange(40) < width).float().expand(40, 40) for width in widths])[None]


def test_rejecting_all_candidates_leaves_the_samples_that_none_of_them_resembles():
    belief = Belief(TEMPERATURE)
    belief.add(strips(10, 30), torch.full((1, 2), 0.5).log())
    mean = belief.reject(strips(10, 11), CLOSE)
    assert mean[0, 0, 20, 5] == pytest.approx(1.0), "both samples have it"
    assert mean[0, 0, 20, 20] > 0.8, "only the sample far from all candidates has it"


def test_rejections_add_up():
    once, twice = (Belief(TEMPERATURE) for _ in range(2))
    for belief in (once, twice):
        belief.add(strips(10, 30), torch.full((1, 2), 0.5).log())
    first = once.reject(strips(10), CLOSE)
    twice.reject(strips(10), CLOSE)
    assert twice.reject(strips(11), CLOSE)[0, 0, 20, 20] > first[0, 0, 20, 20]


@pytest.mark.parametrize("width, rejected", [(20, 0.12), (16, 0.55), (13, 0.9), (10, 1.0)])
def test_a_candidate_is_taken_every_other_time_where_dice_is_nine_tenths(width, rejected):
    samples, candidates = strips(width), strips(20)
    dice = float(pairwise_dice(samples, candidates))
    assert dice == pytest.approx(2 * width / (width + 20))
    probability = math.exp(float(log_none(samples, candidates, TEMPERATURE, CLOSE)))
    assert probability == pytest.approx(rejected, abs=0.01)
