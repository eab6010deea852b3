"""The synthetic images (paper Section 3, Data): options, discs, and partial segmentations of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class WongOptions(BaseModel):
    """One run. `beta0`, `beta1`, `size`, `discs` and the numbers of images are the paper's (Section 3).

    radius: of a disc, pixels. intensity: of a disc; the background is 0. gap: least pixels between two discs.
    shape_grid: cells along a side of the noise from which random shapes are made. shapes: how many shapes
    cover an image. known: largest share of the shapes that are segmented already.
    added_inside, added_outside: share of the interior's and of the exterior's shapes the next step adds.
    gate: multiply the segmentation by the partialness in training too. average: decay of the weights' mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=3000, gt=0)
    batch: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    average: float = Field(default=0.995, ge=0, lt=1)
    beta0: float = Field(default=1.0, ge=0)
    beta1: float = Field(default=1e-3, ge=0)
    gate: bool = False
    size: int = Field(default=32, ge=16, multiple_of=8)
    discs: int = Field(default=3, ge=1)
    images: int = Field(default=1000, gt=0)
    validation_images: int = Field(default=1000, gt=0)
    held_out_images: int = Field(default=1000, gt=0)
    radius: tuple[float, float] = (4.0, 7.0)
    intensity: tuple[float, float] = (0.25, 1.0)
    gap: float = 1.0
    shape_grid: int = Field(default=4, ge=2)
    shapes: int = Field(default=6, ge=2)
    known: float = Field(default=0.5, ge=0, le=1)
    added_inside: float = Field(default=0.525, ge=0, le=1)
    added_outside: float = Field(default=0.055, ge=0, le=1)
    checkpoint_every: int = Field(default=500, gt=0)
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"


TRAIN, VALIDATION, HELD_OUT = 0, 1, 2
"""Which of the three sets of images; no two share a random stream."""
_TRIES = 200
"""Places tried for a disc before the image is begun anew."""


@dataclass(frozen=True, eq=False)
class DiscImages:
    """images: (n, H, W) float32 in [0, 1]. discs: (n, D, H, W) bool, each disc's pixels."""

    images: np.ndarray
    discs: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def truth(self, index: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """(m, H, W) bool: the union of the chosen discs ((m, D) bool) of the images at `index` (m,)."""
        return np.einsum("md,mdhw->mhw", chosen, self.discs[index]).astype(bool)


def make_discs(options: WongOptions, part: int) -> DiscImages:
    """One of the sets of images. The training images depend on the run's seed, the other two never do."""
    count = (options.images, options.validation_images, options.held_out_images)[part]
    seed = options.seed if part == TRAIN else 0
    rng = np.random.default_rng((20_230, part, seed))
    discs = np.stack([_discs(rng, options) for _ in range(count)])
    intensities = rng.uniform(*options.intensity, size=(count, options.discs)).astype(np.float32)
    images = np.einsum("nd,ndhw->nhw", intensities, discs.astype(np.float32))
    return DiscImages(images, discs)


def subsets(discs: int) -> np.ndarray:
    """(2^D - 1, D) bool: every subset of the discs but the empty one; the possible true segmentations."""
    every = np.array(list(product((False, True), repeat=discs)))
    return every[every.any(axis=1)]


def _discs(rng: np.random.Generator, options: WongOptions) -> np.ndarray:
    """(D, H, W) bool: discs inside the image that do not touch."""
    rows, cols = np.mgrid[: options.size, : options.size]
    while True:
        placed: list[tuple[float, float, float]] = []
        for _ in range(_TRIES):
            radius = rng.uniform(*options.radius)
            row, col = rng.uniform(radius, options.size - 1 - radius, size=2)
            if all(np.hypot(row - r, col - c) >= radius + other + options.gap for r, c, other in placed):
                placed.append((row, col, radius))
            if len(placed) == options.discs:
                return np.stack([np.hypot(rows - r, cols - c) <= size for r, c, size in placed])


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
