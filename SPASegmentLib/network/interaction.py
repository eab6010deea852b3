"""The interaction encoder: SAM's prompt encoder, fed with the user's points and picks (Section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.sam_modules import PromptEncoder


@dataclass(frozen=True)
class InteractionPrompts:
    """What the user did so far, on the region's grid.

    points: (B, n, 2) float, (x, y) in grid cells (cell centres at integers). labels: (B, n) 1 positive,
    0 negative, -1 padding. picked, recommendation, belief: (B, 1, G, G) probabilities in [0, 1] of the last
    picked candidate, the recommendation it was picked over, and the posterior mean of all samples so far;
    None before the first pick; 0.5 everywhere for those of a batch who have not picked yet.
    carried: (B, 1, G, G) the mask of a neighbouring slice of the object, 0.5 where there is none, or None.
    """

    points: Tensor
    labels: Tensor
    picked: Tensor | None = None
    recommendation: Tensor | None = None
    belief: Tensor | None = None
    carried: Tensor | None = None


@dataclass(frozen=True)
class InteractionEmbedding:
    """e_u. sparse: (B, n', L) tokens. dense: (B, L, G/P, G/P). planes: (B, C, G, G), as given."""

    sparse: Tensor
    dense: Tensor
    planes: Tensor


class InteractionEncoder(PromptEncoder):
    """SAM's prompt encoder whose mask branch takes the configured planes (one plane: SAM's own layout)."""

    def __init__(self, config: SPAConfig) -> None:
        size = (config.embedding_size, config.embedding_size)
        super().__init__(config.channels, size, (config.grid, config.grid), mask_in_chans=16)
        self.config = config
        if len(config.planes) != 1:
            first = self.mask_downscaling[0]
            self.mask_downscaling[0] = nn.Conv2d(len(config.planes), first.out_channels, 2, stride=2)

    def encode(self, interaction: InteractionPrompts) -> InteractionEmbedding:
        """Embed points and masks; the pick also speaks as two points, which it labels itself."""
        points, labels = interaction.points, interaction.labels
        extra, extra_labels = difference_points(interaction)
        points = torch.cat([points, extra.to(points)], dim=1)
        labels = torch.cat([labels, extra_labels.to(labels)], dim=1)
        planes = self._planes(interaction)
        only_picks = self.config.planes == ("picked",)
        if only_picks and interaction.picked is None:
            sparse, dense = super().forward((points, labels), None, None)
            dense = dense.expand(points.shape[0], -1, -1, -1)
        else:
            size = self.mask_input_size
            masks = planes
            if planes.shape[-2:] != size:
                masks = F.interpolate(planes, size=size, mode="bilinear", align_corners=False, antialias=True)
            sparse, dense = super().forward((points, labels), None, masks)
        return InteractionEmbedding(sparse, dense, planes)

    def _planes(self, interaction: InteractionPrompts) -> Tensor:
        """(B, C, G, G): masks as +-1 around the outline (zero while there is none), points as spots."""
        batch, grid = interaction.points.shape[0], self.config.grid
        zero = interaction.points.new_zeros((batch, 1, grid, grid))
        planes = []
        for name in self.config.planes:
            if name in ("positive", "negative"):
                planes.append(
                    point_spots(interaction.points, interaction.labels, int(name == "positive"), grid)
                )
            else:
                mask = getattr(interaction, name)
                planes.append(zero if mask is None else 2 * mask - 1)
        return torch.cat(planes, dim=1)


def point_spots(points: Tensor, labels: Tensor, label: int, grid: int) -> Tensor:
    """Gaussian spots (deviation: grid / 32 cells) at the points with `label`: (B, 1, G, G)."""
    axis = torch.arange(grid, device=points.device, dtype=points.dtype)
    deviation = grid / 32
    dx = torch.exp(-((axis - points[..., :1]) ** 2) / (2 * deviation**2))
    dy = torch.exp(-((axis - points[..., 1:]) ** 2) / (2 * deviation**2))
    spots = dy[..., :, None] * dx[..., None, :] * (labels == label)[..., None, None]
    return spots.amax(dim=1, keepdim=True)


def difference_points(interaction: InteractionPrompts) -> tuple[Tensor, Tensor]:
    """One point where the pick adds and one where it removes: (B, 2, 2) (x, y), (B, 2) labels 1, 0 or -1.

    The most representative spot: where the smoothed difference is largest. No label comes from anywhere but
    the picked candidate itself.
    """
    batch = interaction.points.shape[0]
    if interaction.picked is None or interaction.recommendation is None:
        empty = interaction.points.new_zeros((batch, 2, 2))
        return empty, interaction.labels.new_full((batch, 2), -1)
    difference = (interaction.picked > 0.5).float() - (interaction.recommendation > 0.5).float()
    grid = difference.shape[-1]
    found, labels = [], []
    for label, part in ((1, difference.clamp(min=0)), (0, (-difference).clamp(min=0))):
        smooth = F.avg_pool2d(part, 5, stride=1, padding=2) * part
        value, index = smooth.flatten(1).max(dim=1)
        found.append(torch.stack([index % grid, index // grid], dim=-1))
        labels.append(torch.where(value > 0, label, -1))
    return torch.stack(found, dim=1), torch.stack(labels, dim=1)
