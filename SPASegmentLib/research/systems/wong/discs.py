"""The synthetic images: discs of random place, size and intensity (paper Section 3, Data)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from SPASegmentLib.research.systems.wong.options import WongOptions

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
