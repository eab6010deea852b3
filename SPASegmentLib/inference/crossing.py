"""A followed object looked at in the two other orientations, on slices across those it was followed through.

An outline carried from slice to slice does not see where the object ends; a slice across them shows both ends
and how the object narrows towards them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from SPASegmentLib.imaging.stack import SliceStack
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.imaging.window import NEIGHBOURS
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.inference.carrying import CARRY, EDGE, logits_of
from SPASegmentLib.inference.messages import CancelToken, Carried, Engine, ProposalRequest

Progress = Callable[[int, int], object]
"""Told how many are done, of how many."""
_FEWEST_PIXELS = 4
"""A slice across the object that shows fewer pixels of it is not asked for."""
_SEEN_CELLS = 29.0
"""Cells of a region of 64 that an object's longest side takes."""
_FEWEST_ACROSS = 2
"""Slices in each orientation."""
_SHIFTS = np.linspace(-4, 4, 33)
"""Of all logits, among which the one is chosen that suits the approved slices."""
_SHIFT_COST = 0.005
"""Dice that a shift by one has to gain there."""
_RIM = 3
"""Pixels around the object within which its outline may lie."""


@dataclass(frozen=True, eq=False)
class _Block:
    """The object's slices with what surrounds them, on the pixels of one of them.

    pixels: (S, H', W') or (S, H', W', 3) in [0, 1], half precision. inside: the part of it, (s, h, w) large,
    in which the object lies. masks: (s, h, w) bool. spacing: mm between slices, rows and columns.
    """

    pixels: np.ndarray = field(repr=False)
    inside: tuple[slice, slice, slice]
    masks: np.ndarray = field(repr=False)
    spacing: tuple[float, float, float]
    modality: str | None

    def image(self, axis: int, at: int) -> SliceImage | None:
        """The slice across an axis; None where it is flat."""
        planes = np.moveaxis(self.pixels, axis, 0)
        if planes[at].min() == planes[at].max():
            return None
        offsets = (*range(-NEIGHBOURS, 0), *range(1, NEIGHBOURS + 1))
        near = [planes[at + o].astype(np.float32) if 0 <= at + o < len(planes) else None for o in offsets]
        row, col = (step for other, step in enumerate(self.spacing) if other != axis)
        return SliceImage(planes[at].astype(np.float32), (row, col), self.modality, neighbours=tuple(near))


