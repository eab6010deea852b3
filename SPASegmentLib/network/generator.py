"""The preference distribution generator: e_u -> (mu_m, sigma_m, pi_m), m = 1..M (Section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.config import SPAConfig

SIGMA_RANGE = (0.05, 1.0)
FIXED_DEVIATION = 0.5
"""Of Gaussians that do not learn."""
POINT_DEVIATION = 1e-6
"""A distribution needs a width; this one changes no pixel."""


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
        self.preference = config.preference
        moves = config.preference in ("mixture", "gaussians", "point")
        weighs = config.preference in ("mixture", "weights")
        self.means = nn.Parameter(torch.randn(m, d), requires_grad=moves)
        self.mean_and_deviation = SixLayers(3 * width, width, 2 * m * d) if moves else None
        self.weights = SixLayers(3 * width, width, m) if weighs else None

    def forward(self, pooled: Tensor) -> PreferenceDistribution:
        """pooled: (B, 3L) -> the mixture of each image."""
        means, deviations = self._gaussians(pooled)
        scores = (
            pooled.new_zeros(len(pooled), self.shape[0]) if self.weights is None else self.weights(pooled)
        )
        return PreferenceDistribution(F.log_softmax(scores.float(), dim=-1), means, deviations)

    def _gaussians(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """mu and sigma, (B, M, D) each."""
        if self.mean_and_deviation is None:
            means = self.means.expand(len(pooled), -1, -1)
            return means, torch.full_like(means, FIXED_DEVIATION)
        offset, raw = self.mean_and_deviation(pooled).view(-1, 2, *self.shape).float().unbind(dim=1)
        means = self.means + torch.tanh(offset)
        if self.preference == "point":
            return means, torch.full_like(means, POINT_DEVIATION)
        low, high = SIGMA_RANGE
        return means, low + (high - low) * torch.sigmoid(raw - 1.0)
