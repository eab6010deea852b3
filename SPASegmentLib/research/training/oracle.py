"""The leak of the baseline `oracle-label`, and of nothing else: points whose label is read off the target."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
