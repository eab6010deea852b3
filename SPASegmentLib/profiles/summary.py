"""A profile in plain language, computed from its evidence and from nothing else."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from SPASegmentLib.inference import describe
from SPASegmentLib.profiles.evidence import log_gain
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.records import AnswerRecord, Shown, SliceEvidence
from SPASegmentLib.words import count_of, written

AS_LARGE = 0.02
"""Masks within this share of the consensus count as being as large."""
HABIT = 3
"""An offer must have been made this often to be worth a sentence of its own."""
FOR_SURE = 5
"""... and this often to explain the size of the masks."""
RECENT = 5
DRIFT_NATS = 3.0
"""The recent picks are this much (nats; a factor of 20) less likely with the profile than without it."""


@dataclass(frozen=True)
class _Habit:
    """Something users do or do not. words: of candidates that do it; opposite: of those that undo it.

    size: +1 where it makes masks larger and so explains their size, -1 smaller, else 0.
    """

    does: str
    words: str
    opposite: str
    size: int = 0


_HABITS = tuple(
    habit
    for does, undoes, more, less, size in (
        ("Includes the rim", "Leaves out the rim", describe.ADDS_RIM, describe.DROPS_RIM, 1),
        ("Reaches further all around", "Stays further inside", describe.GROWS, describe.SHRINKS, 1),
        (
            "Includes attached parts",
            "Leaves out attached parts",
            describe.with_a(describe.PART),
            describe.without_a(describe.PART),
            0,
        ),
        (
            "Includes separate parts",
            "Leaves out separate parts",
            describe.with_a(describe.SEPARATE_PART),
            describe.without_a(describe.SEPARATE_PART),
            0,
        ),
        ("Fills holes", "Leaves holes open", describe.FILLS_HOLE, describe.LEAVES_HOLE, 0),
    )
    for habit in (_Habit(does, more, less, size), _Habit(undoes, less, more, -size))
)


@dataclass(frozen=True)
class _Count:
    """On how many slices something was offered, and on how many of these it was done."""

    done: int
    offered: int

    @property
    def is_a_habit(self) -> bool:
        return self.offered >= FOR_SURE and 2 * self.done > self.offered

    @property
    def words(self) -> str:
        return f"{self.done} of {self.offered} times"


def summarise(profile: Profile) -> tuple[str, ...]:
    """Sentences on what the profile has learnt, the most telling first."""
    if not profile.slices:
        return ("Nothing learnt yet.",)
    sentences = [*_size_and_habits(profile.slices), _choices(profile.slices)]
    sentences += [_effort(profile.slices), _usual_area(profile), drift(profile)]
    return tuple(sentence for sentence in sentences if sentence)


def tendency(slices: Iterable[SliceEvidence]) -> tuple[float | None, int]:
    """Median change of area against the consensus as a share (0.14: 14% larger), and over how many slices."""
    changes = [c for c in map(area_change, slices) if c is not None]
    if not changes:
        return None, 0
    return math.expm1(statistics.median(map(math.log1p, changes))), len(changes)


def drift(profile: Profile, recent: int = RECENT) -> str:
    """A warning where the most recent slices contradict the profile, else "".

    Compares how likely what the last slices ended in is under what was learnt before them with how likely it
    is without any profile.
    """
    slices = [item for item in profile.slices if len(item.rows(profile.model.components))]
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
        return f"Learnt from {count_of(images, 'image')}; areas are not known."
    images = len({item.image for item in slices if area_change(item) is not None})
    over = f"over {count_of(images, 'image')}"
    if abs(change) < AS_LARGE:
        return f"Masks about as large as the consensus {over}."
    return f"Masks {abs(change):.0%} {'larger' if change > 0 else 'smaller'} than the consensus {over}."


def _size_and_habits(slices: tuple[SliceEvidence, ...]) -> list[str]:
    """How large the masks are, with the habit behind it; then what else was done, the most usual first."""
    counts = {habit: _times(slices, habit) for habit in _HABITS}
    counts = {habit: n for habit, n in counts.items() if n.offered >= HABIT and n.done}
    ranked = sorted(counts, key=lambda habit: -counts[habit].done / counts[habit].offered)
    size, change = _size(slices), tendency(slices)[0]
    for habit in ranked:
        explains = change is not None and abs(change) >= AS_LARGE and change * habit.size > 0
        if explains and counts[habit].is_a_habit:
            size = f"{habit.does} ({counts[habit].words}): {size[0].lower()}{size[1:]}"
            ranked.remove(habit)
            break
    return [size, *(f"{habit.does}: {counts[habit].words}." for habit in ranked)]


def _times(slices: tuple[SliceEvidence, ...], habit: _Habit) -> _Count:
    """Counts slices, only those of which all that was shown is known: also what was turned down at the end.

    A slice on which both the one and its opposite were picked speaks for neither.
    """
    known = [item for item in slices if item.outcome == "taken" or item.beside is not None]
    offered = [item for item in known if any(habit.words in shown.words for shown in _all_shown(item))]
    done = 0
    for item in offered:
        picked = [pick.shown[pick.picked].words for pick in item.picks if pick.picked is not None]
        undone = any(habit.opposite in words for words in picked)
        done += any(habit.words in words for words in picked) and not undone
    return _Count(done, len(offered))


def _all_shown(item: SliceEvidence) -> Iterator[Shown]:
    for pick in item.picks:
        yield from pick.shown
    yield from item.beside or ()


def _choices(slices: tuple[SliceEvidence, ...]) -> str:
    kinds = [_picked(pick) for item in slices for pick in item.picks]
    larger, smaller = kinds.count("larger"), kinds.count("smaller")
    if larger + smaller < HABIT:
        return ""
    times = count_of(larger, "time"), count_of(smaller, "time")
    return f"Picked larger than recommended at the time {times[0]}, smaller {times[1]}."


def _effort(slices: tuple[SliceEvidence, ...]) -> str:
    picks = [len(item.picks) for item in slices if item.first_mm2 is not None]
    if len(picks) < HABIT:
        return ""
    text = f"{statistics.mean(picks):.1f} picks a slice"
    if len(picks) >= 2 * RECENT:
        text += f", {statistics.mean(picks[-RECENT:]):.1f} lately"
    return f"Needs {text}."


def _usual_area(profile: Profile) -> str:
    """What it takes a click to mean where that may be objects of different sizes."""
    areas = [item.approved_mm2 for item in profile.slices if item.approved_mm2]
    usual = profile.usual_area()
    if usual is None or len(areas) < HABIT:
        return ""
    low, middle, high = (math.exp(usual.log_mm2 + side * usual.deviation) for side in (-1, 0, 1))
    return f"Expects objects of about {written(middle)} mm², {written(low)} to {written(high)} as a rule."


def _picked(pick: AnswerRecord) -> str | None:
    return None if pick.picked is None else pick.shown[pick.picked].kind


def area_change(item: SliceEvidence) -> float | None:
    """The approved area over the consensus, as a share, or None where not known."""
    return area_ratio(item.approved_mm2, item.consensus_mm2)


def area_ratio(area: float | None, against: float | None) -> float | None:
    """How much larger an area is than another, as a share, or None where not known."""
    return area / against - 1 if area and against else None
