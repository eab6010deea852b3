"""The encoder q_phi, the decoder g_theta (paper Figure 2; Section 3, Setup) and their loss, equation (3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHRINK = 8
"""Image pixels per cell of z: three times two-fold down-sampling."""

FIRST_LOG_VARIANCE = -4.0
"""Of z before training. From 0 some seeds learn to tell the decoder by the variance, not the mean, what to
segment; z drawn from the prior then says nothing."""


class Inputs(NamedTuple):
    """x: image [x_0], partialness mask [x_m] and segmentation [x_s], each (B, 1, H, W) float."""

    image: Tensor
    mask: Tensor
    labels: Tensor

    def planes(self) -> Tensor:
        """(B, 3, H, W)."""
        return torch.cat([self.image, self.mask, self.labels], dim=1)


class Partial(NamedTuple):
    """y: partialness mask [y_m] and segmentation [y_s], each (B, 1, H, W)."""

    mask: Tensor
    labels: Tensor


class Encoder(nn.Module):
    """q_phi(z | x, y): three convolutions from 5, 32 and 16 channels, each with two-fold max pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(5, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 16, 3, padding=1)
        self.third = nn.Conv2d(16, 2, 3, padding=1)
        assert self.third.bias is not None
        with torch.no_grad():
            self.third.bias[1] = FIRST_LOG_VARIANCE

    def forward(self, x: Inputs, y: Partial) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z, each (B, 1, H / 8, W / 8)."""
        planes = torch.cat([x.planes(), y.mask, y.labels], dim=1).contiguous(
            memory_format=torch.channels_last
        )
        features = F.max_pool2d(F.relu(self.first(planes)), 2)
        features = F.max_pool2d(F.relu(self.second(features)), 2)
        mean, log_variance = F.max_pool2d(self.third(features), 2).chunk(2, dim=1)
        return mean, log_variance


class Decoder(nn.Module):
    """g_theta(z, x): four convolutions from 4, 64, 64 and 64 channels, the third transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 64, 3, padding=1)
        self.second = nn.Conv2d(64, 64, 3, padding=1)
        self.third = nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1)
        self.fourth = nn.Conv2d(64, 2, 3, padding=1)

    def forward(self, x: Inputs, z: Tensor) -> Partial:
        """Probabilities of y before anything is enforced."""
        height, width = x.image.shape[-2:]
        large = F.interpolate(z.to(x.image.dtype), size=(height, width), mode="nearest")
        planes = torch.cat([x.planes(), large], dim=1).contiguous(memory_format=torch.channels_last)
        features = F.max_pool2d(F.relu(self.first(planes)), 2)
        features = F.relu(self.third(F.relu(self.second(features))))
        mask, labels = torch.sigmoid(self.fourth(features).float()).chunk(2, dim=1)
        return Partial(mask, labels)


class WongNetwork(nn.Module):
    """Encoder and decoder, with what is known preserved in every prediction."""

    def __init__(self, *, gate: bool = False) -> None:
        super().__init__()
        self.gate = gate
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, x: Inputs, y: Partial, noise: Tensor) -> tuple[Partial, Tensor, Tensor]:
        """The prediction from z ~ q_phi, its mean and log-variance. noise: normal, of the shape of z."""
        mean, log_variance = (part.float() for part in self.encoder(x, y))
        z = mean + noise * torch.exp(0.5 * log_variance)
        return self.predict(x, z), mean, log_variance

    def predict(self, x: Inputs, z: Tensor) -> Partial:
        """Probabilities of y that keep x: p(y_m = 1) = 1 and y_s = x_s wherever x_m = 1."""
        raw = self.decoder(x, z)
        labels = raw.labels * raw.mask if self.gate else raw.labels
        return Partial(
            x.mask + (1 - x.mask) * raw.mask,
            x.mask * x.labels + (1 - x.mask) * labels,
        )

    @torch.no_grad()
    def grow(self, x: Inputs, z: Tensor) -> Partial:
        """A binary larger partial segmentation (bool): keeps x, and nothing is labelled where y_m = 0."""
        predicted = self.predict(x, z)
        mask = predicted.mask >= 0.5
        return Partial(mask, (predicted.labels >= 0.5) & mask)


def latent_shape(height: int, width: int) -> tuple[int, int, int]:
    """(1, H / 8, W / 8): the shape of one z."""
    return (1, height // SHRINK, width // SHRINK)


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
