"""DICOM frames put in order: which of them form one volume, and the voxel grid that volume lies on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted, choose_time
from SPASegmentLib.imaging.dicom_headers import NM_VECTORS, Frame
from SPASegmentLib.imaging.types import UNSIZED

UNEVEN = 0.05
"""Slice gaps may differ from the usual one by this share before slices count as missing."""
TILT = 1e-3
"""Largest sideways shift of one slice to the next, as a share of the gap, that counts as no gantry tilt."""
SAME_DIRECTION = 5e-3
"""Direction cosines of one volume's slices may differ by this much: scanners compute and round them anew."""
SAME_SPACING = 1e-3
_SAME_PLACE = 1e-3  # mm
NO_SIZE = f"The file states no pixel size: pixels {UNSIZED}"
NO_POSITION = "The series states no position in the patient: slices are in the order of their number."


@dataclass(frozen=True, eq=False)
class FrameGrid:
    """Frames in the order of their slices. matrix: (4, 4) voxel -> RAS.

    shifts: (K, 3) mm along column, row and normal from each frame to its place on the grid, None where all
    lie there; the frames are to be resampled by it then. resampled: why, in words.
    """

    frames: list[Frame]
    matrix: np.ndarray
    warnings: tuple[str, ...]
    shifts: np.ndarray | None = None
    resampled: str = ""


