"""Partial segmentations: what is segmented already (x) and the larger one to learn from (y)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SPASegmentLib.research.systems.wong.discs import DiscImages, subsets
from SPASegmentLib.research.systems.wong.options import WongOptions


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images with a partial segmentation and a larger one; all (n, H, W), the paper's symbols in brackets.

    image: float32 [x_0]. mask, labels: bool, what is segmented and as what [x_m, x_s]. larger_mask,
    larger_labels: bool [y_m, y_s]. index: (n,) of the image in its set.
    """

    image: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    larger_mask: np.ndarray
    larger_labels: np.ndarray
    index: np.ndarray


def make_pairs(data: DiscImages, index: np.ndarray, rng: np.random.Generator, options: WongOptions) -> Pairs:
    """A pair for each image at `index`: a random true segmentation intersected with random shapes.

    The interior and the exterior of the true segmentation are each intersected with shapes of their own.
    """
    count = len(index)
    possible = subsets(options.discs)
    truth = data.truth(index, possible[rng.integers(len(possible), size=count)])
    known = rng.uniform(0, options.known, size=(count, 1))
    inside = _stages(rng, known, options.added_inside, options)
    outside = _stages(
        rng, known * options.added_outside / options.added_inside, options.added_outside, options
    )
    mask, larger = (np.where(truth, a, b) for a, b in zip(inside, outside, strict=True))
    return Pairs(data.images[index], mask, truth & mask, larger, truth & larger, index)


def random_shapes(rng: np.random.Generator, count: int, shapes: int, grid: int, size: int) -> np.ndarray:
    """(count, size, size) int: each pixel's shape, as in SynthMorph: the largest of smooth noise fields."""
    at = np.linspace(0, grid - 1, size)
    low = np.minimum(at.astype(int), grid - 2)
    weight = (at - low).astype(np.float32)
    up = np.zeros((size, grid), dtype=np.float32)
    up[np.arange(size), low], up[np.arange(size), low + 1] = 1 - weight, weight
    noise = rng.standard_normal((count, shapes, grid, grid), dtype=np.float32)
    return np.asarray((up @ noise @ up.T).argmax(axis=1))


def _stages(
    rng: np.random.Generator, known: np.ndarray, added: float, options: WongOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Two nested masks (n, H, W) bool of random shapes. known: (n, 1) share of shapes in the first."""
    count = len(known)
    shape = random_shapes(rng, count, options.shapes, options.shape_grid, options.size)
    luck = rng.random((count, options.shapes))
    rows = np.arange(count)[:, None, None]
    return (luck < known)[rows, shape], (luck < known + added)[rows, shape]
