"""The losses of a round, for several users at once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from SPASegmentLib.research.training.losses import (
    candidate_loss,
    map_loss,
    mean_loss,
    mixture_loss,
    sample_loss,
)


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(0)
    logits = 1.5 * torch.randn(2, 6, 12, 12, generator=generator)
    targets = (torch.rand(2, 5, 12, 12, generator=generator) > 0.6).float()
    log_weights = torch.randn(2, 6, generator=generator).log_softmax(dim=1)
    return logits, targets, log_weights


def one(probability: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    dice = (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    return F.binary_cross_entropy(probability, target) + 1 - dice


def test_every_sample_and_user_gets_dice_and_cross_entropy(drawn):
    logits, targets, _ = drawn
    losses = sample_loss(logits, targets)
    assert losses.shape == (2, 6, 5)
    for b, n, u in ((0, 0, 0), (1, 5, 4), (0, 3, 2)):
        assert losses[b, n, u] == pytest.approx(float(one(logits[b, n].sigmoid(), targets[b, u])), rel=1e-5)


def test_maps_of_probabilities_get_the_same(drawn):
    logits, targets, _ = drawn
    assert torch.allclose(map_loss(logits.sigmoid(), targets), sample_loss(logits, targets), atol=1e-5)


def test_the_mean_loss_is_that_of_the_weighted_mean(drawn):
    logits, targets, log_weights = drawn
    mean = torch.einsum("bn,bnhw->bhw", log_weights.exp(), logits.sigmoid())
    assert mean_loss(logits.sigmoid(), log_weights, targets)[1, 3] == pytest.approx(
        float(one(mean[1], targets[1, 3])), rel=1e-5
    )


def test_many_users_at_once_are_the_mean_of_users_one_by_one(drawn):
    logits, targets, log_weights = drawn
    labels = torch.tensor([[0, 1, 2, 3, 0, 1], [0, 0, 1, 1, 2, 3]])
    probabilities = logits.sigmoid()

    def total(wanted: torch.Tensor) -> torch.Tensor:
        mixture = mixture_loss(sample_loss(logits, wanted), log_weights, 0.02, 0.05)
        return mixture + candidate_loss(probabilities, log_weights, labels, wanted, 4)

    together = total(targets).mean()
    alone = torch.stack([total(targets[:, u : u + 1]).mean() for u in range(5)]).mean()
    assert together == pytest.approx(float(alone), rel=1e-5)


def test_only_the_picked_cluster_learns_from_a_pick():
    logits = torch.full((1, 3, 8, 8), -4.0)
    logits[0, 0, 2:4, 2:4] = logits[0, 1, 2:6, 2:6] = logits[0, 2] = 4.0
    logits.requires_grad_()
    target = torch.zeros(1, 1, 8, 8)
    target[0, 0, 2:6, 2:6] = 1
    labels = torch.tensor([[0, 1, 2]])
    weights = torch.full((1, 3), 1 / 3).log()
    candidate_loss(logits.sigmoid(), weights, labels, target, 4).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 1].abs().sum() > 0
    assert logits.grad[0, [0, 2]].abs().sum() == 0


def test_an_empty_cluster_stands_for_the_overall_mean():
    logits = torch.tensor([3.0, -3.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    weights = torch.tensor([[0.5, 0.5]]).log()
    loss = candidate_loss(
        logits.sigmoid(), weights, torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 1, 4, 4), 4
    )
    assert torch.isfinite(loss).all()
    assert loss[0, 0] == pytest.approx(float(one(torch.full((4, 4), 0.5), torch.ones(4, 4))), rel=1e-4)
