"""The losses of one round, each for one or more users who look at the same image with the same click.

Targets are (B, U, G, G): what each of U users wants. Dice and BCE are linear in the target but for its area,
so that U users cost two matrix products, not U passes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EDGE = 1e-5
"""Probabilities of means are kept this far from 0 and 1."""


def sample_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Dice loss + BCE of every sample for every user: (B, n, G, G), (B, U, G, G) -> (B, n, U)."""
    flat, wanted = logits.flatten(2), targets.flatten(2)
    bce = F.softplus(flat).mean(dim=2)[..., None] - torch.bmm(flat, wanted.mT) / flat.shape[2]
    return bce + _dice_loss(flat.sigmoid(), wanted)


def map_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The same for maps of probabilities, such as a mean: (B, n, G, G), (B, U, G, G) -> (B, n, U).

    BCE is taken of the mean prediction, not of the mean logits.
    """
    flat, wanted = probabilities.flatten(2).clamp(EDGE, 1 - EDGE), targets.flatten(2)
    outside = torch.log1p(-flat)
    bce = -outside.mean(dim=2)[..., None] - torch.bmm(flat.log() - outside, wanted.mT) / flat.shape[2]
    return bce + _dice_loss(flat, wanted)


def _dice_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - soft Dice: (B, n, P), (B, U, P) -> (B, n, U)."""
    overlap = torch.bmm(probabilities, targets.mT)
    total = probabilities.sum(dim=2)[..., None] + targets.sum(dim=2)[:, None]
    return 1 - (2 * overlap + 1) / (total + 1)


def mixture_loss(losses: Tensor, log_weights: Tensor, temperature: float, floor: float) -> Tensor:
    """Negative log-likelihood of each target under the mixture, one draw per component: (B, n, U) -> (B, U).

    With p(y | m) = exp(-loss_m / T), its gradient weighs components by the responsibilities of the E-step
    (Algorithm 1) and moves pi, (B, n), towards them. `floor` keeps every component alive.
    """
    weights = log_weights.exp() * (1 - floor) + floor / losses.shape[1]
    return -temperature * torch.logsumexp(weights.log()[..., None] - losses / temperature, dim=1)


def mean_loss(probabilities: Tensor, log_weights: Tensor, targets: Tensor) -> Tensor:
    """BCE and Dice loss of the mean prediction: (B, n, G, G), (B, n), (B, U, G, G) -> (B, U)."""
    mean = torch.einsum("bn,bnhw->bhw", log_weights.exp(), probabilities)
    return map_loss(mean[:, None], targets)[:, 0]


def candidate_loss(
    probabilities: Tensor, log_weights: Tensor, labels: Tensor, targets: Tensor, k: int
) -> Tensor:
    """BCE and Dice loss of the candidate each user picks, the mean of its cluster's samples: (B, U).

    labels: (B, n) cluster of every sample. A user picks the candidate, cut at 0.5, with the highest Dice.
    Only the samples of the picked cluster learn from it, so the K candidates come to share out what users
    want, as the code words of a vector quantiser do.
    """
    share = F.one_hot(labels, k).to(probabilities.dtype) * log_weights.exp()[..., None]
    empty = share.sum(dim=1, keepdim=True) <= 1e-9  # an empty cluster stands for the overall mean
    share = torch.where(empty, log_weights.exp()[..., None], share)
    share = share / share.sum(dim=1, keepdim=True)
    candidates = torch.einsum("bnk,bnhw->bkhw", share, probabilities)
    with torch.no_grad():
        shown = (candidates >= 0.5).to(probabilities.dtype).flatten(2)
        pick = _dice_loss(shown, targets.flatten(2)).argmin(dim=1, keepdim=True)
    return map_loss(candidates, targets).gather(1, pick)[:, 0]