def crossed(
    engine: Engine,
    stack: SliceStack,
    masks: Mapping[int, np.ndarray],
    followed: Mapping[int, np.ndarray],
    *,
    random_seed: int = 0,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> dict[int, np.ndarray]:
    """The logits of an object's slices after a look at slices across them.

    masks: number of a slice -> (H, W) bool, the approved ones too. followed: number -> (H, W) logits of those
    that are not approved and may change, for which `CARRY.crossings` slices across are computed. progress:
    told how many of about how many slices across are computed.
    Returns number -> (H, W) logits of these; nothing for an object of too few slices, or of slices too far
    apart. Raises what the engine raises.
    """
    approved = sorted(masks.keys() - followed.keys())
    origin, low = approved[0], min(masks)
    image = stack.image(origin)
    assert image is not None  # a mask was approved on it
    coarse = stack.step_mm > CARRY.coarsest_crossed * min(image.spacing)
    if coarse or len(masks) < CARRY.fewest_crossed:
        return {}
    block, (rows, cols) = _cut(stack, masks, origin)
    before = {index - low: stack.moved(one, index, origin)[rows, cols] for index, one in followed.items()}
    anchors = [index - low for index in approved]
    own = _own_share(block)
    shifted = min(1.0, CARRY.shift_slices / len(masks))
    now, logits = block.masks.copy(), np.zeros(0)
    counts = [max(_FEWEST_ACROSS, round(share * len(followed) / 2)) for share in CARRY.crossings]
    done = itertools.count(1)

    def asked(image: SliceImage, outline: np.ndarray) -> np.ndarray:
        request = ProposalRequest(
            image,
            (carried_seed(outline, image.spacing),),
            seed=random_seed,
            n_samples=CARRY.samples,
            carried=Carried(outline.astype(np.float32)),
            alternatives=False,
        )
        found = logits_of(engine.propose(request, cancel).probability)
        if progress is not None:
            progress(next(done), 2 * sum(counts))
        return found

    for number, count in enumerate(counts):
        part = (number + 0.5) / len(counts)
        rowwise, colwise = (_across(asked, block, now, axis, count, part) for axis in (1, 2))
        logits = (rowwise + colwise) / 2
        logits += shifted * _shift(logits[anchors], block.masks[anchors])
        for at, one in before.items():
            logits[at] = (1 - own) * logits[at] + own * one
            now[at] = logits[at] > 0
    found = {}
    for index in followed:
        whole = np.full(masks[origin].shape, -EDGE, np.float32)
        whole[rows, cols] = logits[index - low]
        found[index] = stack.moved(whole, origin, index)
    return found


def _own_share(block: _Block) -> float:
    """How much the slices' own logits count: more where slices across show the object coarsely."""
    sizes = [float(np.count_nonzero(block.masks.any(axis=others))) for others in ((1, 2), (0, 2), (0, 1))]
    few = (CARRY.own_slices / sizes[0]) ** 2
    along, rows, cols = (size * step for size, step in zip(sizes, block.spacing, strict=True))
    cells = _SEEN_CELLS * min(rows, cols) / max(along, rows, cols)
    thin = float(np.interp(cells, CARRY.thin_cells[::-1], (CARRY.most_own, 0.0)))
    return max(min(few, CARRY.most_own), thin)


def _across(
    asked: Callable[[SliceImage, np.ndarray], np.ndarray],
    block: _Block,
    masks: np.ndarray,
    axis: int,
    count: int,
    part: float,
) -> np.ndarray:
    """(s, h, w) logits from slices across an axis, interpolated between them, and none beyond the object.

    masks: (s, h, w) bool, the object so far. count: of slices at most; part: where each lies in the share of
    the object's extent that it stands for, in 0 to 1.
    """
    planes = np.moveaxis(masks, axis, 0)
    result = np.full(planes.shape, -EDGE, np.float32)
    there = np.flatnonzero(planes.sum(axis=(1, 2)) >= _FEWEST_PIXELS)
    if not len(there):
        return np.moveaxis(result, 0, axis)
    low, high = int(there[0]), int(there[-1])
    count = min(count, -(-(high - low + 1) // len(CARRY.crossings)))
    places = low + ((np.arange(count) + part) * (high - low + 1) / count).astype(int)
    inside = tuple(one for other, one in enumerate(block.inside) if other != axis)
    before, known = low - 1, np.full(planes.shape[1:], -EDGE, np.float32)
    for at in (*np.unique(places.clip(low, high)), high + 1):
        found = np.full(planes.shape[1:], -EDGE, np.float32)
        if at <= high:
            image = block.image(axis, int(at) + block.inside[axis].start)
            if image is None or planes[at].sum() < _FEWEST_PIXELS:
                continue
            outline = np.zeros(image.shape, dtype=bool)
            outline[inside] = planes[at]
            found = asked(image, outline)[inside]
        for between in range(before + 1, min(at, high) + 1):
            share = (between - before) / (at - before)
            result[between] = (1 - share) * known + share * found
        before, known = at, found
    return np.moveaxis(result, 0, axis)


def _shift(logits: np.ndarray, masks: np.ndarray) -> float:
    """What is to be added to the logits of approved slices, (n, h, w), for masks like those approved."""
    overlap = [
        2 * float((found & masks).sum()) / float(found.sum() + masks.sum())
        for found in (logits + shift > 0 for shift in _SHIFTS)
    ]
    return float(_SHIFTS[np.argmax(np.array(overlap) - _SHIFT_COST * np.abs(_SHIFTS))])


def _cut(
    stack: SliceStack, masks: Mapping[int, np.ndarray], origin: int
) -> tuple[_Block, tuple[slice, slice]]:
    """The block of an object, and the rows and columns of the slice `origin` in which the object lies.

    Around the object lies as much as it is long, so that the network sees where it ends.
    """
    image = stack.image(origin)
    assert image is not None  # a mask lies on it
    spacing = (stack.step_mm, *image.spacing)
    low, high = min(masks), max(masks)
    moved = {index: stack.moved(mask, index, origin) for index, mask in masks.items()}
    shown = np.logical_or.reduce(list(moved.values()))
    hits = [np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0)]
    sides = ((low, high), *((int(hit[0]), int(hit[-1])) for hit in hits))
    longest = max((last - first + 1) * step for (first, last), step in zip(sides, spacing, strict=True))
    around = [int(np.ceil(longest / step)) for step in spacing]
    around[0] = min(around[0], (high - low + 2) // 2)
    tight, wide = [], []
    for (first, last), margin, size in zip(sides[1:], around[1:], shown.shape, strict=True):
        tight.append(slice(max(0, first - _RIM), min(size, last + 1 + _RIM)))
        wide.append(slice(max(0, first - margin - _RIM), min(size, last + 1 + margin + _RIM)))
    rows, cols = tight
    planes = {
        index: _pixels(stack, index, origin, (wide[0], wide[1]))
        for index in range(low - around[0], high + 1 + around[0])
    }
    there = [index for index, plane in planes.items() if plane is not None]
    empty = np.zeros_like(planes[origin])
    pixels = [
        empty if (plane := planes[index]) is None else plane for index in range(there[0], there[-1] + 1)
    ]
    inside = (
        slice(low - there[0], high - there[0] + 1),
        slice(rows.start - wide[0].start, rows.stop - wide[0].start),
        slice(cols.start - wide[1].start, cols.stop - wide[1].start),
    )
    nothing = np.zeros_like(shown)
    kept = np.stack([moved.get(index, nothing)[rows, cols] for index in range(low, high + 1)])
    return _Block(np.stack(pixels), inside, kept, spacing, image.modality), (rows, cols)


def _pixels(stack: SliceStack, index: int, origin: int, box: tuple[slice, slice]) -> np.ndarray | None:
    """(h, w) or (h, w, 3) of a slice in a box of another; None where there is nothing to see."""
    image = stack.image(index)
    if image is None:
        return None
    if image.pixels.ndim == 2:
        return stack.moved(image.pixels, index, origin)[box].astype(np.float16)
    colours = [stack.moved(image.pixels[..., n], index, origin)[box] for n in range(image.pixels.shape[2])]
    return np.stack(colours, axis=-1).astype(np.float16)
