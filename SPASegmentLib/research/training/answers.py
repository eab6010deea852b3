"""What the simulated users of a batch have answered so far, and what the network is told of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from SPASegmentLib.network.belief import Belief
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.interaction import InteractionPrompts
from SPASegmentLib.research.training.batches import Batch
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.rounds import RoundOutcome


def oracle_point(picked: Tensor, recommendation: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The most representative spot of where pick and recommendation differ, labelled by the target.

    picked, recommendation: (B, 1, G, G) probabilities. target: (B, G, G) {0, 1}.
    Returns (B, 1, 2) (x, y) in cells and (B, 1) labels 1, 0, or -1 where they do not differ.
    """
    differs = ((picked >= 0.5) != (recommendation >= 0.5)).to(target.dtype)
    smooth = F.avg_pool2d(differs, 5, stride=1, padding=2) * differs
    value, index = smooth.flatten(1).max(dim=1)
    told = target.flatten(1).gather(1, index[:, None])[:, 0]
    grid = differs.shape[-1]
    points = torch.stack([index % grid, index // grid], dim=-1).to(target.dtype)
    return points[:, None], torch.where(value > 0, told, -torch.ones_like(told))[:, None]


UNKNOWN = 0.5
"""The probability that says nothing: planes are zero there."""


class BatchAnswers:
    """Picks and corrective points of every user of a batch, round by round.

    After a round a user picks the best candidate, or, for a share `corrections` of the users, places a point
    in the middle of the recommendation's largest error instead: that user sees the target, as the one who
    corrects a mask does.
    """

    def __init__(self, config: SPAConfig, options: TrainOptions, batch: Batch) -> None:
        self.options, self.batch = options, batch
        self.points, self.labels = batch.points, batch.labels
        self.belief = Belief(config.pick_temperature)
        self.outcome: RoundOutcome | None = None
        size = (len(batch.points), 1, *batch.target.shape[1:])
        unknown = torch.full(size, UNKNOWN, device=batch.points.device)
        self._picked = self._recommendation = self._mean = unknown
        self._has_picked = torch.zeros(len(batch.points), dtype=torch.bool, device=batch.points.device)

    def interaction(self) -> InteractionPrompts:
        """What the interaction encoder gets."""
        if self.outcome is None:
            return InteractionPrompts(self.points, self.labels, carried=self.batch.carried)
        return InteractionPrompts(
            self.points, self.labels, self._picked, self._recommendation, self._mean, self.batch.carried
        )

    def where_picked(self, change: Tensor) -> Tensor:
        """(B, n, G, G), zero for users who have not picked yet."""
        return change * self._has_picked[:, None, None, None].to(change.dtype)

    def add(self, outcome: RoundOutcome, generator: torch.Generator | None) -> None:
        """The answers to a round, whose samples and pick the belief already holds."""
        self.outcome = outcome
        batch = self.batch
        if self.options.oracle_points:
            told = oracle_point(outcome.picked, outcome.recommendation, batch.target)
            self._add_points(*told)
        share = self.options.corrections
        draw = torch.rand(len(batch.points), generator=generator, device=batch.points.device)
        corrects = draw < share
        if share:
            points, labels = error_point(outcome.recommendation, batch.target)
            self._add_points(points, torch.where(corrects[:, None], labels, -1.0))
            self.belief.forget_last(corrects, outcome.labels.shape[1])
        keep = corrects[:, None, None, None]
        self._picked = torch.where(keep, self._picked, outcome.picked)
        self._recommendation = torch.where(keep, self._recommendation, outcome.recommendation)
        self._mean = torch.where(keep, self._mean, outcome.belief)
        self._has_picked = self._has_picked | ~corrects

    def _add_points(self, points: Tensor, labels: Tensor) -> None:
        self.points = torch.cat([self.points, points.to(self.points)], dim=1)
        self.labels = torch.cat([self.labels, labels.to(self.labels)], dim=1)


@torch.no_grad()
def error_point(recommendation: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The middle of the largest error: (B, 1, G, G), (B, G, G) -> (B, 1, 2) (x, y), (B, 1) label.

    The middle is where most of the neighbourhood is wrong in the same way, at three scales; label 1 where the
    target has what the mask lacks, 0 where not, -1 where nothing is wrong.
    """
    wanted = target[:, None] >= 0.5
    mask = recommendation >= 0.5
    errors = torch.cat([wanted & ~mask, mask & ~wanted], dim=1).float()
    depth = errors * sum(F.avg_pool2d(errors, k, stride=1, padding=k // 2) * k for k in (3, 9, 21))
    value, index = depth.flatten(1).max(dim=1)
    grid = target.shape[-1]
    place = index % (grid * grid)
    label = torch.where(value > 0, 1.0 - (index // (grid * grid)).float(), -1.0)
    return torch.stack([place % grid, place // grid], dim=-1)[:, None].float(), label[:, None]
