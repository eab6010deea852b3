"""The same model with other numbers of samples N (supplement Section 3: 24, 36, 48)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from SPASegmentLib.inference.messages import CancelToken, Engine, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.research.evaluation.interaction import OracleEngine
from SPASegmentLib.research.evaluation.workers import EngineFactory


class WithSamples:
    """An engine that answers every request with N samples."""

    def __init__(self, engine: Engine, n_samples: int) -> None:
        self._engine = engine
        self._n_samples = n_samples
        self.device = getattr(engine, "device", "cpu")

    @property
    def model(self) -> ModelInfo:
        """The engine's own model."""
        return self._engine.model

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request."""
        return self._engine.propose(replace(request, n_samples=self._n_samples), cancel)


class OracleWithSamples(WithSamples):
    """The same for an engine that is shown the target."""

    def see_target(self, target: np.ndarray) -> None:
        """Show it."""
        if isinstance(self._engine, OracleEngine):
            self._engine.see_target(target)


@dataclass(frozen=True)
class _SamplesFactory:
    engine: EngineFactory
    n_samples: int

    def __call__(self) -> Engine:
        engine = self.engine()
        kind = OracleWithSamples if isinstance(engine, OracleEngine) else WithSamples
        return kind(engine, self.n_samples)


def for_each_count(engines: Mapping[str, EngineFactory], counts: Sequence[int]) -> dict[str, EngineFactory]:
    """Every engine with every N, as "NAME N=24"."""
    return {f"{name} N={n}": _SamplesFactory(engine, n) for name, engine in engines.items() for n in counts}
