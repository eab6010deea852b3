"""What a candidate would change, in words a reader of images uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from SPASegmentLib.inference.messages import Description
from SPASegmentLib.words import written

RIM_PIXELS = 2.0
"""A rim lies within this many pixels of the recommendation's boundary ..."""
RIM_RADIUS_SHARE = 0.12
"""... or, on large objects, within this share of the object's radius ..."""
RIM_SHARE = 0.8
"""... with at least this share of the changed pixels, ..."""
RIM_COVERAGE = 0.65
"""... along at least this share of the boundary."""
AROUND_EVEN = 1 / 3
"""Growth or loss lies all around where it is nowhere thinner than this share of its mean thickness."""
MOST = 0.25
"""Length of the mean direction of the thickness from which on the side where it is thickest is named."""
DOMINANT = 2.0
"""Growth (or loss) names a candidate when it is this many times the other change."""
PART_SHARE = 0.5
"""Share of the changed pixels that make up a part for the candidate to be named after it."""
LOBE_DEPTH = 1.0
"""An attached part reaches at least this many times the width of its base away from it."""
LOBE_PIXELS = 3.0
"""... and at least this many pixels."""
ONE_SIDED = 0.75
"""Length of the mean direction of the changed pixels from which on a side is named."""
MOSTLY = 0.4
"""The same for "mostly", where the change lies on more than that side."""
SLIGHT = 0.1
"""A reshaped outline differs slightly up to this share of the recommendation's area."""
SPOT_SHARE = 0.2
"""A candidate of at most this share of the recommendation's area is a spot of it."""
SMOOTHER = 0.93
"""An outline is smoother, or more irregular, from this ratio of its lengths on."""
SHIFT_GAIN = 0.5
"""A shift explains at least this share of the pixels in which the masks differ."""
ADDS_RIM, DROPS_RIM = "adds the rim", "drops the rim"
FILLS_HOLE, LEAVES_HOLE = "fills a hole", "leaves a hole"
GROWS, SHRINKS = "grows all around", "shrinks all around"
PART, SEPARATE_PART = "part", "separate part"
_EIGHT = np.ones((3, 3), dtype=bool)
_SIDES = ("right", "lower right", "bottom", "lower left", "left", "upper left", "top", "upper right")


@dataclass(frozen=True)
class _Change:
    """A candidate against the recommendation, both cut to the box around them."""

    old: np.ndarray
    new: np.ndarray
    spacing: tuple[float, float]

    @property
    def added(self) -> np.ndarray:
        return self.new & ~self.old

    @property
    def removed(self) -> np.ndarray:
        return self.old & ~self.new

    @property
    def pixel_mm2(self) -> float:
        return self.spacing[0] * self.spacing[1]


def describe(
    recommendation: np.ndarray, candidate: np.ndarray, spacing: tuple[float, float], support: float
) -> Description:
    """Describe how a candidate differs from the recommendation.

    recommendation, candidate: (H, W) bool. spacing: (row, col) mm. support: share of samples in [0, 1].
    Percentages are of the recommendation's area (100 for everything added to an empty one).
    """
    return _describe(_change(recommendation, candidate, spacing), support)[0]


def describe_all(
    recommendation: np.ndarray,
    candidates: Sequence[np.ndarray],
    supports: Sequence[float],
    spacing: tuple[float, float],
) -> tuple[Description, ...]:
    """Describe the candidates of one proposal so that no two have the same name."""
    pairs = [
        _describe(_change(recommendation, mask, spacing), support)
        for mask, support in zip(candidates, supports, strict=True)
    ]
    names = _distinct([[d.name, *more] for d, more in pairs])
    return tuple(replace(d, name=name) for (d, _), name in zip(pairs, names, strict=True))


def areas_in_words(description: Description) -> str:
    """What a candidate adds and removes: "+25 -3.4 mm2"."""
    added, removed = (written(a) if a else "0" for a in (description.added_mm2, description.removed_mm2))
    return f"+{added} -{removed} mm2"


def with_a(part: str) -> str:
    """How the name of a candidate that adds a PART or SEPARATE_PART begins."""
    return f"with a {part}"


def without_a(part: str) -> str:
    """How the name of a candidate that removes one begins."""
    return f"without a {part}"


def _change(old: np.ndarray, new: np.ndarray, spacing: tuple[float, float]) -> _Change:
    """Both masks cut to the box around them, one pixel of margin included."""
    either = old | new
    rows, cols = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    if len(rows) == 0:
        box = (slice(0, 0), slice(0, 0))
    else:
        box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    return _Change(np.pad(old[box], 1), np.pad(new[box], 1), spacing)


def _describe(change: _Change, support: float) -> tuple[Description, list[str]]:
    """The description, and longer names to use where this one is taken."""
    scale = change.pixel_mm2
    old, new, added, removed = map(_count, (change.old, change.new, change.added, change.removed))
    kind, name, side = _name(change, added, removed)
    area = f"{written(new * scale)} mm2"
    longer = [f"{name}, {side}"] if side and side not in name else []
    longer.append(f"{longer[-1] if longer else name}, {area}")
    longer.append(f"{name}, +{added * scale:.2f} -{removed * scale:.2f} mm2")
    percent = 100.0 / old if old else (100.0 / new if new else 0.0)
    description = Description(
        name=name,
        kind=kind,
        area_mm2=new * scale,
        added_mm2=added * scale,
        removed_mm2=removed * scale,
        added_percent=added * percent,
        removed_percent=removed * percent,
        support=float(support),
    )
    return description, longer


