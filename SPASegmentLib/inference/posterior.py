"""What is meant, given everything the user has answered: particles over samples, level and shape.

A particle is a sample of some region with a level and angular harmonics of its own (`Hypotheses`). After an
answer it counts as much as a user who wants its mask is likely to have given that answer; resampling and
Metropolis steps then spread the particles over what remains possible (paper Section 3.4: the distribution is
updated by what the user prefers; supplement Eq. 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_expit, log_softmax

from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.hypotheses import Hypotheses, Masks


@dataclass(frozen=True, eq=False)
class Answer:
    """Masks that were shown, and the index of the picked one; None: none of them."""

    shown: Masks
    picked: int | None


@dataclass(frozen=True, eq=False)
class PointTest:
    """A user's point. cell: per region the index of the cell under it, or None outside. positive: wanted."""

    cell: tuple[int | None, ...]
    positive: bool


@dataclass(frozen=True, eq=False)
class Particles:
    """P equally likely hypotheses.

    samples: (P,) indices of `Hypotheses`. shapes: (P, dimension). logits, masks: (P, cells), each on its own
    region. areas: (P,) mm2.
    """

    samples: np.ndarray
    shapes: np.ndarray
    logits: np.ndarray
    masks: np.ndarray
    areas: np.ndarray

    @classmethod
    def of(cls, hypotheses: Hypotheses, samples: np.ndarray, shapes: np.ndarray) -> Particles:
        """With their masks made."""
        logits = hypotheses.logits(samples, shapes)
        masks = (logits > 0).astype(np.float32)
        return cls(samples, shapes, logits, masks, hypotheses.areas(samples, masks))


class Posterior:
    """Particles of one request. Equal arguments give equal particles."""

    def __init__(self, hypotheses: Hypotheses, rng: np.random.Generator, close_enough: float) -> None:
        self.hypotheses, self._rng, self._close_enough = hypotheses, rng, close_enough
        self._answers: list[Answer] = []
        self._points: tuple[PointTest, ...] = ()
        self.particles = Particles.of(hypotheses, *self._from_prior(DEFAULT.particles))

    def _from_prior(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples (count,), spread evenly over their weights, and shapes (count, dimension)."""
        samples = self._systematic(self.hypotheses.log_weights, count)
        noise = self._rng.standard_normal((count, self.hypotheses.dimension))
        return samples, noise * self.hypotheses.deviations

    def _systematic(self, log_weights: np.ndarray, count: int) -> np.ndarray:
        """Indices (count,) by systematic resampling: a weight of w gives w * count of them, but for one."""
        weights = np.exp(log_weights - log_weights.max())
        edges = np.cumsum(weights / weights.sum())
        at = (np.arange(count) + self._rng.random()) / count
        return np.minimum(np.searchsorted(edges, at), len(edges) - 1)

    def update(self, answers: Sequence[Answer], points: Sequence[PointTest]) -> None:
        """Condition on points, then on the answers one after the other."""
        self._points = tuple(points)
        if self._points:
            self._resample(self._points_likelihood(self.particles))
        for answer in answers:
            self._answers.append(answer)
            self._resample(self._likelihood(self.particles, [answer]))
            self._move()

    def _resample(self, log_likelihood: np.ndarray) -> None:
        index = self._systematic(log_likelihood, len(log_likelihood))
        now = self.particles
        self.particles = Particles(
            now.samples[index], now.shapes[index], now.logits[index], now.masks[index], now.areas[index]
        )

    def _move(self) -> None:
        """Metropolis steps towards all answers so far and the prior."""
        now, rng, scale = self.particles, self._rng, self.hypotheses.deviations
        samples, shapes = now.samples.copy(), now.shapes.copy()
        logits, masks, areas = now.logits, now.masks, now.areas
        current = self._everything(now)
        for step in range(DEFAULT.moves):
            spread = np.maximum(shapes.std(axis=0), 0.02 * scale) * (0.4, 0.9)[step % 2]
            moved = shapes + spread * rng.standard_normal(shapes.shape) * (rng.random(shapes.shape) < 0.6)
            log_prior = -0.5 * ((moved / scale) ** 2 - (shapes / scale) ** 2).sum(axis=1)
            fresh_samples, fresh_shapes = self._from_prior(len(samples))
            jump = rng.random(len(samples)) < DEFAULT.jumps
            elsewhere = np.where(jump, rng.permutation(fresh_samples), self._siblings(samples))
            moved[jump], log_prior[jump] = fresh_shapes[jump], 0.0
            there = Particles.of(self.hypotheses, elsewhere, moved)
            proposed = self._everything(there)
            taken = np.log(rng.random(len(samples))) < proposed - current + log_prior
            samples[taken], shapes[taken] = elsewhere[taken], moved[taken]
            logits = np.where(taken[:, None], there.logits, logits)
            masks = np.where(taken[:, None], there.masks, masks)
            areas, current = np.where(taken, there.areas, areas), np.where(taken, proposed, current)
        self.particles = Particles(samples, shapes, logits, masks, areas)

    def _siblings(self, samples: np.ndarray) -> np.ndarray:
        """For three in ten another sample of the same region, drawn by weight; the others stay."""
        hypotheses, found = self.hypotheses, samples.copy()
        for index, at in hypotheses.by_region(samples):
            first, end = hypotheses.first[index], hypotheses.first[index + 1]
            own = np.exp(hypotheses.log_weights[first:end] - hypotheses.log_weights[first:end].max())
            drawn = first + self._rng.choice(end - first, size=len(at), p=own / own.sum())
            found[at] = np.where(self._rng.random(len(at)) < 0.3, drawn, samples[at])
        return found

    def _everything(self, particles: Particles) -> np.ndarray:
        """(P,) log-likelihood of all answers and points so far."""
        return self._likelihood(particles, self._answers) + self._points_likelihood(particles)

    def _likelihood(self, particles: Particles, answers: Sequence[Answer]) -> np.ndarray:
        """(P,) log P(answers | mask): who wants a mask picks the closest, or, far from all, none of them."""
        total = np.zeros(len(particles.samples))
        for answer in answers:
            dice = self.dice(particles, answer.shown)
            if not dice.shape[1]:
                continue
            if answer.picked is None:
                total += log_expit((self._close_enough - dice.max(axis=1)) / DEFAULT.pick_softness)
                continue
            choice = log_softmax(dice / DEFAULT.pick_softness, axis=1)[:, answer.picked]
            error = np.log(DEFAULT.pick_error / dice.shape[1])
            total += np.logaddexp(np.log1p(-DEFAULT.pick_error) + choice, error)
        return total

    def _points_likelihood(self, particles: Particles) -> np.ndarray:
        """(P,) log P(points | mask): a point says whether its cell is wanted."""
        total = np.zeros(len(particles.samples))
        right, wrong = np.log1p(-DEFAULT.point_error), np.log(DEFAULT.point_error)
        for point in self._points:
            for index, at in self.hypotheses.by_region(particles.samples):
                cell = point.cell[index]
                inside = np.zeros(len(at)) if cell is None else particles.masks[at, cell]
                total[at] += np.where((inside > 0) == point.positive, right, wrong)
        return total

    def dice(self, particles: Particles, masks: Masks) -> np.ndarray:
        """(P, k) Dice of the particles' masks with others."""
        return self.hypotheses.dice(particles.samples, particles.masks, particles.areas, masks)
