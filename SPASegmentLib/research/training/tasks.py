"""Tasks for a network that segments any structure: whose wish, which click, how it is looked at.

A step's tasks are a pure function of (seed, step, rank). A task is a slice of a stack, what U people who may
have made the same click want of it (the first is the one whose picks and corrections follow), the click, and,
for some, the mask of a neighbouring slice carried over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from SPASegmentLib.research.datasets.draws import draw_subset, half_agree, members
from SPASegmentLib.research.training.stacks import LEAST_PIXELS, Stack
from SPASegmentLib.research.training.styles import drawn_in_style

LARGEST_SHARE = 150
"""Entries beyond this many do not raise a set's share further."""
TRIES = 50
SMALLEST_REGION = 24.0
"""Side, in finest pixels, of the smallest region that the search looks at."""


@dataclass(frozen=True)
class TaskShares:
    """How often each kind of task is drawn.

    lidc, synthetic: shares of all tasks that come from LIDC and from made-up images. carried: of those in
        stacks, how many carry a mask over;
    absent: of these, how many go one slice too far. styled: how often the user who is followed is not the one
    the target was drawn for but another who shares the click: a style, another structure. found: share of
    regions that follow somebody's mask, as the finder's do once the size is known; others are looks at
    any scale around the click.
    """

    lidc: float = 0.33
    synthetic: float = 0.12
    carried: float = 0.2
    absent: float = 0.15
    styled: float = 0.25
    found: float = 0.5


@dataclass(frozen=True, eq=False)
class ClickTask:
    """stack, axis, index: the slice. users: (U, H, W) bool. click: (row, col). carried: (H, W) bool or None.

    size: side of the region in finest pixels. centre: (row, col).
    """

    stack: Stack
    axis: int
    index: int
    users: np.ndarray
    click: tuple[int, int]
    carried: np.ndarray | None
    size: float
    centre: tuple[float, float]


