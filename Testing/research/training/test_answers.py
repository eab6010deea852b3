"""Simulated users who pick, or correct with a point, round by round."""

from __future__ import annotations

import torch

from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.research.training.answers import BatchAnswers, error_point
from SPASegmentLib.research.training.batches import Batch
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.rounds import play

GRID = 32


def square(top: int, left: int, side: int) -> torch.Tensor:
    mask = torch.zeros(GRID, GRID)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_the_point_lies_in_the_middle_of_the_largest_error_with_the_targets_label() -> None:
    target = torch.stack([square(4, 4, 16), square(4, 4, 8), square(4, 4, 8)])
    shown = torch.stack([square(4, 4, 8), square(4, 4, 16), square(4, 4, 8)])[:, None]
    points, labels = error_point(shown, target)
    assert labels[:, 0].tolist() == [1, 0, -1]
    for index in (0, 1):
        x, y = points[index, 0].long().tolist()
        assert target[index, y, x] == labels[index, 0] != shown[index, 0, y, x]
        around = (target[index] != shown[index, 0])[y - 2 : y + 3, x - 2 : x + 3]
        assert around.all()


def played(corrections: float) -> tuple[BatchAnswers, Batch, torch.Tensor]:
    target = torch.stack([square(4, 4, 12), square(10, 10, 12)])
    points = torch.tensor([[[8.0, 8.0]], [[15.0, 15.0]]])
    batch = Batch(target[:, None], target, points, torch.ones(2, 1), target[:, None])
    answers = BatchAnswers(SPAConfig(grid=GRID), TrainOptions(corrections=corrections), batch)
    samples = torch.stack([torch.stack([square(4 + s, 4, 10 + s) for s in range(6)])] * 2)
    weights = torch.full((2, 6), 1 / 6).log()
    outcome = play(samples, weights, target, answers.belief, 4)
    answers.add(outcome, torch.Generator().manual_seed(0))
    return answers, batch, samples


def test_who_picks_is_remembered_with_the_pick_and_gets_no_point() -> None:
    answers, _, _ = played(0.0)
    told = answers.interaction()
    assert told.points.shape[1] == 1
    assert told.picked is not None and not torch.allclose(told.picked, torch.tensor(0.5))
    assert answers.where_picked(torch.ones(2, 1, 1, 1)).flatten().tolist() == [1, 1]


def test_who_corrects_gives_a_point_and_no_pick() -> None:
    answers, _, samples = played(1.0)
    told = answers.interaction()
    assert told.points.shape[1] == 2 and (told.labels[:, 1] >= 0).all()
    for plane in (told.picked, told.recommendation, told.belief):
        assert plane is not None and torch.equal(plane, torch.full_like(plane, 0.5))
    assert answers.where_picked(torch.ones(2, 1, 1, 1)).flatten().tolist() == [0, 0]
    answers.belief.add(samples[:, :1], torch.zeros(2, 1))
    assert torch.allclose(answers.belief.mean(), samples[:, :1], atol=1e-3)  # what was corrected is forgotten
