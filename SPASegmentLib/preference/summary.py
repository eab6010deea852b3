"""A profile in plain language, computed from its evidence and from nothing else."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from SPASegmentLib.preference.evidence import log_gain
from SPASegmentLib.preference.profile import Profile
from SPASegmentLib.preference.records import PickRecord, SliceEvidence

AS_LARGE = 0.02
"""Masks within this share of the consensus count as being as large."""
HABIT = 3
"""An offer must have been made this often to be worth a sentence of its own."""
RECENT = 5
DRIFT_NATS = 3.0
"""The recent picks are this much (nats; a factor of 20) less likely with the profile than without it."""
_PARTS = {"without part": "leaves out parts", "with part": "includes further parts"}


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


def summarise(profile: Profile) -> tuple[str, ...]:
    """Sentences on what the profile has learnt, the most telling first."""
    if not profile.slices:
        return ("Nothing learnt yet.",)
    sentences = [_size(profile.slices), *_parts(profile.slices), _choices(profile.slices)]
    return tuple(s for s in (*sentences, _effort(profile.slices), drift(profile)) if s)


def tendency(slices: Iterable[SliceEvidence]) -> tuple[float | None, int]:
    """Median change of area against the consensus as a share (0.14: 14% larger), and over how many slices."""
    changes = [c for c in map(_change, slices) if c is not None]
    if not changes:
        return None, 0
    return math.expm1(statistics.median(map(math.log1p, changes))), len(changes)


def trend(profile: Profile) -> tuple[Trend, ...]:
    """The course of a profile, slice by slice, oldest first."""
    base = profile.base_log_weights
    steps = []
    for item, total in zip(profile.slices, profile.evidence.totals(), strict=True):
        joint = base + total
        weights = [math.exp(v - max(joint)) for v in joint]
        steps.append(
            Trend(_change(item), _ratio(item.approved_mm2, item.first_mm2), len(item.picks), 1 / sum(weights))
        )
    return tuple(steps)


def drift(profile: Profile, recent: int = RECENT) -> str:
    """A warning where the most recent picks contradict the profile, else "".

    Compares how likely the last slices' picks are under what was learnt before them with how likely they are
    without any profile.
    """
    slices = [item for item in profile.slices if item.picks or item.approval]
    older, latest = slices[:-recent], slices[-recent:]
    if len(older) < recent or len(latest) < recent:
        return ""
    before = profile.evidence
    for item in latest:
        before = before.without(item.id)
    total, base = before.total(), profile.base_log_weights
    gains = [log_gain(item.rows(profile.model.components), total, base) for item in latest]
    against = sum(gain < 0 for gain in gains)
    if sum(gains) > -DRIFT_NATS or 2 * against <= recent:
        return ""
    return (
        f"Recent picks contradict this profile (last {recent} slices); "
        "use another profile for this kind of image, turn on forgetting, or reset it."
    )


def _size(slices: tuple[SliceEvidence, ...]) -> str:
    change = tendency(slices)[0]
    if change is None:
        images = len({item.image for item in slices})
        return f"Learnt from {_count(images, 'image')}; areas are not known."
    images = len({item.image for item in slices if _change(item) is not None})
    over = f"over {_count(images, 'image')}"
    if abs(change) < AS_LARGE:
        return f"Masks about as large as the consensus {over}."
    return f"Masks {abs(change):.0%} {'larger' if change > 0 else 'smaller'} than the consensus {over}."


def _parts(slices: tuple[SliceEvidence, ...]) -> list[str]:
    """What was done with parts when a candidate with or without one was offered, per slice."""
    sentences = []
    for kind, words in _PARTS.items():
        offered = [item for item in slices if any(s.kind == kind for p in item.picks for s in p.shown)]
        taken = [item for item in offered if any(_picked(p) == kind for p in item.picks)]
        if len(offered) >= HABIT:
            sentences.append(f"{words.capitalize()}: {len(taken)} of {len(offered)} times.")
    return sentences


def _choices(slices: tuple[SliceEvidence, ...]) -> str:
    kinds = [_picked(pick) for item in slices for pick in item.picks]
    larger, smaller = kinds.count("larger"), kinds.count("smaller")
    if larger + smaller < HABIT:
        return ""
    times = _count(larger, "time"), _count(smaller, "time")
    return f"Picked larger than recommended at the time {times[0]}, smaller {times[1]}."


def _effort(slices: tuple[SliceEvidence, ...]) -> str:
    picks = [len(item.picks) for item in slices if item.first_mm2 is not None]
    if len(picks) < HABIT:
        return ""
    text = f"{statistics.mean(picks):.1f} picks a slice"
    if len(picks) >= 2 * RECENT:
        text += f", {statistics.mean(picks[-RECENT:]):.1f} lately"
    return f"Needs {text}."


def _picked(pick: PickRecord) -> str | None:
    return None if pick.picked is None else pick.shown[pick.picked].kind


def _change(item: SliceEvidence) -> float | None:
    return _ratio(item.approved_mm2, item.consensus_mm2)


def _ratio(area: float | None, against: float | None) -> float | None:
    return area / against - 1 if area and against else None


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