def _name(change: _Change, added: int, removed: int) -> tuple[str, str, str]:
    """Kind, name, and the side on which the change lies ("" where it lies on no side)."""
    scale = change.pixel_mm2
    old = _count(change.old)
    if old == 0:
        return "with part", f"marks an area, {written(added * scale)} mm2", ""
    if added == removed == 0:
        return "reshaped", "the same", ""
    grown, shrunk = added >= DOMINANT * removed, removed >= DOMINANT * added
    if grown:
        side = _side(change, change.added)
        part = _part(change.new, change.old, change.added)
        if part:
            return "with part", f"{with_a(part)}, +{written(added * scale)} mm2", side
        return "larger", f"larger, {_percent(added - removed, old)}{_growth(change, side)}", side
    if shrunk:
        if _count(change.new) <= SPOT_SHARE * old:
            at = _side(change, change.new, MOSTLY)
            name = f"smaller, {_percent(added - removed, old)}: keeps a small spot"
            return "smaller", f"{name} at the {at}" if at else name, at
        side = _side(change, change.removed)
        part = _part(change.old, change.new, change.removed)
        if part:
            return "without part", f"{without_a(part)}, -{written(removed * scale)} mm2", side
        return "smaller", f"smaller, {_percent(added - removed, old)}{_loss(change, side)}", side
    shift = _shift(change)
    if shift:
        mm, towards = shift
        return "shifted", f"shifted {mm:.1f} mm", towards
    return "reshaped", f"reshaped{_reshaping(change, (added + removed) / old)}", _side(change, change.added)


def _part(more: np.ndarray, less: np.ndarray, changed: np.ndarray) -> str:
    """What `more` has and `less` has not: "separate part", "part" (attached by a narrow base) or ""."""
    total = _count(changed)
    labels, count = ndimage.label(more, structure=_EIGHT)
    apart = np.ones(count + 1, dtype=bool)
    apart[np.unique(labels[less])] = False
    apart[0] = False
    if _count(apart[labels]) >= PART_SHARE * total:
        return SEPARATE_PART
    labels, count = ndimage.label(changed, structure=_EIGHT)
    if count == 0 or not less.any():
        return ""
    largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    if _count(largest) < PART_SHARE * total:
        return ""
    base = _count(largest & ndimage.binary_dilation(less))
    depth = float(ndimage.distance_transform_edt(~less)[largest].max())
    return PART if depth >= max(LOBE_PIXELS, LOBE_DEPTH * base) else ""


def _growth(change: _Change, side: str) -> str:
    """How a larger candidate grows: ": adds the rim", ": fills a hole", ": grows at the left" or ""."""
    inside = ndimage.binary_fill_holes(change.old) & change.added
    if _count(inside) >= RIM_SHARE * _count(change.added):
        return f": {FILLS_HOLE}"
    coverage = _coverage(change.added, change.old)
    if coverage >= RIM_COVERAGE and _is_thin(change.added, change.old, change.old):
        return f": {ADDS_RIM}"
    around, most = _around(change, change.added)
    if around:
        return f": {GROWS}" + (f", most at the {most}" if most else "")
    if side:
        return f": grows at the {side}"
    mostly = _side(change, change.added, MOSTLY)
    return f": grows mostly at the {mostly}" if mostly else ""


def _loss(change: _Change, side: str) -> str:
    """How a smaller candidate shrinks: ": drops the rim", ": leaves a hole", ": drops the top" or ""."""
    inside = ndimage.binary_fill_holes(change.new) & change.removed
    if _count(inside) >= RIM_SHARE * _count(change.removed):
        return f": {LEAVES_HOLE}"
    coverage = _coverage(change.removed, change.old)
    if coverage >= RIM_COVERAGE and _is_thin(change.removed, ~change.old, change.old):
        return f": {DROPS_RIM}"
    around, most = _around(change, change.removed)
    if around:
        return f": {SHRINKS}" + (f", most at the {most}" if most else "")
    if side:
        return f": drops the {side} side" if side in ("left", "right") else f": drops the {side}"
    mostly = _side(change, change.removed, MOSTLY)
    return f": shrinks mostly at the {mostly}" if mostly else ""


def _reshaping(change: _Change, share: float) -> str:
    """How an outline that neither grows nor shrinks differs: where it is wider, where narrower; or ""."""
    wider, narrower = (_side(change, part, MOSTLY) for part in (change.added, change.removed))
    if wider == narrower:
        wider = narrower = ""
    where = [f"{how} at the {side}" for how, side in (("wider", wider), ("narrower", narrower)) if side]
    if where:
        return f": {', '.join(where)}"
    ratio = _outline(change.new) / max(1, _outline(change.old))
    if ratio <= SMOOTHER:
        return ": smoother outline"
    if ratio >= 1 / SMOOTHER:
        return ": more irregular outline"
    return ": slightly" if share <= SLIGHT else ""


