"""What two profiles would recommend on one slice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from SPASegmentLib.inference.messages import CancelToken, Engine, Proposal, ProposalRequest
from SPASegmentLib.profiles.profile import Profile


@dataclass(frozen=True, eq=False)
class SliceComparison:
    """The first recommendations of two profiles on one slice, and of the model without any.

    areas: of first, second and without, in mm2. dice: of the first two.
    only_first, only_second: what only one of them marks, in mm2.
    """

    names: tuple[str, str]
    first: Proposal
    second: Proposal
    without: Proposal
    dice: float
    areas: tuple[float, ...]
    only_first: float
    only_second: float


def compare_on_slice(
    engine: Engine, request: ProposalRequest, a: Profile, b: Profile, cancel: CancelToken | None = None
) -> SliceComparison:
    """Ask the engine for both profiles' first recommendation, and for that of no profile.

    request: the slice, the seed and the random seed; its answers and its prior are not used.
    Raises ProfileError where a profile belongs to another model, and what the engine raises.
    """
    for profile in (a, b):
        profile.check_model(engine.model)
    priors = ((a.log_prior(), a.usual_area()), (b.log_prior(), b.usual_area()), (None, None))
    first, second, without = (
        engine.propose(replace(request, answered=(), log_prior=prior, usual_area=area), cancel)
        for prior, area in priors
    )
    pixel = float(np.prod(request.image.spacing))
    one, other = first.recommendation, second.recommendation
    total = np.count_nonzero(one) + np.count_nonzero(other)
    both = np.count_nonzero(one & other)
    return SliceComparison(
        names=(a.name, b.name),
        first=first,
        second=second,
        without=without,
        dice=2 * both / total if total else 1.0,
        areas=tuple(float(np.count_nonzero(p.recommendation)) * pixel for p in (first, second, without)),
        only_first=float(np.count_nonzero(one & ~other)) * pixel,
        only_second=float(np.count_nonzero(other & ~one)) * pixel,
    )
