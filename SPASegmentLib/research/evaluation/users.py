"""Users who answer otherwise than `always-pick`: what each says to what is shown, for what they want."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.datasets.draws import generator
from SPASegmentLib.research.evaluation.protocol import BOUNDARY, KEEP, NOISE, NOISY, pick
from SPASegmentLib.research.evaluation.surfaces import mean_boundary_distance

Choose = Callable[[Proposal, float, list[float]], int | None]
"""Which candidate is picked, or None to keep the recommendation: from the proposal, and the Dice with what is
wanted of its recommendation and of each candidate."""


def closest(proposal: Proposal, recommended: float, dice: list[float]) -> int:
    """The candidate with the highest Dice, as `always-pick` does."""
    return pick(dice)


def closest_or_kept(proposal: Proposal, recommended: float, dice: list[float]) -> int | None:
    """The candidate with the highest Dice, if that is higher than the recommendation's."""
    return pick(dice) if max(dice) > recommended else None


def choice_of(user: str, case: Case, target: np.ndarray, protocol_seed: int) -> Choose:
    """How a user of `protocol.PICKING` answers in a case who wants `target`, (H, W) bool.

    The noisy user's whims are a pure function of data set, case and seed.
    """
    if user == KEEP:
        return closest_or_kept
    if user == BOUNDARY:
        return _ByBoundary(target, case.spacing)
    if user == NOISY:
        return _Noisy(generator(case.dataset, case.case_id, protocol_seed, NOISY))
    return closest


class _ByBoundary:
    """The candidate with the smallest mean boundary distance; the lowest index among equals."""

    def __init__(self, target: np.ndarray, spacing: tuple[float, float]) -> None:
        self._target, self._spacing = target, spacing

    def __call__(self, proposal: Proposal, recommended: float, dice: list[float]) -> int:
        shown = (candidate.mask for candidate in proposal.candidates)
        return int(np.argmin([mean_boundary_distance(mask, self._target, self._spacing) for mask in shown]))


class _Noisy:
    """The closest candidate but in a share `NOISE` of the iterations, where it is any of those shown."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, proposal: Proposal, recommended: float, dice: list[float]) -> int:
        errs, which = self._rng.random(2)
        return int(which * len(dice)) if errs < NOISE else pick(dice)
