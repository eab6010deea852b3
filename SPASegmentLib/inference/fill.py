"""The whole object: from the slices a user approved outward, and between them, until it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import numpy as np

from SPASegmentLib.errors import InputError, StepError
from SPASegmentLib.imaging.stack import SliceStack
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.candidates import clean_mask
from SPASegmentLib.inference.carrying import CARRY, Appearance, CarriedSlice, carry, following, touching
from SPASegmentLib.inference.crossing import Progress, crossed
from SPASegmentLib.inference.messages import CancelToken, Carried, Engine

THIN, DIFFERS, MAY_END, UNSURE = (
    "thin",
    "differs from its neighbour",
    "object may end here",
    "outline is unsure",
)
"""Why a slice is doubtful."""


@dataclass(frozen=True, eq=False)
class ObjectSlice:
    """One slice of an object.

    index: its number in the stack. mask: (H, W) bool. expected_dice: with what the user wants, 1 where they
    approved it. presence: probability that the object is there. reason: why it is doubtful, or "".
    anchor: whether the user approved it.
    """

    index: int
    mask: np.ndarray
    expected_dice: float
    presence: float
    reason: str = ""
    anchor: bool = False
    area_mm2: float = 0.0


@dataclass(frozen=True, eq=False)
class WholeObject:
    """An object's slices in order, and the distance between them in mm."""

    slices: tuple[ObjectSlice, ...]
    step_mm: float

    @property
    def volume_ml(self) -> float:
        """Its volume: areas times the distance between slices."""
        return sum(one.area_mm2 for one in self.slices) * self.step_mm / 1000

    @property
    def masks(self) -> dict[int, np.ndarray]:
        """Number of a slice -> its mask."""
        return {one.index: one.mask for one in self.slices}

    @property
    def doubtful(self) -> tuple[ObjectSlice, ...]:
        """The slices worth a look, the most doubtful first; none that was approved."""
        found = [one for one in self.slices if one.reason and not one.anchor]
        return tuple(sorted(found, key=lambda one: (one.expected_dice, one.index)))


@dataclass(frozen=True, eq=False)
class FillState:
    """An object that was followed, with what is needed to go on from it.

    lowest, highest: numbers of the slices it may not go beyond, None where nothing was said. log_prior and
    random_seed: as of `ObjectFill`.
    """

    object: WholeObject
    lowest: int | None = None
    highest: int | None = None
    log_prior: np.ndarray | None = None
    random_seed: int = 0


@dataclass(frozen=True, eq=False)
class _Anchor:
    """A slice as the user approved it, and what it looks like there."""

    mask: np.ndarray
    image: SliceImage = field(repr=False)


_Span = tuple[_Anchor | None, _Anchor | None, int | None]
"""What lies between two anchors, or beyond the lowest or the highest up to a limit."""
_Seen = tuple[ObjectSlice, np.ndarray]
"""A slice and the (H, W) logits it was cut from."""


