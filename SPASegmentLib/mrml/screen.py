"""What a face (the panel, the browser viewer) draws: one frozen value, a new one after every change.

Standard library only, so that a face can show it before anything else is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["hint", "busy", "done", "problem"]

CANDIDATES = 4
"""Small views and cards at most."""


@dataclass(frozen=True)
class Card:
    """The recommendation or one candidate, in words, numbers and a picture.

    number: 0 for the recommendation, 1-4 for candidates. name: "larger, +12%". meaning: "adds the rim", ""
    where the name says it all. Areas in mm2; added and removed against the recommendation.
    support: share in [0, 1] of the samples behind it. thumbnail: PNG, b"" where there is none.
    """

    number: int
    name: str
    meaning: str
    area_mm2: float
    added_mm2: float
    removed_mm2: float
    support: float
    thumbnail: bytes = b""


SliceKind = Literal["anchor", "carried", "doubtful", "approved"]


@dataclass(frozen=True)
class SliceMark:
    """A slice of a whole object.

    number: along the view, 0 is where the object was followed from. ras: world R, A, S of its middle in mm.
    kind: approved by the user (anchor), carried from there, or carried and doubtful. reason: of the doubt.
    """

    number: int
    ras: tuple[float, float, float]
    kind: SliceKind
    reason: str
    expected_dice: float


@dataclass(frozen=True)
class SlicePlace:
    """Where a slice lies: its middle in world R, A, S (mm) and its normal, a unit vector."""

    ras: tuple[float, float, float]
    normal: tuple[float, float, float]


@dataclass(frozen=True)
class ObjectShown:
    """The whole object followed last. normal: of its slices, a unit vector in world R, A, S."""

    volume_ml: float
    normal: tuple[float, float, float]
    slices: tuple[SliceMark, ...]

    @property
    def doubtful(self) -> tuple[SliceMark, ...]:
        """The slices worth a look, the most doubtful first."""
        found = (one for one in self.slices if one.kind == "doubtful")
        return tuple(sorted(found, key=lambda one: (one.expected_dice, one.number)))


@dataclass(frozen=True)
class Screen:
    """Everything a face shows.

    status: one sentence: what to do next, or what went wrong and what to do. detail: "proposal 2 · 0.2 s ·
    profile "Dr. A" (23 images)". progress: in [0, 1], or None where it is not known. seconds: of the last
    proposal. enabled: names of actions (`keys.KEYS`) that make sense now. warnings: sentences about image,
    profile or device. segment: name of the segment that is edited. profiles: those of this model that can be
    chosen. notes: what was last asked about profiles (summary, comparison), a sentence each.
    object_at: world R, A, S of the recommendation's middle and its extent, in mm, or what holds all masks
    where one reaches far beyond it; None without any.
    seeds: points of the slice that is worked on: world R, A, S in mm, and whether positive.
    doubtful: whether the recommendation is to be looked at twice; a face does not invite to approve it then.
    object: the whole object followed last, as far as it was not taken back. approved: slices of the volume
    that were approved one by one.
    """

    status: str = "Choose a volume to begin."
    tone: Tone = "hint"
    detail: str = ""
    busy: bool = False
    progress: float | None = None
    recommendation: Card | None = None
    cards: tuple[Card, ...] = ()
    iteration: int = 0
    seconds: float | None = None
    enabled: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    profile: str | None = None
    profile_images: int = 0
    learn: bool = True
    model: str = ""
    device: str = ""
    segment: str | None = None
    profiles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seeds: tuple[tuple[float, float, float, bool], ...] = ()
    object_at: tuple[float, float, float, float] | None = None
    doubtful: bool = False
    object: ObjectShown | None = None
    approved: tuple[SlicePlace, ...] = ()