class TaskMaker:
    """Draws tasks: a set by the root of its size, then an entry, a target, a click, a region."""

    def __init__(
        self,
        sets: Mapping[str, Sequence[Stack]],
        users: int,
        zoom_factor: float,
        shares: TaskShares,
    ) -> None:
        """sets: name -> stacks; "lidc" and "synthetic" take the shares given, others the rest."""
        self.sets = {name: list(stacks) for name, stacks in sets.items() if stacks}
        self.users, self.zoom_factor, self.shares = users, zoom_factor, shares
        self.names = sorted(self.sets)
        weights = np.array([min(len(self.sets[name]), LARGEST_SHARE) ** 0.5 for name in self.names])
        given = {"lidc": shares.lidc, "synthetic": shares.synthetic}
        others = np.array([name not in given for name in self.names])
        if others.any():
            taken = sum(share for name, share in given.items() if name in self.names)
            weights[others] *= (1 - taken) / weights[others].sum()
            weights[~others] = [given[name] for name in self.names if name in given]
        self.weights = weights / weights.sum()

    def task(self, rng: np.random.Generator) -> ClickTask:
        """One task; what cannot be clicked on is drawn again."""
        for _ in range(TRIES):
            name = self.names[int(rng.choice(len(self.names), p=self.weights))]
            stacks = self.sets[name]
            stack = stacks[int(rng.integers(len(stacks)))]
            (axis, number), slices = list(stack.shown.items())[int(rng.integers(len(stack.shown)))]
            index = int(slices[rng.integers(len(slices))])
            if stack.depth(axis) > 2 and not stack.instances and rng.random() < self.shares.carried:
                task = self._carried(stack, axis, number, index, rng)
            else:
                task = self._clicked(stack, axis, number, index, rng)
            if task is not None:
                return task
        raise ValueError("No task can be drawn from these sets.")

    def _clicked(
        self, stack: Stack, axis: int, number: int, index: int, rng: np.random.Generator
    ) -> ClickTask | None:
        """A click on the slice, nothing else known."""
        if stack.raters:
            found = self._raters(stack, axis, index, rng)
        else:
            found = self._structures(stack, axis, number, index, rng)
        if found is None:
            return None
        users, click = found
        size, centre = self._region(users, click, stack.steps(axis), rng)
        return ClickTask(stack, axis, index, users, click, None, size, centre)

    def _raters(
        self, stack: Stack, axis: int, index: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, tuple[int, int]] | None:
        """As the protocol draws a target and a click; further users are subsets whose target holds it."""
        raters = np.stack([stack.mask(n, axis, index) for n in range(len(stack.masks))])
        drawn = draw_subset(raters, tuple(range(len(raters))), rng)
        if drawn is None or drawn.target.sum() < LEAST_PIXELS:
            return None
        agreed = raters.all(axis=0)
        click = _somewhere(agreed & drawn.target if (agreed & drawn.target).any() else drawn.target, rng)
        wanted = [drawn.target]
        for _ in range(4 * self.users):
            if len(wanted) == self.users:
                break
            subset = draw_subset(raters, tuple(range(len(raters))), rng)
            if subset is not None and subset.target[click]:
                wanted.append(subset.target)
        return np.stack([wanted[i % len(wanted)] for i in range(self.users)]), click

    def _structures(
        self, stack: Stack, axis: int, number: int, index: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, tuple[int, int]] | None:
        """A structure or a single object; further users want others, or styles, that hold the click."""
        target = self._target(stack.mask(number, axis, index), stack.instances, rng)
        if target is None:
            return None
        click = _somewhere(target, rng)
        wanted = [target]
        for other in range(len(stack.masks)):
            mask = stack.mask(other, axis, index)
            if other != number and mask[click]:
                wanted.append(mask == mask[click] if stack.instances else mask)
        wanted = [wanted[0], *(wanted[1 + i] for i in rng.permutation(len(wanted) - 1))][: self.users]
        pixels = stack.slice(axis, index)
        grey = pixels.mean(axis=-1) if pixels.ndim == 3 else pixels
        while len(wanted) < self.users:
            wanted.append(drawn_in_style(target, grey, click, rng))
        if rng.random() < self.shares.styled:
            other = int(rng.integers(1, self.users)) if self.users > 1 else 0
            wanted[0], wanted[other] = wanted[other], wanted[0]
        return np.stack(wanted), click

    @staticmethod
    def _target(mask: np.ndarray, instances: bool, rng: np.random.Generator) -> np.ndarray | None:
        if not instances:
            return mask if mask.sum() >= LEAST_PIXELS else None
        ids, sizes = np.unique(mask, return_counts=True)
        ids = ids[(ids != 0) & (sizes >= LEAST_PIXELS)]
        if not len(ids):
            return None
        return np.asarray(mask == ids[rng.integers(len(ids))])

    def _carried(
        self, stack: Stack, axis: int, number: int, index: int, rng: np.random.Generator
    ) -> ClickTask | None:
        """The mask of a neighbouring slice is at hand; for some, the object has ended in between."""
        step = int(rng.choice([-2, -1, -1, 1, 1, 2]))
        came_from = index
        index = came_from + step
        if not 0 <= index < stack.depth(axis):
            return None
        before, target = self._wish(stack, axis, number, (came_from, index), rng)
        ended = target.sum() < LEAST_PIXELS
        if before.sum() < LEAST_PIXELS or (ended and rng.random() > self.shares.absent):
            return None
        carried = _damaged(before, rng)
        distance = ndimage.distance_transform_edt(np.pad(carried, 1))[1:-1, 1:-1]
        row, col = divmod(int(distance.argmax()), distance.shape[1])
        click = (row, col)
        users = np.repeat(target[None] if not ended else np.zeros_like(target)[None], self.users, axis=0)
        size, centre = self._follow(carried, click, stack.steps(axis), rng)
        return ClickTask(stack, axis, index, users, click, carried, size, centre)

    @staticmethod
    def _wish(
        stack: Stack, axis: int, number: int, slices: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """What one person wants on two slices: the same subset of raters, the same structure."""
        if not stack.raters:
            first, second = (stack.mask(number, axis, at) for at in slices)
            return first, second
        everyone = tuple(range(len(stack.masks)))
        who = members(everyone, int(rng.integers(1, 2 ** len(everyone))))
        wanted = [half_agree(np.stack([stack.mask(n, axis, at) for n in who])) for at in slices]
        return wanted[0], wanted[1]

    def _region(
        self,
        users: np.ndarray,
        click: tuple[int, int],
        steps: tuple[float, float],
        rng: np.random.Generator,
    ) -> tuple[float, tuple[float, float]]:
        """Side and centre: after somebody's mask (the finder does not know whose), or a first look."""
        if rng.random() < self.shares.found:
            return self._follow(users[rng.integers(len(users))], click, steps, rng)
        longest = max(n * step for n, step in zip(users.shape[1:], steps, strict=True))
        largest = max(2 * longest, 2 * SMALLEST_REGION)
        size = math.exp(rng.uniform(math.log(SMALLEST_REGION), math.log(largest)))
        return size, (float(click[0]), float(click[1]))

    def _follow(
        self,
        mask: np.ndarray,
        click: tuple[int, int],
        steps: tuple[float, float],
        rng: np.random.Generator,
    ) -> tuple[float, tuple[float, float]]:
        """A region that fits a mask about as well as the finder's do."""
        hits = [np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))]
        sides = [(hit[-1] - hit[0] + 1) * step for hit, step in zip(hits, steps, strict=True)]
        size = max(SMALLEST_REGION, max(sides) * self.zoom_factor * math.exp(rng.normal(0, 0.25)))
        centre = []
        for hit, at, step in zip(hits, click, steps, strict=True):
            middle = (hit[0] + hit[-1]) / 2 + rng.normal(0, 0.06 * size / step)
            reach = 0.45 * size / step
            centre.append(float(np.clip(middle, at - reach, at + reach)))
        return size, (centre[0], centre[1])


def _somewhere(mask: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """A pixel of the mask, uniformly."""
    spots = np.flatnonzero(mask)
    row, col = divmod(int(spots[rng.integers(len(spots))]), mask.shape[1])
    return row, col


def _damaged(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask as it is when carried over: a little off, wider or tighter; never empty."""
    draw = rng.random()
    result = mask
    if draw < 0.3:
        result = ndimage.binary_dilation(mask, iterations=int(rng.integers(1, 3)))
    elif draw < 0.5:
        result = ndimage.binary_erosion(mask)
    if rng.random() < 0.3:
        shift = rng.integers(-2, 3, 2)
        result = ndimage.shift(result.astype(np.uint8), shift, order=0) > 0
    return np.asarray(result if result.any() else mask)
