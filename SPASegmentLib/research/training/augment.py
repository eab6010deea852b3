"""Intensities as other scanners, windows and modalities would give them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def vary_intensities(views: Tensor, rng: np.random.Generator) -> Tensor:
    """One look of an image, the same for all its views: (V, C, G, G) in [0, 1] -> the same.

    Window (a part of the range, or beyond it), gamma, inversion, a bias field, noise, blur; colour turned
    grey or its channels apart. Each happens to some images only: images as they are stay the commonest.
    """
    if rng.random() < 0.4:
        low, high = np.quantile(views[0].numpy(), [rng.uniform(0, 0.06), rng.uniform(0.94, 1)])
        low, high = low - rng.uniform(0, 0.15), high + rng.uniform(0, 0.15)
        views = (views - low) / max(high - low, 0.05)
    views = (views - 0.5) * rng.uniform(0.85, 1.15) + 0.5 + rng.uniform(-0.06, 0.06)
    views = views.clamp(0, 1) ** float(np.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.1:
        views = 1 - views
    if views.shape[1] == 3:
        views = _vary_colour(views, rng)
    if rng.random() < 0.25:
        views = views * _bias(views.shape[-1], rng)
    if rng.random() < 0.2:
        views = _blurred(views, rng.uniform(0.4, 1.2))
    noise = torch.from_numpy(rng.standard_normal((len(views), 1, *views.shape[2:]), dtype=np.float32))
    return (views + noise * float(rng.choice([0.01, 0.03, 0.08], p=[0.5, 0.35, 0.15]))).clamp(0, 1)


def _vary_colour(views: Tensor, rng: np.random.Generator) -> Tensor:
    draw = rng.random()
    if draw < 0.15:
        weights = views.new_tensor(rng.dirichlet([2, 2, 2]))[:, None, None]
        return (views * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    if draw < 0.5:
        return (views * views.new_tensor(rng.uniform(0.85, 1.15, 3))[:, None, None]).clamp(0, 1)
    return views


def _bias(size: int, rng: np.random.Generator) -> Tensor:
    """A smooth field around 1: (1, 1, G, G)."""
    coarse = torch.from_numpy(rng.uniform(0.7, 1.3, (1, 1, 3, 3))).float()
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)


def _blurred(views: Tensor, deviation: float) -> Tensor:
    axis = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-(axis**2) / (2 * deviation**2))
    kernel = kernel / kernel.sum()
    channels = views.shape[1]
    rows = kernel.view(1, 1, 7, 1).expand(channels, 1, 7, 1)
    padded = F.pad(views, (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(padded, rows, groups=channels), rows.mT, groups=channels)
