"""What to show of a posterior: the mask of highest expected Dice, and the alternatives worth having.

Alternatives are chosen by the expected Dice of the best mask shown (EUBO; see
Lin et al. 2022, Astudillo et al. 2023 for several at once): greedily, each adds most for the users whom none
of those before it serves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.hypotheses import Hypotheses, Masks
from SPASegmentLib.inference.posterior import Particles, Posterior

CHUNK = 32
"""Particles drawn on their region's own grid at once."""


@dataclass(frozen=True, eq=False)
class RegionMap:
    """probability: (G, G) on the region's own grid. cut: the probability its mask is cut at."""

    region: Region
    probability: np.ndarray
    cut: float


def best_expected(posterior: Posterior) -> RegionMap:
    """The mean of one region's particles, cut where the expected Dice over all particles is highest.

    The mean is half of masks, half of probabilities: as sharp as the particles agree.
    """
    particles, hypotheses = posterior.particles, posterior.hypotheses
    options, where = [], []
    for index, at in hypotheses.by_region(particles.samples):
        soft = 1 / (1 + np.exp(-particles.logits[at]))
        mean = 0.5 * (soft.mean(axis=0) + particles.masks[at].mean(axis=0))
        for cut in DEFAULT.cuts:
            if (mean >= cut).any():
                options.append((mean >= cut).reshape(hypotheses.regions[index].grid, -1))
                where.append((index, at, cut))
    if not options:
        index, at = hypotheses.by_region(particles.samples)[0]
        options, where = (
            [np.ones((hypotheses.regions[index].grid,) * 2, bool)],
            [(index, at, DEFAULT.cuts[0])],
        )
    masks = hypotheses.masks_on(np.stack(options), [hypotheses.regions[index] for index, _, _ in where])
    index, at, cut = where[int(posterior.dice(particles, masks).mean(axis=0).argmax())]
    mean = np.zeros(hypotheses.pools[index].samples.shape[1:], np.float32)
    for few in np.array_split(at, -(-len(at) // CHUNK)):
        fine = hypotheses.fine(particles.samples[few], particles.shapes[few])
        mean += 0.5 * (fine + (fine > 0.5)).sum(axis=0) / len(at)
    return RegionMap(hypotheses.pools[index].region, mean, cut)


def alternatives(
    posterior: Posterior, shown: Masks, limit: int, rng: np.random.Generator, plain: bool
) -> list[RegionMap]:
    """At most `limit` masks, the most useful first, each visibly different from those before it.

    shown: masks they differ from as well. plain: consider the samples as they are, too.
    """
    hypotheses = posterior.hypotheses
    considered = _considered(posterior, rng, plain)
    regions = [hypotheses.regions[hypotheses.owner[sample]] for sample in considered.samples]
    grid = regions[0].grid
    masks = hypotheses.masks_on(considered.masks.reshape(-1, grid, grid), regions)
    free = considered.areas > 0
    apart = _apart(hypotheses.dice(*_parts(considered), shown), considered.areas, shown.areas)
    free &= apart.all(axis=1)
    among = _apart(hypotheses.dice(*_parts(considered), masks), considered.areas, masks.areas)
    worth = posterior.dice(posterior.particles, masks)
    best = np.zeros(len(worth))
    chosen: list[int] = []
    while len(chosen) < limit and free.any():
        value = np.maximum(worth, best[:, None]).mean(axis=0)
        chosen.append(int(np.where(free, value, -1.0).argmax()))
        best = np.maximum(best, worth[:, chosen[-1]])
        free &= among[chosen[-1]]
    return [_rendered(hypotheses, considered, index) for index in chosen]


def supports(posterior: Posterior, shown: Masks) -> np.ndarray:
    """(k,) share of the particles each of the masks is the closest to."""
    if not len(shown.areas):
        return np.zeros(0)
    closest = posterior.dice(posterior.particles, shown).argmax(axis=1)
    return np.bincount(closest, minlength=len(shown.areas)) / len(closest)


def _considered(posterior: Posterior, rng: np.random.Generator, plain: bool) -> Particles:
    """Particles, drawn evenly, and, where asked for, samples without a level or shape of their own."""
    now, hypotheses = posterior.particles, posterior.hypotheses
    at = rng.permutation(len(now.samples))[: DEFAULT.considered]
    samples, shapes = now.samples[at], now.shapes[at]
    if plain:
        own = np.concatenate([found[:: max(1, len(found) // 8)] for found in _heaviest(hypotheses)])
        samples = np.concatenate([samples, own])
        shapes = np.concatenate([shapes, np.zeros((len(own), hypotheses.dimension))])
    return Particles.of(hypotheses, samples, shapes)


def _heaviest(hypotheses: Hypotheses) -> list[np.ndarray]:
    """Per region its samples, the likeliest first."""
    spans = zip(hypotheses.first[:-1], hypotheses.first[1:], strict=True)
    return [a + np.argsort(-hypotheses.log_weights[a:b], kind="stable") for a, b in spans]


def _parts(particles: Particles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return particles.samples, particles.masks, particles.areas


def _apart(dice: np.ndarray, areas: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P, k) bool: whether a person would see a difference between masks of this Dice and these areas."""
    differ = (1 - dice) * (areas[:, None] + others[None])
    return np.asarray(differ >= DEFAULT.visible_share * np.maximum(areas[:, None], others[None]))


def _rendered(hypotheses: Hypotheses, considered: Particles, index: int) -> RegionMap:
    probability = hypotheses.fine(considered.samples[index : index + 1], considered.shapes[index : index + 1])
    region = hypotheses.pools[int(hypotheses.owner[considered.samples[index]])].region
    return RegionMap(replace(region, grid=probability.shape[-1]), probability[0], 0.5)
