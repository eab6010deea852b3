"""How large the object is: a distribution over its extent, and how good the recommendation is likely to be.

A look at a region of the wrong size still shows how large the object under the seed is. The head says so as a
distribution over the longer side of its bounding box relative to the region's side, in steps of a third of an
octave; where people mean different things by one click, it has several peaks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST = -4.0
"""log2(extent / region) at the first bin's centre."""
STEP = 1 / 3
"""Octaves from bin to bin."""


def bin_centres(bins: int, device: torch.device | None = None) -> Tensor:
    """(bins,) log2(extent / region)."""
    return SMALLEST + STEP * torch.arange(bins, device=device, dtype=torch.float32)


def soft_bins(log_extent: Tensor, bins: int) -> Tensor:
    """(...) log2(extent / region) -> (..., bins): shared out between the two nearest bins."""
    at = ((log_extent - SMALLEST) / STEP).clamp(0, bins - 1)
    distance = (at[..., None] - torch.arange(bins, device=at.device, dtype=at.dtype)).abs()
    return (1 - distance).clamp(min=0)


class ExtentHead(nn.Module):
    """From the pooled embeddings and the decoder's mask token to the two answers."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.extent = nn.Sequential(nn.Linear(4 * channels, channels), nn.ReLU(), nn.Linear(channels, bins))
        self.quality = nn.Sequential(
            nn.Linear(4 * channels + STATISTICS, channels), nn.ReLU(), nn.Linear(channels, 1)
        )

    def sizes(self, pooled: Tensor, token: Tensor) -> Tensor:
        """pooled (B, 3L), token (B, L) -> log-probabilities of the extent's bins (B, bins)."""
        return F.log_softmax(self.extent(torch.cat([pooled, token], dim=1)).float(), dim=1)

    def expected_dice(self, pooled: Tensor, token: Tensor, samples: Tensor, weights: Tensor) -> Tensor:
        """Of the mean of the samples (B, n, G, G), weights (B, n), with what the user wants: (B,), 0 to 1."""
        about = sample_statistics(samples, weights).to(pooled.dtype)
        return self.quality(torch.cat([pooled, token, about], dim=1)).float().sigmoid()[:, 0]


STATISTICS = 4


def sample_statistics(samples: Tensor, weights: Tensor) -> Tensor:
    """(B, n, G, G) probabilities, weights (B, n) that sum to 1 -> (B, 4): what they agree on.

    Mean Dice of samples with their mean; certainty of the mean where it is not plainly background; root of
    the mean's share of the region; share of the mean that lies on the region's border.
    """
    mean = torch.einsum("bn,bnhw->bhw", weights, samples)
    flat, centre = samples.flatten(2), mean.flatten(1)[:, None]
    dice = 2 * (flat * centre).sum(-1) / (flat.sum(-1) + centre.sum(-1)).clamp(min=1e-6)
    likely = (mean > 0.1).to(mean.dtype)
    certain = ((2 * mean - 1).abs() * likely).sum(dim=(1, 2)) / likely.sum(dim=(1, 2)).clamp(min=1)
    share = mean.mean(dim=(1, 2))
    inner = mean[:, 1:-1, 1:-1].sum(dim=(1, 2))
    total = mean.sum(dim=(1, 2)).clamp(min=1e-6)
    return torch.stack(
        [(weights * dice).sum(dim=1), certain, share.clamp(min=0).sqrt(), 1 - inner / total], dim=1
    )
