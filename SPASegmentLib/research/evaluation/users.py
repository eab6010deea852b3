"""Users who pick otherwise than `always-pick`: which candidate each takes for what they want."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.datasets.draws import generator
from SPASegmentLib.research.evaluation.protocol import BOUNDARY, NOISE, NOISY, pick
from SPASegmentLib.research.evaluation.surfaces import mean_boundary_distance

Choose = Callable[[Proposal, list[float]], int]
"""Which of the candidates is picked, from the proposal and each candidate's Dice with what is wanted."""


def closest(proposal: Proposal, dice: list[float]) -> int:
    """The candidate with the highest Dice, as `always-pick` does."""
    return pick(dice)


def choice_of(user: str, case: Case, target: np.ndarray, protocol_seed: int) -> Choose:
    """How a user of `protocol.PICKING` picks in a case who wants `target`, (H, W) bool.

    The noisy user's whims are a pure function of data set, case and seed.
    """
    if user == BOUNDARY:
        return _ByBoundary(target, case.spacing)
    if user == NOISY:
        return _Noisy(generator(case.dataset, case.case_id, protocol_seed, NOISY))
    return closest


class _ByBoundary:
    """The candidate with the smallest mean boundary distance; the lowest index among equals."""

    def __init__(self, target: np.ndarray, spacing: tuple[float, float]) -> None:
        self._target, self._spacing = target, spacing

    def __call__(self, proposal: Proposal, dice: list[float]) -> int:
        shown = (candidate.mask for candidate in proposal.candidates)
        return int(np.argmin([mean_boundary_distance(mask, self._target, self._spacing) for mask in shown]))


class _Noisy:
    """The closest candidate but in a share `NOISE` of the iterations, where it is any of those shown."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, proposal: Proposal, dice: list[float]) -> int:
        errs, which = self._rng.random(2)
        return int(which * len(dice)) if errs < NOISE else pick(dice)
