"""The preference distribution generator: e_u -> (mu_m, sigma_m, pi_m), m = 1..M (Section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.config import SPAConfig

SIGMA_RANGE = (0.05, 1.0)


@dataclass(frozen=True)
class PreferenceDistribution:
    """p_theta(z), Eq. 1, one mixture per image of the batch (never averaged over it).

    log_weights: (B, M). means, deviations: (B, M, D).
    """

    log_weights: Tensor
    means: Tensor
    deviations: Tensor

    def one_per_component(self, generator: torch.Generator | None = None) -> Tensor:
        """z (B, M, D): one reparametrised draw from every component, for training."""
        noise = torch.randn(
            self.means.shape, generator=generator, device=self.means.device, dtype=self.means.dtype
        )
        return self.means + self.deviations * noise


class SixLayers(nn.Sequential):
    """Six linear layers with ReLU between (supplement, Section 2)."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        sizes = [inputs, *[hidden] * 5]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.Linear(hidden, outputs))


class PreferenceGenerator(nn.Module):
    """Two six-layer predictors on the pooled interaction and image embeddings.

    The components' means are learnt parameters to which the predictor adds a bounded offset: a component
    keeps its meaning from image to image, which a profile needs, and adapts within one. The deviation is
    bounded away from zero, so that no component can collapse.
    """

    def __init__(self, config: SPAConfig) -> None:
        super().__init__()
        m, d, width = config.components, config.latent_dim, config.channels
        self.shape = (m, d)
        self.means = nn.Parameter(torch.randn(m, d))
        self.mean_and_deviation = SixLayers(3 * width, width, 2 * m * d)
        self.weights = SixLayers(3 * width, width, m)

    def forward(self, pooled: Tensor) -> PreferenceDistribution:
        """pooled: (B, 3L) -> the mixture of each image."""
        offset, raw = self.mean_and_deviation(pooled).view(-1, 2, *self.shape).float().unbind(dim=1)
        low, high = SIGMA_RANGE
        return PreferenceDistribution(
            log_weights=F.log_softmax(self.weights(pooled).float(), dim=-1),
            means=self.means + torch.tanh(offset),
            deviations=low + (high - low) * torch.sigmoid(raw - 1.0),
        )
