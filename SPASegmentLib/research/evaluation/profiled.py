"""A model that begins every case with a saved profile, beside the same model without it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from SPASegmentLib.inference.messages import CancelToken, Engine, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.research.evaluation.workers import EngineFactory


class WithProfile:
    """An engine every request to which carries a profile, as a user's requests do. It learns nothing."""

    def __init__(self, engine: Engine, profile: Profile) -> None:
        """Raises ProfileError where the profile is another model's."""
        profile.check_model(engine.model)
        self._engine = engine
        self._log_prior = profile.log_prior()
        self.device = getattr(engine, "device", "cpu")
        digest = hashlib.sha256(self._log_prior.tobytes()).hexdigest()
        self.profile = f"{profile.name}, {profile.n_images} images, {digest[:12]}"

    @property
    def model(self) -> ModelInfo:
        """The engine's own model."""
        return self._engine.model

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request."""
        return self._engine.propose(replace(request, log_prior=self._log_prior), cancel)


@dataclass(frozen=True)
class _ProfiledFactory:
    engine: EngineFactory
    profile: Profile

    def __call__(self) -> Engine:
        return WithProfile(self.engine(), self.profile)


def with_profile(engines: Mapping[str, EngineFactory], profile: Profile | None) -> dict[str, EngineFactory]:
    """The first engine with the profile, as "NAME + PROFILE"; nothing without one."""
    if profile is None or not engines:
        return {}
    name, engine = next(iter(engines.items()))
    return {f"{name} + {profile.name}": _ProfiledFactory(engine, profile)}
