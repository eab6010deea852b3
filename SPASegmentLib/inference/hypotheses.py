"""What may be meant by a click: sampled masks of one or several regions, and how they vary.

A region holds what the network sees at one scale. Where it finds different objects at different scales, each
region's samples are hypotheses of their own (a cell and its nucleus, an organ and what lies in it). Areas are
in mm2, so that masks of different regions can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import expit

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import RegionSamples
from SPASegmentLib.network.shape import angular_basis


class Hypotheses:
    """Samples of several regions, with the level and the angular harmonics that each may vary by.

    logits(sample, c) = sample + sum over d of c_d B_d: B is 1 and cos k phi, sin k phi around the centre of
    the region's mean. Masks are compared on a coarse grid of each region, `DEFAULT.coarse_cells` a side.

    pools: one per region. spacing: (row, col) mm of the slice. prior: see `SPAConfig.prior_deviations`.
    """

    def __init__(
        self,
        pools: Sequence[RegionSamples],
        spacing: tuple[float, float],
        harmonics: int,
        prior: Sequence[float] = (),
    ) -> None:
        self.pools, self.spacing, self.harmonics = tuple(pools), spacing, harmonics
        self._prior = tuple(prior) or (DEFAULT.level_deviation, *DEFAULT.shape_deviations[:harmonics])
        self.regions = tuple(_coarse(pool.region) for pool in pools)
        self.cell = np.array([(r.size_mm / r.grid) ** 2 for r in self.regions])
        self.first = np.cumsum([0, *(len(pool.samples) for pool in pools)])
        self.owner = np.repeat(np.arange(len(pools)), [len(pool.samples) for pool in pools])
        self.log_weights = np.concatenate([np.asarray(pool.log_weights, float) for pool in pools])
        self._fine = [_logits(pool.samples) for pool in pools]
        self._maps = [_shrunk(maps, r.grid) for maps, r in zip(self._fine, self.regions, strict=True)]
        self._fine_bases = [self._basis(index, maps) for index, maps in enumerate(self._fine)]
        self._bases = [
            _shrunk(basis, r.grid).reshape(self.dimension, -1)
            for basis, r in zip(self._fine_bases, self.regions, strict=True)
        ]
        self._moves: dict[tuple[int, Region], tuple[np.ndarray, np.ndarray]] = {}

    @property
    def dimension(self) -> int:
        """Of c: the level and two coefficients a harmonic."""
        return 1 + 2 * self.harmonics

    @cached_property
    def deviations(self) -> np.ndarray:
        """(dimension,) of c before anything is known of the user."""
        return np.array([self._prior[0], *np.repeat(self._prior[1:], 2)])

    def _basis(self, index: int, maps: np.ndarray) -> np.ndarray:
        """(dimension, G, G) of a region, around the centre of its samples' weighted mean."""
        own = self.log_weights[self.first[index] : self.first[index + 1]]
        weights = np.exp(own - own.max())
        mean = np.tensordot(weights / weights.sum(), expit(maps), axes=1)
        return angular_basis(mean, self.harmonics)

    def logits(self, samples: np.ndarray, shapes: np.ndarray) -> np.ndarray:
        """(P,) indices of samples, (P, dimension) c -> (P, cells) on each one's coarse region."""
        out = np.empty((len(samples), self.regions[0].grid ** 2), np.float32)
        for index, at in self.by_region(samples):
            own = self._maps[index].reshape(-1, out.shape[1])[samples[at] - self.first[index]]
            out[at] = own + shapes[at].astype(np.float32) @ self._bases[index]
        return out

    def fine(self, samples: np.ndarray, shapes: np.ndarray) -> np.ndarray:
        """(P,) samples of one region, shapes (P, dimension) -> probabilities (P, G, G) on its own grid."""
        index = int(self.owner[samples[0]])
        own = self._fine[index][samples - self.first[index]]
        basis = self._fine_bases[index]
        change = shapes.astype(np.float32) @ basis.reshape(self.dimension, -1)
        return np.asarray(expit(own + change.reshape(own.shape)), np.float32)

    def by_region(self, samples: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """The regions that occur among samples (P,), each with where in them."""
        owners = self.owner[samples]
        return [(int(index), np.flatnonzero(owners == index)) for index in np.unique(owners)]

    def areas(self, samples: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """(P,) mm2 of masks (P, cells) of hypotheses (P,)."""
        return np.asarray(masks.sum(axis=1) * self.cell[self.owner[samples]])

    def masks_on(self, masks: np.ndarray, regions: Sequence[Region]) -> Masks:
        """Masks (k, g, g) on regions of their own, ready to be compared with hypotheses."""
        areas = np.array([m.sum() * (r.size_mm / r.grid) ** 2 for m, r in zip(masks, regions, strict=True)])
        cells = self.regions[0].grid ** 2
        on = [np.empty((len(masks), cells), np.float32) for _ in self.regions]
        for region in dict.fromkeys(regions):
            at = [k for k, own in enumerate(regions) if own == region]
            maps = np.stack([masks[k] for k in at]).astype(np.float32)
            for index in range(len(self.regions)):
                rows, cols = self._between(region, index)
                on[index][at] = (rows @ maps @ cols.T).reshape(len(at), cells)
        return Masks(areas, on)

    def _between(self, region: Region, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights that bring a map from a region to one of this object's coarse ones."""
        key = (index, region)
        if key not in self._moves:
            self._moves[key] = zoom.between(region, self.regions[index], self.spacing)
        return self._moves[key]

    def dice(self, samples: np.ndarray, masks: np.ndarray, areas: np.ndarray, others: Masks) -> np.ndarray:
        """(P, k) Dice of hypotheses' masks (P, cells), areas (P,) in mm2, with other masks."""
        out = np.empty((len(samples), len(others.areas)), np.float32)
        for index, at in self.by_region(samples):
            shared = masks[at] @ others.on[index].T * self.cell[index]
            out[at] = 2 * shared / np.maximum(areas[at][:, None] + others.areas[None], 1e-9)
        return out


@dataclass(frozen=True, eq=False)
class Masks:
    """k masks. areas: (k,) mm2. on: per region of the hypotheses (k, cells), the share each cell has."""

    areas: np.ndarray
    on: list[np.ndarray]


def _coarse(region: Region) -> Region:
    """The region on about `DEFAULT.coarse_cells` cells a side, a whole number of its own to each."""
    step = max(1, region.grid // DEFAULT.coarse_cells)
    return replace(region, grid=region.grid // step) if region.grid % step == 0 else region


def _logits(samples: np.ndarray) -> np.ndarray:
    """uint8 probabilities -> float32 logits, within what a byte tells apart."""
    share = (samples.astype(np.float32) + 0.5) / 256
    return np.log(share) - np.log1p(-share)


def _shrunk(maps: np.ndarray, grid: int) -> np.ndarray:
    """(n, G, G) -> (n, grid, grid), means of blocks."""
    step = maps.shape[-1] // grid
    return maps if step == 1 else maps.reshape(len(maps), grid, step, grid, step).mean(axis=(2, 4))
