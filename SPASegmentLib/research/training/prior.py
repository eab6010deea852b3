"""How far users' masks lie from what the network sees after the click: the posterior's prior, learnt.

Level and angular harmonics (`Hypotheses`) are fitted to what the raters drew on images of the training, on
the grid on which the posterior compares masks; the deviations of the fits become a part of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor
from torch.nn import functional as F

from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.network.checkpoint import load_checkpoint, save_checkpoint
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.interaction import InteractionPrompts
from SPASegmentLib.network.shape import angular_basis
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.training.batches import Batch

USERS = 2
"""Of an image whose masks are fitted."""
RIDGE, STEPS = 1.0, 12
"""Penalty on the coefficients' squares; Newton steps of a fit."""
LARGEST = 6.0
"""Of a coefficient, in logits: beyond, a fit says nothing of a shape but that the map is of no use."""
SMALLEST = 0.2
"""Of a deviation: users who always agreed may still come to want something else."""
SURE = 7.0
"""Logits from which on a cell takes no part in a fit."""


def keep_prior(best: Path, batches: Callable[[int], Batch], count: int, device: torch.device) -> None:
    """Learn the prior of a checkpoint and store it in its header; the weights and their hash stay.

    Nothing is done where it has one, or where its network has no use for one. batches: of the training, by
    number, clicked and looked at as in use. count: of batches.
    """
    state, header = load_checkpoint(best)
    config = SPAConfig.from_dict(header.config)
    if config.prior_deviations or not config.harmonics or config.preference == "point":
        return
    network = SPANetwork(config)
    network.load_state_dict(state)
    network = network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    found = []
    for index in range(count):
        batch = batches(index)
        users = batch.users[:, :USERS]
        for logits, targets in zip(click_logits(network, batch, device), users, strict=True):
            found += fitted(logits, targets, config.harmonics)
    if found:
        deviations = {"prior_deviations": deviations_of(np.array(found))}
        save_checkpoint(best, state, replace(header, config={**header.config, **deviations}))


@torch.no_grad()
def click_logits(network: SPANetwork, batch: Batch, device: torch.device) -> Tensor:
    """(B, G, G) logits of the network's mean after the click, on the CPU."""

    def there(part: Tensor | None) -> Tensor | None:
        return None if part is None else part.to(device)

    points, labels = batch.points[:, :1].to(device), batch.labels[:, :1].to(device)
    embedding = network.encode_image(
        batch.image.to(device), points[:, 0], there(batch.context), there(batch.neighbours)
    )
    prepared = network.prepare(embedding, InteractionPrompts(points, labels, carried=there(batch.carried)))
    generator = torch.Generator(device=device).manual_seed(0)
    samples = network.decode(prepared, prepared.distribution.one_per_component(generator)).float().sigmoid()
    mean = torch.einsum("bn,bnhw->bhw", prepared.distribution.log_weights.exp(), samples)
    return mean.logit(eps=1e-4).cpu()


def fitted(logits: Tensor, targets: Tensor, harmonics: int) -> list[np.ndarray]:
    """Coefficients (1 + 2 harmonics,) that bring a map to each of some masks; none for empty ones.

    logits: (G, G). targets: (U, G, G) {0, 1}. Logistic regression with a ridge, the map as offset.
    """
    side = max(1, logits.shape[-1] // DEFAULT.coarse_cells)
    basis = torch.from_numpy(angular_basis(logits.sigmoid().numpy(), harmonics))
    field, masks, waves = (F.avg_pool2d(part, side).numpy() for part in (logits[None], targets, basis))
    open_cells = np.abs(field[0]) < SURE
    offset, waves = field[0][open_cells], waves[:, open_cells]
    return [_fit(offset, waves, mask[open_cells]) for mask in masks if mask.any()]


def _fit(offset: np.ndarray, waves: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """offset, mask: (cells,). waves: (dimension, cells). Newton's method from 0."""
    found = np.zeros(len(waves))
    for _ in range(STEPS):
        share = expit(offset + found @ waves)
        slope = waves @ (mask - share) - RIDGE * found
        curve = (waves * (share * (1 - share))) @ waves.T + RIDGE * np.eye(len(waves))
        found = np.clip(found + np.linalg.solve(curve, slope), -LARGEST, LARGEST)
    return found


def deviations_of(coefficients: np.ndarray) -> list[float]:
    """Of the level and of each harmonic, around 0; coefficients (n, 1 + 2 harmonics)."""
    square = (coefficients**2).mean(axis=0)
    per_part = [square[0], *square[1:].reshape(-1, 2).mean(axis=1)]
    return [round(float(value), 4) for value in np.maximum(np.sqrt(per_part), SMALLEST)]
