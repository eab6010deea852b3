"""The losses of one round."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def sample_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss + BCE of every sample: (B, n, G, G), (B, G, G) -> (B, n)."""
    wanted = target[:, None].expand_as(logits)
    bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=(2, 3))
    return bce + dice_loss(logits.sigmoid(), wanted)


def dice_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """1 - soft Dice over the last two axes."""
    overlap = (probabilities * target).sum(dim=(-2, -1))
    total = probabilities.sum(dim=(-2, -1)) + target.sum(dim=(-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


def mixture_loss(losses: Tensor, log_weights: Tensor, temperature: float, floor: float) -> Tensor:
    """Negative log-likelihood of the target under the mixture, one draw per component.

    With p(y | m) = exp(-loss_m / T), its gradient weighs components by the responsibilities of the E-step
    (Algorithm 1) and moves pi towards them. `floor` keeps every component alive.
    """
    weights = log_weights.exp() * (1 - floor) + floor / losses.shape[1]
    return -temperature * torch.logsumexp(weights.log() - losses / temperature, dim=1)


def candidate_loss(
    probabilities: Tensor, log_weights: Tensor, labels: Tensor, pick: Tensor, target: Tensor
) -> Tensor:
    """BCE and Dice loss of the picked candidate, the mean of its cluster's samples: (B,).

    Only the samples of the picked cluster learn from it, so the K candidates come to share out what users
    want, as the code words of a vector quantiser do.
    """
    member = labels == pick[:, None]
    member = member | ~member.any(dim=1, keepdim=True)  # an empty cluster stands for the overall mean
    log_member = torch.where(member, log_weights, -torch.inf)
    return mean_loss(probabilities, F.log_softmax(log_member, dim=1), target)


def mean_loss(probabilities: Tensor, log_weights: Tensor, target: Tensor) -> Tensor:
    """BCE and Dice loss of the mean prediction (on probabilities, not on mean logits): (B,)."""
    mean = torch.einsum("bn,bnhw->bhw", log_weights.exp(), probabilities).clamp(1e-5, 1 - 1e-5)
    bce = F.binary_cross_entropy(mean, target, reduction="none").mean(dim=(1, 2))
    return bce + dice_loss(mean, target)
