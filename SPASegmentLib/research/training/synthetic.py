"""Made-up images: smooth shapes inside one another, plain or textured, for what no data set holds.

Without them a network that has only seen bodies takes the speckles of a plain disc for its objects.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from SPASegmentLib.research.training.stacks import Stack

NAME = "synthetic"


def synthetic_stacks(count: int, seed: int = 0) -> list[Stack]:
    """`count` single images of one to four structures each; the same for the same seed."""
    return [_image(np.random.default_rng((seed, index))) for index in range(count)]


def _image(rng: np.random.Generator) -> Stack:
    side = int(rng.integers(120, 260))
    shape = (side, int(side * rng.uniform(0.8, 1.25)))
    masks: list[np.ndarray] = []
    pixels = _filled(shape, rng)
    for _ in range(int(rng.integers(1, 5))):
        parent = masks[int(rng.integers(len(masks)))] if masks and rng.random() < 0.4 else None
        mask = _shape(shape, parent, rng)
        if mask.sum() < 40:
            continue
        masks.append(mask)
        soft = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(0.3, 2.0))
        pixels = pixels * (1 - soft) + _filled(shape, rng) * soft
    if not masks:
        masks.append(_shape(shape, None, rng, least=0.15))
        pixels = np.where(masks[0], _filled(shape, rng), pixels)
    pixels = pixels + rng.uniform(0, 25) * _texture(shape, rng)
    levels = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    return Stack(NAME, levels[None], np.stack(masks)[:, None])


def _filled(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A level with a texture and a slope of its own; many are plain."""
    level = rng.uniform(20, 235)
    strength = rng.uniform(0, 30) if rng.random() < 0.5 else rng.uniform(0, 4)
    slope = rng.normal(0, 10, 2)
    rows, cols = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return np.asarray(level + strength * _texture(shape, rng) + slope[0] * rows + slope[1] * cols)


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise of deviation 1, white or of some grain."""
    noise = rng.standard_normal(shape)
    if rng.random() < 0.6:
        noise = ndimage.gaussian_filter(noise, rng.uniform(0.5, 4))
    return np.asarray(noise / max(float(noise.std()), 1e-6))


def _shape(
    shape: tuple[int, int], parent: np.ndarray | None, rng: np.random.Generator, least: float = 0.05
) -> np.ndarray:
    """(H, W) bool: a star-shaped outline of a few harmonics, inside the parent where there is one."""
    spots = np.flatnonzero(parent) if parent is not None else np.arange(shape[0] * shape[1])
    row, col = divmod(int(spots[rng.integers(len(spots))]), shape[1])
    if parent is not None:
        extent = float(np.sqrt(parent.sum() / np.pi))
        radius = extent * rng.uniform(0.15, 0.7)
    else:
        radius = min(shape) * float(np.exp(rng.uniform(np.log(least), np.log(0.42))))
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    stretch = float(np.exp(rng.normal(0, 0.25)))
    angle = np.arctan2((rows - row) * stretch, cols - col)
    distance = np.hypot((rows - row) * stretch, cols - col)
    outline = np.ones_like(angle)
    for order in range(1, 6):
        outline += rng.normal(0, 0.12 / order**0.5) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    mask = distance < radius * np.maximum(outline, 0.3)
    return np.asarray(mask & parent if parent is not None else mask)