def volumes_of(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames apart by series, size, stack and direction, directions compared with a tolerance; largest first.

    Those without a position are apart from those with one, which keep theirs.

    Each instance counts once, however many copies of its file there are.
    """
    apart: dict[tuple[Any, ...], list[list[Frame]]] = {}
    seen = set()
    for frame in frames:
        place = None if frame.position is None else tuple(frame.position)
        if (frame.series, frame.instance, frame.index, place) in seen:
            continue
        seen.add((frame.series, frame.instance, frame.index, place))
        kind = (frame.series, frame.size, frame.components, frame.stack, frame.position is None)
        clusters = apart.setdefault(kind, [])
        fitting = next((one for one in clusters if _same_direction(one[0], frame)), None)
        if fitting is None:
            clusters.append([frame])
        else:
            fitting.append(frame)
    volumes = [cluster for clusters in apart.values() for cluster in clusters]
    return sorted(volumes, key=lambda v: (-len(v) * v[0].size[0] * v[0].size[1], v[0].series, v[0].stack))


def _same_direction(one: Frame, other: Frame) -> bool:
    if one.axes is None or other.axes is None:
        return one.axes is other.axes
    return bool(np.abs(one.axes - other.axes).max() <= SAME_DIRECTION)


def grid_of(where: Path, frames: list[Frame], wanted: Wanted) -> FrameGrid:
    """The grid of frames of one volume, those of the wanted time only.

    Raises InputError where frames are missing, doubled, tilted, of changing pixel size, or need a choice.
    """
    warnings = [] if frames[0].spacing is not None else [NO_SIZE]
    rows, cols = _one_spacing(where, frames)
    if any(one.position is None or one.axes is None for one in frames):
        return _unplaced(where, frames, wanted, (rows, cols), warnings)
    axes = np.median([one.axes for one in frames if one.axes is not None], axis=0)
    normal = np.cross(axes[0], axes[1])
    normal = normal / (np.linalg.norm(normal) or 1.0)
    frames = _one_time(where, frames, normal, wanted)
    frames = sorted(frames, key=lambda one: (float(np.asarray(one.position) @ normal), one.path.name))
    points = np.array([one.position for one in frames])
    columns = (axes[0], axes[1], normal)
    step, shifts, why = _steps(where, points, columns, frames[0].step, wanted.resample)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = axes[0] * cols, axes[1] * rows, step
    matrix[:3, 3] = points[0]
    if len(frames) == 1 and frames[0].step is None:
        warnings.append("The file states no slice thickness: the slice is taken as 1 mm thick.")
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    return FrameGrid(frames, to_ras @ matrix, tuple(warnings), shifts, why)


def _one_spacing(where: Path, frames: list[Frame]) -> tuple[float, float]:
    """(row, column) mm of all frames, 1 mm where none states it."""
    stated = np.array([one.spacing for one in frames if one.spacing is not None])
    if not len(stated):
        return 1.0, 1.0
    if len(stated) < len(frames) or (np.ptp(stated, axis=0) > SAME_SPACING * stated.min(axis=0)).any():
        words = " and ".join(f"{row:g} x {col:g}" for row, col in (stated.min(axis=0), stated.max(axis=0)))
        raise InputError(
            f"The pixel size changes within the series in {where} ({words} mm); "
            "export the images of each size as a series of their own."
        )
    return float(stated[0][0]), float(stated[0][1])


def _unplaced(
    where: Path, frames: list[Frame], wanted: Wanted, spacing: tuple[float, float], warnings: list[str]
) -> FrameGrid:
    """Frames without a position: in the order of their number, or one of them where they are times."""
    if len(frames) > 1 and all("frame" in one.times for one in frames):
        frames = [frames[choose_time(where, [f"frame {one.number + 1}" for one in frames], wanted)]]
    kinds = [name for name in NM_VECTORS if len({one.times.get(name) for one in frames}) > 1]
    if kinds:
        labels = sorted({tuple(one.times[name] for name in kinds) for one in frames})
        chosen = labels[choose_time(where, [_words(kinds, label) for label in labels], wanted)]
        frames = [one for one in frames if tuple(one.times[name] for name in kinds) == chosen]
    ordered = sorted(frames, key=lambda one: (one.number, one.path.name, one.index))
    rows, cols = spacing
    matrix = np.diag([-cols, -rows, ordered[0].step or 1.0, 1.0])
    return FrameGrid(ordered, matrix, (*warnings, NO_POSITION))


def _one_time(where: Path, frames: list[Frame], normal: np.ndarray, wanted: Wanted) -> list[Frame]:
    """The frames of one phase or time point: one at each place."""
    along = np.array([float(np.asarray(one.position) @ normal) for one in frames])
    order = np.argsort(along, kind="stable")
    places: list[list[Frame]] = []
    last = -np.inf
    for index in order:
        if along[index] - last >= _SAME_PLACE:
            places.append([])
            last = along[index]
        places[-1].append(frames[index])
    counts = {len(place) for place in places}
    if counts == {1}:
        if wanted.time not in (None, 1):
            raise InputError(f"{where} has a single time point; leave --time out.")
        return frames
    if len(counts) > 1:
        several = next(place for place in places if len(place) == max(counts))
        names = " and ".join(_name(one) for one in several[:2])
        raise InputError(
            f"The series in {where} has several images at one position (phases or time points), and not the "
            f"same number at each, such as {names}; give a folder with one of them."
        )
    labels, ordered = _times_apart(places)
    chosen = choose_time(where, labels, wanted)
    return [place[chosen] for place in ordered]


def _name(frame: Frame) -> str:
    return f"{frame.path.name}, frame {frame.index + 1}" if frame.is_multi_frame else frame.path.name


def _times_apart(places: list[list[Frame]]) -> tuple[list[str], list[list[Frame]]]:
    """What the times are called, and the frames of each place in their order."""
    names = [name for one in places[0] for name in one.times]
    kinds = []
    for name in dict.fromkeys(names):
        values = [sorted({str(one.times.get(name)) for one in place}) for place in places]
        if len(values[0]) > 1 and all(value == values[0] for value in values):
            kinds.append(name)
    for used in [[kind] for kind in kinds] + [kinds]:
        sets = [sorted(place, key=lambda one: _key(one, used)) for place in places]
        found = [[_key(one, used) for one in place] for place in sets]
        if used and len(set(found[0])) == len(found[0]) and all(one == found[0] for one in found):
            labels = [_words(used, [one.times.get(name) for name in used]) for one in sets[0]]
            return labels, sets
    sets = [sorted(place, key=_in_time) for place in places]
    return [f"image {number}" for number in range(1, len(places[0]) + 1)], sets


def _in_time(frame: Frame) -> tuple[str, int, str]:
    """Where nothing else is stated: by number, or from file to file where each holds many frames."""
    return (frame.path.name if frame.is_multi_frame else "", frame.number, frame.path.name)


def _key(frame: Frame, kinds: Sequence[str]) -> tuple[tuple[bool, float, str], ...]:
    values = [frame.times.get(kind) for kind in kinds]
    return tuple(
        (not isinstance(value, float), value if isinstance(value, float) else 0.0, str(value))
        for value in values
    )


def _words(kinds: Sequence[str], values: Sequence[Any]) -> str:
    """ "echo time 4.6, trigger time 120" of keywords and values."""
    said = []
    for kind, value in zip(kinds, values, strict=True):
        spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in kind).strip()
        said.append(f"{spaced} {value:g}" if isinstance(value, float) else f"{spaced} {value}")
    return ", ".join(said)


def _steps(
    where: Path,
    points: np.ndarray,
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    thickness: float | None,
    resample: bool,
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """From slice to slice in mm (LPS); where slices lie on no such grid, the place of each, and why.

    points: (K, 3) positions in order. Raises InputError where they do not and nobody asked for resampling.
    """
    normal = columns[2]
    if len(points) == 1:
        return normal * (thickness or 1.0), None, ""
    step = (points[-1] - points[0]) / (len(points) - 1)
    usual = float(step @ normal)
    rounding = _rounding(points, normal, usual)
    gaps = np.diff(points @ normal)
    sideways = step - (step @ normal) * normal
    expected = points[0] + np.arange(len(points))[:, None] * step
    off = points - expected
    off = np.linalg.norm(off - np.outer(off @ normal, normal), axis=1).max()
    tilt = np.linalg.norm(sideways) > TILT * np.linalg.norm(step) + rounding / (len(points) - 1)
    median = float(np.median(gaps))
    uneven = np.abs(gaps - median).max() > UNEVEN * median + rounding
    jumps = off > UNEVEN * usual + rounding
    if not (tilt or uneven or jumps):
        return step, None, ""
    if uneven:
        why = f"has slices {gaps.min():.2f} to {gaps.max():.2f} mm apart"
        said, advice = f"{why}, so some are missing", "export it completely"
    elif tilt:
        angle = np.degrees(np.arctan2(np.linalg.norm(sideways), usual))
        why = f"was taken with a tilted gantry ({angle:.1f} degrees)"
        said, advice = f"{why}, so its voxels are sheared", "export it without tilt"
    else:
        why = f"has slices shifted sideways by up to {off:.2f} mm"
        said, advice = why, "export it again"
    if not resample:
        raise InputError(
            f"The series in {where} {said}; {advice}, or have it resampled to a "
            "rectangular grid (--resample)."
        )
    even = normal * median
    from_first = points - points[0]
    shifts = np.stack([from_first @ axis for axis in columns], axis=1)
    return even, shifts, why


def _rounding(points: np.ndarray, normal: np.ndarray, usual: float) -> float:
    """Largest error in mm of a gap between positions that were rounded to one to three decimals, else 0."""
    for decimals in (1, 2, 3):
        unit = 10.0**-decimals
        if np.abs(points / unit - np.round(points / unit)).max() < 1e-4:
            return min(unit * float(np.abs(normal).sum()) + 1e-6, 0.45 * abs(usual))
    return 0.0
