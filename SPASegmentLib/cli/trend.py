"""The course of a profile, slice by slice."""

from __future__ import annotations

import math
from dataclasses import dataclass

from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.summary import area_change, area_ratio


@dataclass(frozen=True)
class Trend:
    """One approved slice in the course of a profile.

    change: approved area over the consensus, as a share (0.14: 14% larger), or None where not known.
    first_change: the same over the recommendation it first showed; nears zero as the profile learns.
    picks: answers it took. sure: probability of the likeliest component from then on.
    """

    change: float | None
    first_change: float | None
    picks: int
    sure: float


def trend(profile: Profile) -> tuple[Trend, ...]:
    """The course of a profile, slice by slice, oldest first."""
    base = profile.base_log_weights
    steps = []
    for item, total in zip(profile.slices, profile.evidence.totals(), strict=True):
        joint = base + total
        weights = [math.exp(v - max(joint)) for v in joint]
        nearer = area_ratio(item.approved_mm2, item.first_mm2)
        steps.append(Trend(area_change(item), nearer, len(item.picks), 1 / sum(weights)))
    return tuple(steps)
