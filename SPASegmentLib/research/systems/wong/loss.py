"""The loss, equation (3) of the paper."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from SPASegmentLib.research.systems.wong.network import Inputs, Partial

_SMOOTH = 1.0
"""Pixels added to both sides of the fraction, so that empty masks have a loss and a gradient."""


class Loss(NamedTuple):
    """total: what is minimised. labels, mask, divergence: its three terms before they are weighted."""

    total: Tensor
    labels: Tensor
    mask: Tensor
    divergence: Tensor


def dice_loss(target: Tensor, predicted: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Soft Dice loss with squares (V-net), of each image, then the mean: (B, 1, H, W) twice -> scalar."""
    shared = (weight * target * predicted).sum(dim=(1, 2, 3))
    total = (weight * (target**2 + predicted**2)).sum(dim=(1, 2, 3))
    return (1 - (2 * shared + _SMOOTH) / (total + _SMOOTH)).mean()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)), summed over z, then the mean over images: scalar, in nats."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=(1, 2, 3)).mean()


def loss(
    x: Inputs,
    y: Partial,
    predicted: Partial,
    mean: Tensor,
    log_variance: Tensor,
    *,
    beta0: float,
    beta1: float,
) -> Loss:
    """WDL(y_s, ys^, y_m - x_m) + beta0 DL(y_m, ym^) + beta1 KL, equation (3)."""
    labels = dice_loss(y.labels, predicted.labels, y.mask - x.mask)
    mask = dice_loss(y.mask, predicted.mask)
    kl = divergence(mean, log_variance)
    return Loss(labels + beta0 * mask + beta1 * kl, labels.detach(), mask.detach(), kl.detach())
