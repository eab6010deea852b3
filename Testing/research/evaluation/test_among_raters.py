"""How well raters agree among themselves."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.results import among_raters, dice_with_the_others


def bars(*widths: int) -> np.ndarray:
    masks = np.zeros((len(widths), 4, 12), bool)
    for mask, width in zip(masks, widths, strict=True):
        mask[:, :width] = True
    return masks


def test_each_rater_is_compared_with_the_majority_of_the_others() -> None:
    found = dice_with_the_others(bars(2, 4, 6))
    # the majority of two is their union here: a pixel one of them drew has a mean of 0.5
    assert found == pytest.approx([2 * 2 / (2 + 6), 2 * 4 / (4 + 6), 2 * 4 / (6 + 4)])


def test_raters_who_drew_nothing_neither_count_nor_vote() -> None:
    found = dice_with_the_others(bars(4, 4, 0, 4))
    assert found == [1.0, 1.0, -1.0, 1.0]
    assert dice_with_the_others(bars(4, 0, 4)) == []


def test_the_model_is_measured_on_the_same_masks() -> None:
    one = CaseRecord("a", "p", rater_dice=[[0.6, 0.8, 0.1], [0.8, 0.9, 0.1]], consensus_dice=[0.7, 0.9, -1.0])
    alone = CaseRecord("b", "q", rater_dice=[[0.2, 0.0, 0.0], [0.2, 0.0, 0.0]], consensus_dice=[])
    found = among_raters([one, alone], 50)
    assert found is not None
    assert found["masks"] == 2
    assert found["others"] == pytest.approx(0.8)
    assert found["model"] == pytest.approx({"1": 0.7, "2": 0.85})
    assert among_raters([alone], 50) is None
