"""The shape part of z: where an outline bulges and where it recedes.

The mixture's part of z learns how much raters include; what of it remains after a pick or two is where. That
part needs no learning to be spread out: the logits of a sample are raised and lowered with the angle around
the object's centre, by a few harmonics with Gaussian coefficients. It joins the preference distribution from
the second iteration on, when there is an outline that the user has begun to shape.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def angles_around(mean: Tensor) -> Tensor:
    """(B, G, G) probabilities -> (B, G, G) angle of every cell around the object's centre, in radians."""
    grid = mean.shape[-1]
    weight = mean * (mean > 0.3)
    total = weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    axis = torch.arange(grid, device=mean.device, dtype=mean.dtype)
    row = (weight * axis[:, None]).sum(dim=(1, 2), keepdim=True) / total
    col = (weight * axis[None]).sum(dim=(1, 2), keepdim=True) / total
    return torch.atan2(axis[None, :, None] - row, axis[None, None] - col)


def shape_change(noise: Tensor, angles: Tensor, amplitude: float, plain_every: int) -> Tensor:
    """Change of the logits of n samples: sum over k of (a_k cos k phi + b_k sin k phi) / sqrt(k).

    noise: (B, n, 2, harmonics) standard normal. angles: (B, G, G). Returns (B, n, G, G); one sample in
    `plain_every` stays unchanged.
    """
    harmonics = noise.shape[-1]
    order = torch.arange(1, harmonics + 1, device=noise.device, dtype=noise.dtype)
    phase = angles[:, None] * order[:, None, None]
    waves = torch.stack([phase.cos(), phase.sin()], dim=1)
    scaled = noise * amplitude / order.sqrt()
    keep = (torch.arange(noise.shape[1], device=noise.device) % plain_every != 0).to(noise.dtype)
    return torch.einsum("bnch,bchij->bnij", scaled, waves) * keep[:, None, None]


def angular_basis(mean: np.ndarray, harmonics: int) -> np.ndarray:
    """1, cos phi, sin phi, cos 2 phi, ... up to `harmonics` around an object's centre.

    mean: (G, G) probabilities. Returns (1 + 2 harmonics, G, G) float32.
    """
    angles = angles_around(torch.from_numpy(np.ascontiguousarray(mean, np.float32))[None])[0].numpy()
    waves = [wave(k * angles) for k in range(1, harmonics + 1) for wave in (np.cos, np.sin)]
    return np.stack([np.ones_like(angles), *waves]).astype(np.float32)
