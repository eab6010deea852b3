"""The same model asked otherwise: with other numbers of samples N (supplement Section 3), with a profile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from SPASegmentLib.inference.messages import CancelToken, Engine, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.research.evaluation.interaction import OracleEngine
from SPASegmentLib.research.evaluation.workers import EngineFactory


class WithEntries:
    """An engine every request to which carries the same entries. It learns nothing."""

    def __init__(self, engine: Engine, profile: str = "", **entries: Any) -> None:
        """profile: the one its requests carry, in a line, or ""."""
        self._engine, self._entries, self.profile = engine, entries, profile
        self.device = getattr(engine, "device", "cpu")

    @property
    def model(self) -> ModelInfo:
        """The engine's own model."""
        return self._engine.model

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request."""
        return self._engine.propose(replace(request, **self._entries), cancel)


class OracleWithEntries(WithEntries):
    """The same for an engine that is shown the target."""

    def see_target(self, target: np.ndarray) -> None:
        """Show it."""
        if isinstance(self._engine, OracleEngine):
            self._engine.see_target(target)


def with_samples(engine: Engine, n_samples: int) -> Engine:
    """An engine that answers every request with N samples."""
    kind = OracleWithEntries if isinstance(engine, OracleEngine) else WithEntries
    return kind(engine, n_samples=n_samples)


def for_each_count(engines: Mapping[str, EngineFactory], counts: Sequence[int]) -> dict[str, EngineFactory]:
    """Every engine with every N, as "NAME N=24"."""
    return {
        f"{name} N={n}": partial(_made, engine, with_samples, n)
        for name, engine in engines.items()
        for n in counts
    }


def with_profile(engines: Mapping[str, EngineFactory], profile: Profile | None) -> dict[str, EngineFactory]:
    """The first engine with the profile, as "NAME + PROFILE"; nothing without one.

    Every request carries it, as a user's do. Making the engine raises ProfileError where it is another's.
    """
    if profile is None or not engines:
        return {}
    name, engine = next(iter(engines.items()))
    return {f"{name} + {profile.name}": partial(_made, engine, _with_prior, profile)}


def _with_prior(engine: Engine, profile: Profile) -> Engine:
    profile.check_model(engine.model)
    prior, area = profile.log_prior(), profile.usual_area()
    digest = hashlib.sha256(prior.tobytes() + repr(area).encode()).hexdigest()
    about = f"{profile.name}, {profile.n_images} images, {digest[:12]}"
    return WithEntries(engine, about, log_prior=prior, usual_area=area)


def _made(engine: EngineFactory, change: Callable[[Engine, Any], Engine], value: Any) -> Engine:
    return change(engine(), value)
