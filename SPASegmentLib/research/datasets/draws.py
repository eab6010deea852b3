"""Random numbers of a case, and what a user wants who goes by some raters: a random subset's majority."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln


def digest(dataset_name: str, case_id: str, seed: int, purpose: str) -> int:
    """A number of 256 bits, the same on every machine."""
    text = json.dumps([dataset_name, case_id, seed, purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def generator(dataset_name: str, case_id: str, seed: int, purpose: str) -> np.random.Generator:
    """The random numbers of one purpose in one case."""
    return np.random.default_rng(digest(dataset_name, case_id, seed, purpose))


TRIES = 1000
"""Subsets drawn for one target at most."""


class RaterSubset(NamedTuple):
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


def draw_subset(masks: np.ndarray, raters: tuple[int, ...], rng: np.random.Generator) -> RaterSubset | None:
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
            return RaterSubset(target, included, tried > 0)
    alone = who_drew[int(rng.integers(len(who_drew)))]
    return RaterSubset(half_agree(masks[[alone]]), (alone,), True)


def draw_agreeing(votes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The raters of a subset at least half of which voted, uniform among all such subsets.

    votes: (R,) bool, at least one of them true. Returns sorted indices.
    """
    who_did, who_did_not = np.flatnonzero(votes), np.flatnonzero(~votes)
    count = np.arange(1, len(who_did) + 1)[:, None], np.arange(len(who_did_not) + 1)[None]
    subsets = _log_choose(len(who_did), count[0]) + _log_choose(len(who_did_not), count[1])
    subsets = np.where(count[0] >= count[1], subsets, -np.inf)  # how many, by who voted and who did not
    share = np.exp(subsets - subsets.max()).ravel()
    voted, other = np.unravel_index(rng.choice(len(share), p=share / share.sum()), subsets.shape)
    chosen = rng.choice(who_did, voted + 1, replace=False), rng.choice(who_did_not, other, replace=False)
    return np.sort(np.concatenate(chosen))


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
