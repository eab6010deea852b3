"""Simulated users of a study: what they do until a mask satisfies them, and how long that takes them.

Seconds are those of the keystroke-level model (Card, Moran and Newell, 1980); nothing is measured on people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from contourpy import contour_generator
from matplotlib.path import Path as Polygon

from SPASegmentLib.errors import StepError
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.inference.session import Session
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.evaluation.corrections import error_point
from SPASegmentLib.research.evaluation.interaction import PromptedEngine, slice_image
from SPASegmentLib.research.evaluation.metrics import dice, dice_of_each
from SPASegmentLib.research.evaluation.protocol import ITERATIONS, Draw

MOST_PROPOSALS = ITERATIONS
"""Proposals after which a user gives up and draws the object by hand."""
CORNERS = (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)


@dataclass(frozen=True)
class Operators:
    """Seconds of what a user does.

    key: K, an average typist. point: P, to a place with the mouse. press: BB, the button down and up. think:
    M, to prepare a decision. look: to read one mask: an eye movement (0.23), to perceive it (0.10) and to
    compare it (0.07), from the Model Human Processor of the same authors. response: until a proposal is
    there. side, length: D, drawing: for each straight side, and for each cm of them. shown: cm that the
    object's longer extent has on the screen.
    """

    key: float = 0.28
    point: float = 1.1
    press: float = 0.2
    think: float = 1.35
    look: float = 0.4
    response: float = 0.2
    side: float = 0.9
    length: float = 0.16
    shown: float = 8.0


@dataclass(frozen=True)
class Standards:
    """When a user is satisfied: with a mask whose Dice seems at least `wanted`.

    error: deviation of the Dice a user sees from the true one.
    """

    wanted: float
    error: float = 0.02


@dataclass
class Effort:
    """What a user did for one image. mask: (H, W) bool. drawing: seconds. See `StudyRecord` for the rest."""

    mask: np.ndarray
    keys: int = 0
    clicks: int = 0
    picks: int = 0
    points: int = 0
    keeps: int = 0
    iterations: int = 0
    looks: int = 0
    thinks: int = 0
    drawing: float = 0.0
    satisfied: bool = True

    def seconds(self, times: Operators) -> float:
        """All of it by the keystroke-level model, waiting included."""
        return (
            self.keys * times.key
            + self.clicks * (times.point + times.press)
            + self.thinks * times.think
            + self.looks * times.look
            + self.iterations * times.response
            + self.drawing
        )


@dataclass
class StudyUser:
    """A user with one image, who knows what they want of it. rng: of what they see wrongly."""

    case: Case
    draw: Draw
    standards: Standards
    rng: np.random.Generator
    times: Operators = field(default_factory=Operators)
    seed: int = 0
    _errors: dict[bytes, float] = field(default_factory=dict)
    _last: float = 0.0

    def seen(self, masks: np.ndarray) -> np.ndarray:
        """The Dice that masks (n, H, W) seem to have; a mask seems the same whenever it is seen."""
        errors = []
        for mask in masks:
            key = np.packbits(mask).tobytes()
            if key not in self._errors:
                self._errors[key] = float(self.rng.normal(0, self.standards.error))
            errors.append(self._errors[key])
        return np.asarray(dice_of_each(masks, self.draw.target) + np.array(errors))

    def picks(self, engine: Engine) -> Effort:
        """A click, then alternatives: one that satisfies is taken, else the best picked, or others wanted."""
        return self._interacts(engine, clicks=False)

    def both(self, engine: Engine) -> Effort:
        """The same, but a corrective click where no alternative seems better than the recommendation."""
        return self._interacts(engine, clicks=True)

    def clicks(self, engine: Engine) -> Effort:
        """A click, then one in the middle of the largest error at a time, X before one that excludes."""
        if isinstance(engine, PromptedEngine):
            return self._prompts(engine)
        session, effort = self._clicked(engine)
        while not self._approves(effort):
            if effort.iterations == MOST_PROPOSALS or not (corrected := self._corrected(session, effort)):
                return self._by_hand(effort)
            session = self._proposed(effort, corrected.advance(engine))
        return self._on(effort)

    def _interacts(self, engine: Engine, *, clicks: bool) -> Effort:
        session, effort = self._clicked(engine)
        while not self._approves(effort):
            shown = session.proposal.candidates if session.proposal is not None else ()
            if effort.iterations == MOST_PROPOSALS or not (shown or clicks):
                return self._by_hand(effort)
            seen = self.seen(np.stack([candidate.mask for candidate in shown])) if shown else np.zeros(1)
            best = int(seen.argmax())
            effort.looks += len(shown)
            effort.thinks += bool(shown)
            if shown and seen[best] >= self.standards.wanted:
                effort.keys += 2  # Shift with the number
                effort.mask = shown[best].mask
                break
            asked = self._chosen(session, effort, best, better=bool(shown) and seen[best] > self._last)
            if clicks and asked is None:
                asked = self._corrected(session, effort)
            elif asked is None:
                effort.keys, effort.keeps = effort.keys + 1, effort.keeps + 1
                asked = session.keep()
            if asked is None:
                return self._by_hand(effort)
            session = self._proposed(effort, asked.advance(engine))
        return self._on(effort)

    @staticmethod
    def _chosen(session: Session, effort: Effort, best: int, *, better: bool) -> Session | None:
        """After a pick of the best alternative, where it is better."""
        if not better:
            return None
        effort.keys, effort.picks = effort.keys + 1, effort.picks + 1
        return session.pick(best)

    def _corrected(self, session: Session, effort: Effort) -> Session | None:
        """After a click in the middle of the largest error, where there is one."""
        point = error_point(effort.mask, self.draw.target)
        if point is None:
            return None
        effort.thinks += 1
        effort.clicks, effort.points = effort.clicks + 1, effort.points + 1
        effort.keys += not point.positive
        return session.add_point(point.row, point.col, positive=point.positive)

    def editing(self, engine: Engine | None = None) -> Effort:
        """The outline drawn by hand with as few straight sides as satisfy."""
        return self._drawn(Effort(self.draw.target, looks=1, thinks=1))

    def refused(self) -> Effort:
        """A click that the system cannot answer, then drawing."""
        return self._by_hand(Effort(self.draw.target, clicks=1, points=1, looks=1, thinks=2))

    def _clicked(self, engine: Engine) -> tuple[Session, Effort]:
        point = self.draw.click
        effort = Effort(self.draw.target, clicks=1, points=1, looks=1, thinks=1)
        start = Session.start(slice_image(self.case), engine.model, point, random_seed=self.seed)
        return self._proposed(effort, start.advance(engine)), effort

    def _prompts(self, engine: PromptedEngine) -> Effort:
        """The same with a system that brings its own interaction: a prompt before each proposal."""
        effort = Effort(self.draw.target, looks=1)
        presses = 2 if "box" in engine.user else 1  # two corners
        trace = engine.interact(self.case, self.draw, iterations=MOST_PROPOSALS, seed=self.seed)
        for proposal in trace.proposals:
            effort.clicks, effort.points = effort.clicks + presses, effort.points + presses
            effort.thinks += 1
            effort.iterations += 1
            effort.mask = proposal.recommendation
            if self._approves(effort):
                return self._on(effort)
        return self._by_hand(effort)

    @staticmethod
    def _proposed(effort: Effort, session: Session) -> Session:
        """The session with a new proposal."""
        if session.proposal is None:
            raise StepError("The engine gave no proposal; it cannot be studied.")
        effort.iterations += 1
        effort.mask = session.proposal.recommendation
        return session

    def _approves(self, effort: Effort) -> bool:
        """Read the recommendation and decide; Enter where it satisfies."""
        effort.looks += 1
        effort.thinks += 1
        self._last = float(self.seen(effort.mask[None])[0])
        satisfied = self._last >= self.standards.wanted
        effort.keys += satisfied
        return satisfied

    def _by_hand(self, effort: Effort) -> Effort:
        effort.satisfied = False
        return self._drawn(effort)

    def _drawn(self, effort: Effort) -> Effort:
        effort.mask, sides, cm = drawn_by_hand(self.draw.target, self.standards.wanted, self.times.shown)
        effort.drawing = self.times.side * sides + self.times.length * cm
        return self._on(effort)

    @staticmethod
    def _on(effort: Effort) -> Effort:
        """Press Next."""
        effort.clicks += 1
        return effort


WAYS: dict[str, Callable[..., Effort]] = {
    "picks": StudyUser.picks,
    "both": StudyUser.both,
    "clicks": StudyUser.clicks,
    "editing": StudyUser.editing,
}
"""What a simulated user may be asked to do."""


def drawn_by_hand(target: np.ndarray, wanted: float, shown: float) -> tuple[np.ndarray, int, float]:
    """A target's outline with as few corners as give the wanted Dice, evenly along it; else all of it.

    target: (H, W) bool, not empty. shown: cm of its longer extent on the screen. Returns the mask, the
    number of straight sides and their length in cm.
    """
    found = contour_generator(z=np.pad(target, 1).astype(float)).lines(0.5)
    lines: list[np.ndarray] = [np.asarray(line) for line in found]
    lengths = [float(np.hypot(*np.diff(line, axis=0).T).sum()) for line in lines]
    rows, cols = np.nonzero(target)
    scale = shown / max(np.ptp(rows) + 1, np.ptp(cols) + 1)
    for corners in (*CORNERS, None):
        polygons = [
            line[:-1] if corners is None else _evenly(line, max(3, round(corners * length / sum(lengths))))
            for line, length in zip(lines, lengths, strict=True)
        ]
        mask = _filled(polygons, target.shape)
        if dice(mask, target) >= wanted:
            break
    sides = sum(len(polygon) for polygon in polygons)
    around = sum(float(np.hypot(*(polygon - np.roll(polygon, 1, axis=0)).T).sum()) for polygon in polygons)
    return mask, sides, around * scale


def _evenly(line: np.ndarray, count: int) -> np.ndarray:
    """(count, 2) points at equal distances along a closed line (n, 2), whose ends meet."""
    along = np.concatenate([[0.0], np.hypot(*np.diff(line, axis=0).T).cumsum()])
    at = np.arange(count) / count * along[-1]
    return np.stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)], axis=1)


def _filled(polygons: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool: the pixels whose centres lie in an odd number of polygons of (x, y), padded by one."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    centres = np.stack([cols.ravel() + 1, rows.ravel() + 1], axis=1)
    mask = np.zeros(shape, bool)
    for polygon in polygons:
        mask ^= Polygon(polygon).contains_points(centres).reshape(shape)
    return mask