def _outline(mask: np.ndarray) -> int:
    """Length of its outline in pixel edges."""
    padded = np.pad(mask, 1)
    return _count(padded[1:] != padded[:-1]) + _count(padded[:, 1:] != padded[:, :-1])


def _around(change: _Change, changed: np.ndarray) -> tuple[bool, str]:
    """Whether the changed pixels lie all around the recommendation, and the side where they are thickest.

    Thickness is measured by angle: changed pixels over pixels of the boundary, on each of the eight sides.
    """
    boundary = change.old & ~ndimage.binary_erosion(change.old)
    at_boundary, at_change = (
        np.bincount(_sides(change, part), minlength=len(_SIDES)) for part in (boundary, changed)
    )
    sides = np.flatnonzero(at_boundary + at_change)
    thick = at_change[sides] / np.maximum(1, at_boundary[sides])
    around = bool((thick >= AROUND_EVEN * thick.mean()).all())
    angle = sides * 2 * np.pi / len(_SIDES)
    mean = np.array([np.sin(angle) @ thick, np.cos(angle) @ thick]) / max(thick.sum(), 1e-9)
    return around, _compass(mean) if float(np.linalg.norm(mean)) >= MOST else ""


def _sides(change: _Change, mask: np.ndarray) -> np.ndarray:
    """(n,) index into `_SIDES` of each pixel, seen from the recommendation's centre."""
    away = np.argwhere(mask) * np.asarray(change.spacing) - _centroid(change.old, change.spacing)
    angle = np.arctan2(away[:, 0], away[:, 1])
    return np.round(angle / (np.pi / 4)).astype(int) % len(_SIDES)


def _coverage(changed: np.ndarray, old: np.ndarray) -> float:
    """Share of the recommendation's boundary that the changed pixels follow."""
    boundary = old & ~ndimage.binary_erosion(old)
    near = boundary & ndimage.binary_dilation(changed, structure=_EIGHT)
    return _count(near) / max(1, _count(boundary))


def _is_thin(changed: np.ndarray, beyond: np.ndarray, old: np.ndarray) -> bool:
    """Whether the changed pixels lie close to the boundary; `beyond` is the region on its other side."""
    width = max(RIM_PIXELS, RIM_RADIUS_SHARE * float(np.sqrt(_count(old) / np.pi)))
    distance = ndimage.distance_transform_edt(~beyond)
    return _count(distance[changed] <= width) >= RIM_SHARE * _count(changed)


def _side(change: _Change, changed: np.ndarray, least: float = ONE_SIDED) -> str:
    """The side of the picture, seen from the recommendation's centre, where the changed pixels lie, or "".

    least: length of their mean direction.
    """
    centre = _centroid(change.old, change.spacing)
    away = np.argwhere(changed) * np.asarray(change.spacing) - centre
    length = np.linalg.norm(away, axis=1)
    away = away[length > 0] / length[length > 0, None]
    if len(away) == 0:
        return ""
    mean = away.mean(axis=0)
    return _compass(mean) if float(np.linalg.norm(mean)) >= least else ""


def _compass(direction: np.ndarray) -> str:
    """The nearest of eight sides for a (row, col) direction."""
    angle = np.arctan2(direction[0], direction[1])
    return _SIDES[round(float(angle) / (np.pi / 4)) % 8]


def _shift(change: _Change) -> tuple[float, str] | None:
    """Distance in mm and direction if moving the recommendation explains most of the change."""
    move_mm = _centroid(change.new, change.spacing) - _centroid(change.old, change.spacing)
    move = [round(float(m / s)) for m, s in zip(move_mm, change.spacing, strict=True)]
    if move == [0, 0]:
        return None
    moved = np.roll(np.pad(change.old, np.abs(move).max()), move, axis=(0, 1))
    new = np.pad(change.new, np.abs(move).max())
    before = _count(change.old != change.new)
    if _count(moved != new) > (1 - SHIFT_GAIN) * before:
        return None
    return float(np.linalg.norm(move_mm)), f"towards the {_compass(move_mm)}"


def _count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))


def _centroid(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """(row, col) in mm."""
    return np.argwhere(mask).mean(axis=0) * np.asarray(spacing)


def _percent(change: float, whole: float) -> str:
    """A signed percentage: +12%, -0.6%."""
    value = 100.0 * change / whole
    return f"{value:+.0f}%" if abs(value) >= 0.95 else f"{value:+.1f}%"


def _distinct(choices: Sequence[Sequence[str]]) -> list[str]:
    """One name per candidate, all different: the shortest of its choices that no other has, else numbered."""
    level = [0] * len(choices)
    while True:
        names = [choice[at] for choice, at in zip(choices, level, strict=True)]
        count = Counter(names)
        longer = [i for i, n in enumerate(names) if count[n] > 1 and level[i] + 1 < len(choices[i])]
        if not longer:
            break
        for i in longer:
            level[i] += 1
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if count[name] > 1:
            names[i] = f"{name} ({seen[name]})"
    return names
