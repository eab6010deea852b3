"""Level sets of one probability map, in order from the smallest mask to the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

Scale = Literal["probability", "logit", "area", "log-area"]
_STEPS = 256
_RUNG_GROWTH = 1.03
_RUNGS = 24


@dataclass(frozen=True)
class Levels:
    """How levels are spread.

    scale: in which steps are even: the probability or its logit, or the area of the level set or its
    logarithm. highest, lowest: the probabilities between which levels lie, the smallest mask's first. The
    defaults did best on LIDC's val split.
    """

    scale: Scale = "logit"
    highest: float = 0.998
    lowest: float = 0.002


@dataclass(frozen=True)
class Interval:
    """Levels that are still possible: probabilities, from the smallest mask's to the largest's."""

    high: float
    low: float


class LevelSets:
    """Levels of one map and their positions: 0 the smallest mask, 0.5 the map's own, 1 the largest.

    cells: (G, G) probabilities. The map's own level is 0.5, or half its peak where it stays below.
    """

    def __init__(self, cells: np.ndarray, levels: Levels | None = None) -> None:
        levels = levels or Levels()
        peak = max(float(cells.max()), 1e-6)
        own = 0.5 if peak > 0.5 else peak / 2
        high = min(levels.highest, own + 0.98 * (peak - own))
        low = 2 * own * levels.lowest
        tight = np.linspace(_logit(high), _logit(own), _STEPS + 1)
        loose = np.linspace(_logit(own), _logit(low), _STEPS + 1)[1:]
        self._levels = 1 / (1 + np.exp(-np.concatenate([tight, loose])))
        self._levels[_STEPS] = own
        ordered = np.sort(np.asarray(cells, dtype=np.float64).ravel())
        areas = ordered.size - np.searchsorted(ordered, self._levels, side="left")
        self._areas = areas + 1e-6 * np.arange(len(areas))  # strictly rising, so that it can be inverted
        steps = {
            "probability": -self._levels,
            "logit": -_logit(self._levels),
            "area": self._areas,
            "log-area": np.log(self._areas + 1),
        }[levels.scale]
        before = (steps - steps[0]) / (steps[_STEPS] - steps[0]) / 2
        after = 0.5 + (steps - steps[_STEPS]) / (steps[-1] - steps[_STEPS]) / 2
        self._positions = np.where(np.arange(len(steps)) <= _STEPS, before, after)

    @property
    def whole(self) -> Interval:
        """All levels."""
        return Interval(float(self._levels[0]), float(self._levels[-1]))

    def level(self, position: float) -> float:
        """The level at a position."""
        return float(np.interp(position, self._positions, self._levels))

    def position(self, level: float) -> float:
        """The position of a level; levels off the ladder count as its nearer end."""
        return float(np.interp(-level, -self._levels, self._positions))

    def middle(self, interval: Interval) -> float:
        """The level in the middle of an interval."""
        return self.level((self.position(interval.high) + self.position(interval.low)) / 2)

    def split(self, interval: Interval, count: int) -> list[float]:
        """The middles of `count` equal parts of an interval, from the largest mask to the smallest."""
        first, last = self.position(interval.high), self.position(interval.low)
        return [self.level(last + (first - last) * (i + 0.5) / count) for i in range(count)]

    def rungs(self, level: float) -> list[list[float]]:
        """Levels around one, the nearest first: ever more small steps of area, then coarse ones over all."""
        area = self._area(level)
        near = [self._level_of(area * _RUNG_GROWTH**step) for n in range(1, _RUNGS + 1) for step in (n, -n)]
        here = self.position(level)
        far = sorted(np.linspace(0, 1, _RUNGS), key=lambda position: abs(position - here))
        every = near + [self.level(float(position)) for position in far]
        return [near[:8], near[:20], near, every]

    def kept(self, interval: Interval, shown: Sequence[float]) -> tuple[Interval, ...]:
        """What remains of an interval when one of the shown levels is picked, for each of them.

        Who wants a level set picks the shown one with the higher Dice; between two nested masks the Dice is
        equal for the one whose area is the geometric mean of theirs. Where nothing remains, earlier picks
        misled, and the neighbourhood of the last one is open again.
        """
        if not shown:
            return ()
        order = sorted(range(len(shown)), key=lambda k: -shown[k])
        between = [
            self._level_of(float(np.sqrt(self._area(shown[a]) * self._area(shown[b]))))
            for a, b in pairwise(order)
        ]
        edges = [self.whole.high, *between, self.whole.low]
        found: dict[int, Interval] = {}
        for k, (high, low) in zip(order, pairwise(edges), strict=True):
            narrowed = Interval(min(high, interval.high), max(low, interval.low))
            if narrowed.high <= narrowed.low:
                narrowed = self._around(shown[k], high, low)
            found[k] = narrowed
        return tuple(found[k] for k in range(len(shown)))

    def _around(self, level: float, high: float, low: float) -> Interval:
        """As much of the levels from high to low on either side of one as there is on its shorter side."""
        here, first, last = (self.position(value) for value in (level, high, low))
        reach = min(here - first, last - here)
        return Interval(self.level(here - reach), self.level(here + reach))

    def _area(self, level: float) -> float:
        return float(np.interp(-level, -self._levels, self._areas))

    def _level_of(self, area: float) -> float:
        return float(np.interp(area, self._areas, self._levels))


def moved_to(probabilities: np.ndarray, level: float) -> np.ndarray:
    """The map moved in logits so that 0.5 lies where `level` was; float32."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    return (1 / (1 + np.exp(_logit(np.float64(level)) - _logit(clipped)))).astype(np.float32)


def _logit(p: np.ndarray | float) -> np.ndarray:
    return np.asarray(np.log(p) - np.log1p(-np.asarray(p)))
