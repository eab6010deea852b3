"""SPA with one of its parts taken away, on the same weights: what each is worth in use (docs/method.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.history import History
from SPASegmentLib.inference.local import LocalEngine
from SPASegmentLib.inference.messages import CancelToken, Proposal, ProposalRequest
from SPASegmentLib.inference.region_search import first_region
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.network.spa import Prepared

Part = Literal["mixture", "memory", "posterior", "looks"]


class WithoutMixtureEngine(LocalEngine):
    """z averaged over the components, as the authors' code does: one Gaussian, whatever their number."""

    def _mixture(self, prepared: Prepared, request: ProposalRequest, history: History) -> Mixture:
        mixture = super()._mixture(prepared, request, history)
        weights = np.exp(mixture.log_weights)[:, None]
        mean = (weights * mixture.means).sum(axis=0)
        variance = (weights**2 * mixture.variances).sum(axis=0)
        shape = mixture.means.shape
        return Mixture(mixture.log_weights, np.broadcast_to(mean, shape), np.broadcast_to(variance, shape))


class WithoutMemoryEngine(LocalEngine):
    """Each proposal knows the last pick alone, as in the paper: the belief forgets those before."""

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """See `Engine.propose`."""
        return super().propose(replace(request, answered=request.answered[-1:]), cancel)


class WithoutPosteriorEngine(LocalEngine):
    """The paper's way (Section 3.3): the mean of the network's samples, candidates by K-means of them."""

    def _steered(
        self, request: ProposalRequest, history: History, samples: np.ndarray, components: np.ndarray
    ) -> Proposal:
        return self._clustered(request, history, samples, components)


class WithoutLooksEngine(LocalEngine):
    """The first region around the seed is the only one, whatever the size of the object."""

    def _region(self, request: ProposalRequest, cancel: CancelToken | None) -> Region:
        return first_region(request, self.config)


_ENGINES: dict[Part, type[LocalEngine]] = {
    "mixture": WithoutMixtureEngine,
    "memory": WithoutMemoryEngine,
    "posterior": WithoutPosteriorEngine,
    "looks": WithoutLooksEngine,
}


def without(part: Part, *args: Any) -> LocalEngine:
    """SPA's engine without a part; the arguments are `LocalEngine`'s."""
    return _ENGINES[part](*args)
