"""Simulated users who segment a whole object: one click, two picks, three reviewed slices; and rivals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.imaging.window import NEIGHBOURS
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.inference.fill import ObjectFill
from SPASegmentLib.inference.messages import Engine, Proposal
from SPASegmentLib.inference.session import Session
from SPASegmentLib.profiles.evidence import ObjectStyle, object_prior
from SPASegmentLib.research.datasets.object_cases import ObjectCase
from SPASegmentLib.research.evaluation.corrections import error_point
from SPASegmentLib.research.evaluation.metrics import dice, dice_of_each

Value = TypeVar("Value")
PICKS, REVIEWS = 2, 3
"""Picks on the first slice, and slices reviewed at most."""
KEY, CLICK = 1.35 + 0.28, 1.35 + 1.1 + 0.2
"""Seconds of a key press and of a click in the keystroke-level model: think (1.35), press (0.28), or point
(1.1) and click (0.2)."""


class ArrayStack:
    """Slices of an object case, all of one size."""

    def __init__(self, case: ObjectCase) -> None:
        self._case = case

    @property
    def step_mm(self) -> float:
        """From the middle of a slice to that of the next."""
        return self._case.spacing[0]

    def image(self, index: int) -> SliceImage | None:
        """See `SliceStack.image`."""
        pixels = self._case.pixels
        if not 0 <= index < len(pixels) or pixels[index].min() == pixels[index].max():
            return None
        offsets = (*range(-NEIGHBOURS, 0), *range(1, NEIGHBOURS + 1))
        around = tuple(pixels[index + o] if 0 <= index + o < len(pixels) else None for o in offsets)
        return SliceImage(pixels[index], self._case.spacing[1:], self._case.modality, neighbours=around)

    def moved(self, mask: np.ndarray, index: int, to_index: int) -> np.ndarray:
        """All slices lie on the same pixels."""
        return mask


@dataclass
class Outcome:
    """What a user got. mask: (S, H, W) bool. keys, clicks: what they pressed. computing: seconds waited.

    slices, filling: computed beyond the first, and the seconds that took. reviewed: slices looked at again.
    """

    mask: np.ndarray
    keys: int = 0
    clicks: int = 0
    computing: float = 0.0
    reviewed: int = 0
    slices: int = 0
    filling: float = 0.0

    @property
    def actions(self) -> int:
        """Key presses and clicks."""
        return self.keys + self.clicks

    @property
    def seconds(self) -> float:
        """What the user spends, by the keystroke-level model, and waits."""
        return self.keys * KEY + self.clicks * CLICK + self.computing


@dataclass
class ObjectUser:
    """One case with one engine: the first slice is the object's largest, the click its deepest pixel."""

    engine: Engine
    case: ObjectCase
    seed: int = 0
    start: int = field(init=False)
    stack: ArrayStack = field(init=False)

    def __post_init__(self) -> None:
        self.start = int(self.case.target.sum(axis=(1, 2)).argmax())
        self.stack = ArrayStack(self.case)

    def run(self) -> dict[str, Outcome]:
        """The outcomes of `none`, `picks`, `review`, each from the one before on, and of `carry-over`, with
        and without memory of the style.

        Raises what the engine raises.
        """
        clicked, waited = _timed(self._click)
        none, _ = self._filled(clicked, keys=2, clicks=1, computing=waited)  # F, Enter
        picked, waited_more = _timed(lambda: self._picked(clicked))
        mask = _mask(picked)
        made = len(picked.answered)
        picks, fill = self._filled(picked, keys=2 + made, clicks=1, computing=waited + waited_more)
        waited += waited_more
        over = self._carried_over(mask, picked.done[0].proposal, keys=made, computing=waited)
        anew = self._carried_over(mask, None, keys=made, computing=waited)
        review = self._reviewed(picks, fill)
        return {"none": none, "picks": picks, "review": review, "carry-over": over, "carry-over-anew": anew}

    def _click(self) -> Session:
        image = self._image(self.start)
        point = carried_seed(self.case.target[self.start], image.spacing)
        session = Session.start(image, self.engine.model, point, random_seed=self.seed)
        return session.advance(self.engine)

    def _picked(self, session: Session) -> Session:
        target = self.case.target[self.start]
        for _ in range(PICKS):
            shown = session.proposal.candidates if session.proposal else ()
            if not shown:
                break
            best = int(dice_of_each(np.stack([one.mask for one in shown]), target).argmax())
            session = session.pick(best).advance(self.engine)
        return session

    def _filled(
        self, session: Session, *, keys: int, clicks: int, computing: float
    ) -> tuple[Outcome, ObjectFill]:
        mask = _mask(session)
        prior = object_prior(session, mask)
        fill = ObjectFill(self.engine, self.stack, log_prior=prior, random_seed=self.seed)
        fill.approve(self.start, mask)
        _, seconds = _timed(fill.complete)
        slices = len(fill.object.slices) - 1
        waited = computing + seconds
        return Outcome(self._volume(fill), keys, clicks, waited, slices=slices, filling=seconds), fill

    def _reviewed(self, before: Outcome, fill: ObjectFill) -> Outcome:
        """Up to `REVIEWS` doubtful slices: approved as they are, a pick, a click, or an end, what is best."""
        outcome = replace(before)
        for _ in range(REVIEWS):
            doubtful = fill.object.doubtful
            if not doubtful:
                break
            started = time.perf_counter()
            self._review(doubtful[0].index, doubtful[0].mask, fill, outcome)
            fill.complete()
            outcome.computing += time.perf_counter() - started
            outcome.reviewed += 1
        outcome.mask = self._volume(fill)
        return outcome

    def _review(self, index: int, mask: np.ndarray, fill: ObjectFill, outcome: Outcome) -> None:
        target = self.case.target[index]
        outcome.keys += 2  # Space, and Enter or "ends here"
        if not target.any():
            fill.end(index - 1 if index > self.start else index + 1)
            return
        session = Session.start(
            self._image(index), self.engine.model, random_seed=self.seed, carried=fill.carried(index)
        ).advance(self.engine)
        ways: list[tuple[np.ndarray, int, int]] = [(mask, 0, 0)]
        shown = session.proposal.candidates if session.proposal else ()
        if shown:
            best = int(dice_of_each(np.stack([one.mask for one in shown]), target).argmax())
            ways.append((shown[best].mask, 0, 0))  # taken as it is, in place of Enter
            ways.append((_mask(session.pick(best).advance(self.engine)), 1, 0))
        point: PointPrompt | None = error_point(_mask(session), target)
        if point is not None:
            corrected = session.add_point(point.row, point.col, positive=point.positive)
            ways.append((_mask(corrected.advance(self.engine)), 0, 1))
        chosen, keys, clicks = max(ways, key=lambda way: dice(way[0], target))
        outcome.keys, outcome.clicks = outcome.keys + keys, outcome.clicks + clicks
        if chosen.any():
            fill.approve(index, chosen)

    def _carried_over(
        self, mask: np.ndarray, first: Proposal | None, *, keys: int, computing: float
    ) -> Outcome:
        """Slice by slice from the middle of the last mask, each approved; the user sees where it ends.

        first: the first slice's first proposal, if the style is remembered from slice to slice.
        """
        outcome = Outcome(np.zeros_like(self.case.target), keys + 1, 1, computing)
        outcome.mask[self.start] = mask
        there = np.flatnonzero(self.case.target.any(axis=(1, 2)))
        for step, last in ((-1, int(there[0])), (1, int(there[-1]))):
            before, model = mask, self.engine.model
            spacing = self.case.spacing[1:]
            style = None if first is None else ObjectStyle.after(None, model, first.feedback, mask, spacing)
            prior = None if style is None else style.log_prior(model)
            for index in range(self.start + step, last + step, step):
                image = self.stack.image(index)
                if image is None or not before.any():
                    break
                point = carried_seed(before, image.spacing)
                session = Session.start(image, model, point, log_prior=prior, random_seed=self.seed)
                session, seconds = _timed(lambda session=session: session.advance(self.engine))  # type: ignore[misc]
                before = _mask(session)
                outcome.mask[index] = before
                outcome.keys += 2  # Down, Enter
                outcome.computing += seconds
                outcome.filling += seconds
                outcome.slices += 1
        return outcome

    def _image(self, index: int) -> SliceImage:
        image = self.stack.image(index)
        if image is None:
            raise SPASegmentError(f"Slice {index} of {self.case.case_id} shows nothing.")
        return image

    def _volume(self, fill: ObjectFill) -> np.ndarray:
        volume = np.zeros_like(self.case.target)
        for index, mask in fill.object.masks.items():
            volume[index] = mask
        return volume


def _mask(session: Session) -> np.ndarray:
    assert session.proposal is not None  # it was advanced
    return session.proposal.recommendation


def _timed(act: Callable[[], Value]) -> tuple[Value, float]:
    started = time.perf_counter()
    return act(), time.perf_counter() - started