class ObjectFill:
    """Follows an object through the slices of a volume from those the user approved.

    From the lowest and the highest anchor it goes on until the object is absent on `CARRY.absent_slices` in
    a row; between two anchors both sides are carried. What was found is then looked at across the slices
    (`crossing.crossed`). A further anchor has only what lies between it and its
    neighbours computed anew. Time and memory grow with the object's slices, not with the volume's.
    """

    def __init__(
        self,
        engine: Engine,
        stack: SliceStack,
        *,
        log_prior: np.ndarray | None = None,
        random_seed: int = 0,
    ) -> None:
        """log_prior: (M,) a profile's evidence. random_seed: of everything random, the same on all slices."""
        self._engine, self._stack = engine, stack
        self._log_prior, self._random_seed = log_prior, random_seed
        self._anchors: dict[int, _Anchor] = {}
        self._lowest: int | None = None
        self._highest: int | None = None
        self._spans: dict[_Span, tuple[ObjectSlice, ...]] = {}
        self._logits: dict[
            _Span, dict[int, np.ndarray]
        ] = {}  # of spans that are still to be looked at across

    @classmethod
    def resumed(cls, engine: Engine, stack: SliceStack, state: FillState) -> ObjectFill:
        """One that goes on from a state; nothing of it is computed again. Raises as `approve`."""
        fill = cls(engine, stack, log_prior=state.log_prior, random_seed=state.random_seed)
        slices = state.object.slices
        for one in slices:
            if one.anchor:
                fill.approve(one.index, one.mask)
        fill._lowest, fill._highest = state.lowest, state.highest
        number = {anchor: index for index, anchor in fill._anchors.items()}
        for span in fill._wanted():
            low, high, _ = span
            fill._spans[span] = tuple(
                one
                for one in slices
                if not one.anchor
                and (low is None or one.index > number[low])
                and (high is None or one.index < number[high])
            )
        return fill

    @property
    def state(self) -> FillState:
        """What another one can go on from. Raises StepError before all is computed."""
        if self._logits or any(span not in self._spans for span in self._wanted()):
            raise StepError("The object is still being followed.")
        return FillState(self.object, self._lowest, self._highest, self._log_prior, self._random_seed)

    @property
    def anchors(self) -> Mapping[int, np.ndarray]:
        """Number of a slice -> the mask approved there."""
        return {index: anchor.mask for index, anchor in sorted(self._anchors.items())}

    def approve(self, index: int, mask: np.ndarray) -> None:
        """Make a slice an anchor, or an anchor another one. mask: (H, W) bool, not empty.

        Raises InputError for a mask that is empty or no mask of that slice.
        """
        image = self._stack.image(index)
        mask = np.array(mask, dtype=bool)
        if image is None or mask.shape != image.shape:
            raise InputError("The approved mask is of no slice of this volume; approve a slice of it.")
        if not mask.any():
            raise InputError('An approved slice must show the object; say where it ends with "ends here".')
        self._anchors[index] = _Anchor(mask, image)

    def end(self, index: int) -> None:
        """Say that the object's last slice on this side is `index`. Raises StepError without an anchor."""
        if not self._anchors:
            raise StepError("No slice of the object is approved yet; approve one first.")
        middle = sum(self._anchors) / len(self._anchors)
        if index >= middle:
            self._highest = max(index, *self._anchors)
        if index <= middle:
            self._lowest = min(index, *self._anchors)

    def run(self, cancel: CancelToken | None = None, across: Progress | None = None) -> Iterator[ObjectSlice]:
        """Compute what is missing, slice by slice; each comes as soon as it is there.

        At the end all of them may change once more, when they are looked at across the slices; `across` is
        told how many of about how many of those looks are done.

        Raises StepError without an anchor, and what the engine raises; what was computed before is kept.
        """
        if not self._anchors:
            raise StepError("No slice of the object is approved yet; approve one first.")
        wanted = self._wanted()
        self._spans = {span: held for span, held in self._spans.items() if span in wanted}
        self._logits = {span: held for span, held in self._logits.items() if span in wanted}
        for span, follow in wanted.items():
            if span in self._spans:
                continue
            found: list[ObjectSlice] = []
            logits: dict[int, np.ndarray] = {}
            for one, seen in follow(cancel):
                found.append(one)
                logits[one.index] = _agreeing(seen, one.mask)
                yield one
            self._spans[span], self._logits[span] = tuple(found), logits
        self._look_across(cancel, across)

    def complete(self, cancel: CancelToken | None = None) -> WholeObject:
        """Compute what is missing; the object. Raises as `run`."""
        for _ in self.run(cancel):
            pass
        return self.object

    def _look_across(self, cancel: CancelToken | None, across: Progress | None) -> None:
        """Mend what was followed and not yet looked at across the slices."""
        fresh = {index: logits for held in self._logits.values() for index, logits in held.items()}
        if fresh:
            masks = {one.index: one.mask for held in self._spans.values() for one in held}
            masks |= self.anchors
            better = crossed(
                self._engine,
                self._stack,
                masks,
                fresh,
                random_seed=self._random_seed,
                cancel=cancel,
                progress=across,
            )
            if better:
                self._spans |= {span: tuple(self._mended(span, better)) for span in self._logits}
        self._logits = {}

    def _mended(self, span: _Span, better: Mapping[int, np.ndarray]) -> Iterator[ObjectSlice]:
        """A span's slices cut from better logits; where they end the object, it ends.

        Between anchors, and up to an end that the user named, it is on every slice.
        """
        low, high, last = span
        number = {anchor: index for index, anchor in self._anchors.items()}
        start = low or high
        assert start is not None
        outline, at, missing = start.mask, number[start], 0
        known = last is not None or (low is not None and high is not None)
        for one in self._spans[span]:
            mask = following(clean_mask(better[one.index] > 0), one.mask)
            if known:
                mask = mask if mask.any() else one.mask
            elif mask.any():
                mask = touching(mask, self._stack.moved(outline, at, one.index))
            if mask.any():
                outline, at, missing = mask, one.index, 0
                yield replace(one, mask=mask, area_mm2=one.area_mm2 * float(mask.sum() / one.mask.sum()))
                continue
            missing += 1
            if missing == CARRY.absent_slices:
                return

    @property
    def object(self) -> WholeObject:
        """As far as it is computed."""
        slices = [one for held in self._spans.values() for one in held]
        for index, anchor in self._anchors.items():
            area = _area(anchor.mask, anchor.image)
            slices.append(ObjectSlice(index, anchor.mask, 1.0, 1.0, anchor=True, area_mm2=area))
        slices.sort(key=lambda one: one.index)
        return WholeObject(tuple(self._judged(slices)), self._stack.step_mm)

    def carried(self, index: int) -> Carried:
        """The outline an interaction on a slice begins from: its own, or the nearest slice's that has one.

        Raises StepError without an anchor.
        """
        masks = self.object.masks
        if not masks:
            raise StepError("No slice of the object is approved yet; approve one first.")
        nearest = min(masks, key=lambda at: (abs(at - index), at))
        outline = self._stack.moved(masks[nearest], nearest, index)
        return Carried(outline.astype(np.float32))

    def _wanted(self) -> dict[_Span, Callable[[CancelToken | None], Iterator[_Seen]]]:
        """The spans of these anchors, each with what computes it."""
        at = sorted(self._anchors)
        below, above = self._anchors[at[0]], self._anchors[at[-1]]
        spans: dict[_Span, Callable[[CancelToken | None], Iterator[_Seen]]] = {
            (None, below, self._lowest): partial(self._outward, at[0], -1, self._lowest),
            (above, None, self._highest): partial(self._outward, at[-1], 1, self._highest),
        }
        for low, high in pairwise(at):
            spans[self._anchors[low], self._anchors[high], None] = partial(self._between, low, high)
        return spans

    def _outward(
        self, start: int, step: int, last: int | None, cancel: CancelToken | None
    ) -> Iterator[_Seen]:
        """From the highest anchor upward, or from the lowest downward."""
        between: list[_Seen] = []  # absent ones, which belong to the object if it comes back
        for index, image, found, present in self._followed(start, step, last, cancel):
            one = _slice(index, image, found), found.logits
            if not present:
                between += [one] if found.mask.any() else []
                continue
            yield from between
            between = []
            yield one

    def _between(self, low: int, high: int, cancel: CancelToken | None) -> Iterator[_Seen]:
        """Both anchors are carried to every slice between them; the nearer one counts for more."""
        upward = {index: found for index, _, found, _ in self._followed(low, 1, high - 1, cancel)}
        for index, image, down, _ in self._followed(high, -1, low + 1, cancel):
            up = upward.get(index, down)
            share = (index - low) / (high - low)
            logits = (1 - share) * up.logits.astype(np.float32) + share * down.logits.astype(np.float32)
            mask = following(clean_mask(logits > 0), up.mask | down.mask)
            expected = (1 - share) * up.expected_dice + share * down.expected_dice
            if mask.any():
                merged = replace(up, mask=mask, expected_dice=expected, presence=1.0)
                yield _slice(index, image, merged), logits

    def _followed(
        self, start: int, step: int, last: int | None, cancel: CancelToken | None
    ) -> Iterator[tuple[int, SliceImage, CarriedSlice, bool]]:
        """Slice after slice from an anchor, and whether the object is there; to `last`, or until it ends."""
        anchor = self._anchors[start]
        first = Appearance(anchor.image, anchor.mask)
        looks = [first]
        outline, at, index, absent = anchor.mask, start, start, 0
        while index != last and absent < CARRY.absent_slices:
            index += step
            image = self._stack.image(index)
            moved = None if image is None else self._stack.moved(outline, at, index)
            if image is None or moved is None or not moved.any():
                return
            found = carry(
                self._engine,
                image,
                moved,
                looks,
                log_prior=self._log_prior,
                random_seed=self._random_seed,
                cancel=cancel,
            )
            present = bool(found.mask.any()) and (found.presence >= 0.5 or last is not None)
            yield index, image, found, present
            if present:
                absent, outline, at = 0, found.mask, index
                looks = [first, Appearance(image, found.mask)]
            elif last is None:
                absent += 1

    def _judged(self, slices: list[ObjectSlice]) -> Iterator[ObjectSlice]:
        """The slices with why they are doubtful."""
        for number, one in enumerate(slices):
            beside = [slices[n] for n in (number - 1, number + 1) if 0 <= n < len(slices)]
            yield replace(one, reason="" if one.anchor else self._reason(one, beside))

    def _reason(self, one: ObjectSlice, beside: list[ObjectSlice]) -> str:
        if one.presence < CARRY.unsure:
            return MAY_END
        if one.mask.sum() < CARRY.thin_pixels:
            return THIN
        for other in beside:
            mask = self._stack.moved(other.mask, other.index, one.index)
            if 2 * (mask & one.mask).sum() < CARRY.alike * (mask.sum() + one.mask.sum()):
                return DIFFERS
        return UNSURE if one.expected_dice < CARRY.doubtful else ""


def _slice(index: int, image: SliceImage, found: CarriedSlice) -> ObjectSlice:
    """A carried slice; where the object may be absent, less Dice is expected."""
    expected = found.expected_dice * found.presence
    return ObjectSlice(index, found.mask, expected, found.presence, area_mm2=_area(found.mask, image))


def _agreeing(logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W) float16 logits with the sign that a mask cut from them and cleaned has."""
    logits = logits.astype(np.float16)
    return np.where(mask, np.maximum(logits, np.float16(0.1)), np.minimum(logits, np.float16(-0.1)))


def _area(mask: np.ndarray, image: SliceImage) -> float:
    return float(mask.sum()) * image.spacing[0] * image.spacing[1]
