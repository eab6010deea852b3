"""Which slices of a view are done, followed or doubtful: marks along its slider, and a strip of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from SPASegmentLib.mrml.screen import ObjectShown, SliceKind, SlicePlace
from SPASegmentLib.mrml.volumes import array_of, ijk_to_ras_of, to_world_of

PARALLEL = 0.999
"""Cosine of the angle between a view and slices from which on they are the same."""
GROUND = (35, 40, 47)
LOOKS: dict[SliceKind, tuple[tuple[int, int, int], tuple[tuple[float, float], ...]]] = {
    "carried": ((150, 158, 168), ((0.6, 1.0),)),
    "approved": ((86, 180, 233), ((0.0, 1.0),)),
    "anchor": ((86, 180, 233), ((0.0, 1.0),)),
    "doubtful": ((230, 159, 0), ((0.0, 0.35), (0.65, 1.0))),
}
"""Colour, and which parts of the height it fills: told apart by form, too. Drawn in this order."""


@dataclass(frozen=True)
class SliderMark:
    """A slice along a view. share: in [0, 1] of the way along it. offset: in mm. number: from 1."""

    share: float
    offset: float
    number: int
    kind: SliceKind
    reason: str = ""
    expected_dice: float = 1.0


def slice_range(volume_node: Any, slice_node: Any) -> tuple[float, float, float]:
    """Offsets in mm of the first and the last slice of a volume along a view, and from one to the next."""
    matrix = to_world_of(volume_node) @ ijk_to_ras_of(volume_node)
    normal = array_of(slice_node.GetSliceToRAS())[:3, 2]
    along = normal @ matrix[:3, :3]
    axis = int(np.argmax(np.abs(along)))
    first = float(normal @ matrix[:3, 3])
    last = first + float(along[axis]) * (volume_node.GetImageData().GetDimensions()[axis] - 1)
    return min(first, last), max(first, last), float(abs(along[axis]))


def slider_marks(
    shown: ObjectShown | None, approved: Sequence[SlicePlace], volume_node: Any, slice_node: Any
) -> tuple[SliderMark, ...]:
    """The slices to be marked, where the view runs along them. shown: the whole object followed last."""
    if shown is None and not approved:
        return ()
    low, high, step = slice_range(volume_node, slice_node)
    normal = array_of(slice_node.GetSliceToRAS())[:3, 2]
    if high <= low:
        return ()
    marks: list[SliderMark] = []

    def mark(ras: tuple[float, ...], kind: SliceKind, reason: str = "", dice: float = 1.0) -> None:
        offset = float(normal @ ras)
        number = round((offset - low) / step) + 1
        marks.append(SliderMark((offset - low) / (high - low), offset, number, kind, reason, dice))

    if shown is not None and abs(normal @ shown.normal) >= PARALLEL:
        for one in shown.slices:
            mark(one.ras, one.kind, one.reason, one.expected_dice)
    taken = {one.number for one in marks}
    for place in approved:
        number = round((float(normal @ place.ras) - low) / step) + 1
        if number not in taken and abs(normal @ place.normal) >= PARALLEL:
            taken.add(number)
            mark(place.ras, "approved")
    return tuple(marks)


def strip(marks: Sequence[SliderMark], count: int, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: a picture of the marks, the first slice on the left. count: of all slices."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = GROUND
    thick = int(np.clip(width / max(count, 1), 2, 6))
    for kind, (color, parts) in LOOKS.items():
        for one in (one for one in marks if one.kind == kind):
            left = round(one.share * (width - thick))
            for top, bottom in parts:
                picture[round(top * height) : round(bottom * height), left : left + thick] = color
    return picture
