"""What a user wants who goes by some of the raters: the majority of a random subset."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TRIES = 1000
"""Subsets drawn for one target at most."""


class Subset(NamedTuple):
    """target: (H, W) bool, not empty. included: the raters it was made from. redrawn: whether the first
    subset drawn had an empty target."""

    target: np.ndarray
    included: tuple[int, ...]
    redrawn: bool


def half_agree(masks: np.ndarray) -> np.ndarray:
    """Foreground where the mean of the masks is at least 0.5. masks: (R, H, W) bool. Returns (H, W) bool."""
    return np.asarray(2 * masks.sum(axis=0, dtype=np.uint16) >= len(masks))


def members(raters: tuple[int, ...], number: int) -> tuple[int, ...]:
    """The raters whose bit is set in a subset's number."""
    return tuple(rater for bit, rater in enumerate(raters) if number >> bit & 1)


def draw_subset(masks: np.ndarray, raters: tuple[int, ...], rng: np.random.Generator) -> Subset | None:
    """Non-empty subsets of `raters`, uniformly, until one has a target; None where none of them drew.

    masks: (R, H, W) bool. Where hardly any subset wants something, as with one of thirty raters, the target
    is one rater's mask after `TRIES`.
    """
    who_drew = [rater for rater in raters if masks[rater].any()]
    if not who_drew:
        return None
    for tried in range(TRIES):
        included = members(raters, int(rng.integers(1, 2 ** min(len(raters), 62))))
        target = half_agree(masks[list(included)])
        if target.any():
            return Subset(target, included, tried > 0)
    alone = who_drew[int(rng.integers(len(who_drew)))]
    return Subset(half_agree(masks[[alone]]), (alone,), True)
