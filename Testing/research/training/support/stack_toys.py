"""Made-up stacks of any structure: a disc with a core, balls in a volume, nodules of four raters."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.research.training.stacks import Stack


def disc_with_core(seed: int = 0) -> Stack:
    """One colour image (64 x 80): a disc of radius 16 in which a core of radius 6 lies."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:64, :80]
    distance = np.hypot(rows - 30, cols - 44)
    outer, inner = distance < 16, distance < 6
    pixels = 60 + 80 * outer + 80 * inner + rng.normal(0, 4, outer.shape)
    colour = np.stack([pixels, pixels * 0.8, pixels * 0.6], axis=-1).clip(0, 255).astype(np.uint8)
    return Stack("made-up-discs", colour[None], np.stack([outer, inner])[:, None])


def ball(spacing: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> Stack:
    """A volume (20 x 40 x 40) with a ball that spans its slices 4 to 15."""
    at = np.stack(np.indices((20, 40, 40)), axis=-1) * np.array(spacing)
    mask = np.linalg.norm(at - np.array([9.5, 20, 20]) * np.array(spacing), axis=-1) < 12
    pixels = (50 + 120 * mask).astype(np.uint8)
    return Stack("made-up-balls", pixels, mask[None], spacing=spacing, axes=(0, 1, 2))


def nodule() -> Stack:
    """Five slices with four raters, each a little wider than the one before; nobody drew on the last."""
    rows, cols = np.mgrid[:48, :48]
    distance = np.hypot(rows - 24, cols - 24)
    slices = [[distance < radius + k for k in range(4)] for radius in (4, 6, 7, 5)]
    masks = np.array([*slices, np.zeros((4, 48, 48), bool)]).swapaxes(0, 1)
    pixels = np.stack([40 + 150 * (distance < radius + 1.5) for radius in (4, 6, 7, 5, 0)]).astype(np.uint8)
    return Stack("lidc", pixels, masks, raters=True)
