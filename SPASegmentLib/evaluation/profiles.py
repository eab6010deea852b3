"""What the simulated users of a transfer teach, and what of it the next request carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from SPASegmentLib.engine.messages import Answered, ModelInfo, Proposal
from SPASegmentLib.preference.evidence import Contribution, Evidence, approval_row, doubted, rows_of


class ProfileLike(Protocol):
    """What a user has taught a model so far."""

    def log_prior(self) -> np.ndarray:
        """(M,) what a request carries."""

    def learn(self, image_key: str, answered: tuple[Answered, ...], approved: Proposal | None) -> None:
        """Take in one image: the picks, and the proposal whose recommendation was approved, if one was."""


ProfileFactory = Callable[[ModelInfo], ProfileLike]
"""Makes a profile that has learnt nothing; a function of a module where there are several workers."""


class EvidenceProfile:
    """A profile in memory: the exact posterior over components from all picks and approvals so far."""

    def __init__(self, model: ModelInfo) -> None:
        self._evidence = Evidence(model.components)

    def log_prior(self) -> np.ndarray:
        """(M,) log-evidence, bounded below as in every profile."""
        return doubted(self._evidence.total())

    def learn(self, image_key: str, answered: tuple[Answered, ...], approved: Proposal | None) -> None:
        """Add the log-likelihoods of the picks and of the approval; an image seen before is replaced."""
        components = self._evidence.components
        rows = rows_of(answered, components)
        if approved is not None:
            rows = np.concatenate([rows, approval_row(approved.feedback, components)[None]])
        self._evidence = self._evidence.with_contribution(Contribution(image_key, image_key, rows))
