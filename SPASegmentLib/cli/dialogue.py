"""Answers to proposals: given on the command line, or asked for on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic

from SPASegmentLib.cli.report_folder import AnySession, ReportFolder
from SPASegmentLib.cli.terminal import show_picture
from SPASegmentLib.errors import Cancelled, InputError, SeedError, StepError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.describe import areas_in_words
from SPASegmentLib.inference.messages import Engine, Proposal

if TYPE_CHECKING:
    from rich.console import Console

APPROVE, NONE, KEEP, UNDO, REDO, QUIT, HELP = "", "n", "k", "u", "r", "q", "?"
ADD, REMOVE = "+", "-"
Answer = str | PointPrompt
"""A word from the command line or the terminal, or a point."""
_HELP = """\
  1-4      pick the alternative that is closer to what you want; new ones follow
  t1-t4    take an alternative as final, as it is
  n        none of these; others follow
  k        keep the recommendation; other alternatives around it follow
  Enter    approve the recommendation: it becomes the mask
  u, r     undo, redo
  q        quit without a mask"""
_POINT_HELP = """\
  + R A S        a further point of the object, in mm; + ijk I J K in voxels
  - R A S        a point outside the object; - ijk I J K in voxels"""
NUMBERS = ("1", "2", "3", "4")


def parse_picks(text: str, further: Mapping[str, str] | None = None, what: str = "--picks") -> list[str]:
    """ "2,1,n" -> answers. further: other answers than k and what they are for. what: holds the text.

    Raises InputError for anything but 1 to 4, n and those.
    """
    others = {**(further or {KEEP: "to keep the recommendation"}), NONE: "for none of these"}
    answers = [part.strip().lower() for part in text.split(",")] if text.strip() else []
    for answer in answers:
        if answer not in (*NUMBERS, *others):
            offer = " or ".join(f"{key} {meaning}" for key, meaning in others.items())
            raise InputError(f'{what} has "{answer}"; give numbers from 1 to 4, or {offer}.')
    return answers


def is_answer(text: str) -> bool:
    """Whether a line from the terminal is an answer."""
    number = text[1:] if text.startswith("t") else text
    return text in (APPROVE, NONE, KEEP, "0", UNDO, REDO, QUIT) or number in NUMBERS


def answered(session: AnySession, answer: str) -> AnySession:
    """The session after an answer. Raises StepError where the answer does not fit, Cancelled for quit."""
    steps = {
        APPROVE: session.approve,
        NONE: session.none_of_these,
        "0": session.none_of_these,
        KEEP: session.keep,
    }
    if answer in steps:
        return steps[answer]()
    if answer == UNDO:
        if len(session.done) == 1:
            raise StepError("Only the seed is left; quit and give another seed to change it.")
        return session.undo()
    if answer == REDO:
        return session.redo()
    if answer == QUIT:
        raise Cancelled("Stopped before a mask was final; no mask was written.")
    if answer.startswith("t"):
        return session.take(int(answer[1:]) - 1)
    return session.pick(int(answer) - 1)


class Dialogue(Generic[AnySession]):
    """Runs a session to its end."""

    question = (
        "1-4 pick, t1-t4 take as final, n none of these, k keep, + - points, u undo, r redo, q quit, ? help, "
        "Enter approve: "
    )
    further: tuple[str, ...] = ()
    """Answers beside those `answered` knows."""

    def __init__(
        self,
        engine: Engine,
        console: Console,
        pictures: ReportFolder[AnySession],
        *,
        ask: bool,
        place: Callable[..., PointPrompt] | None = None,
    ) -> None:
        """ask: whether to ask on the terminal once the given answers are used up; else it approves.

        place: makes a point of coordinates (`OpenedSlice.point`); None where points cannot be placed.
        """
        self._engine, self._console, self._pictures, self._ask = engine, console, pictures, ask
        self._place = place

    def run(self, session: AnySession, answers: Sequence[Answer]) -> AnySession:
        """Compute and answer proposals until a mask is final. Raises what session and engine raise."""
        waiting: Iterator[Answer] = iter(answers)
        session = self._computed(session)
        while not session.finished:
            answer = next(waiting, None)
            if answer is not None:
                session = self._step(session, answer)
            elif self._ask:
                session = self._asked(session)
            else:
                session = session.approve()
            if session.pending:
                session = self._computed(session)
        return session

    def _computed(self, session: AnySession) -> AnySession:
        with self._console.status("Computing..."):
            session = session.advance(self._engine)
        self._describe(session)
        return session

    def _asked(self, session: AnySession) -> AnySession:
        """One answer from the terminal; what does not fit is said and asked again."""
        path = self._pictures.show(session)
        if path is not None and not show_picture(self._console, path):
            self._console.print(f"Picture: {path}")
        while True:
            try:
                text = self._console.input(self.question).strip().lower()
            except EOFError:
                text = QUIT
            if text == HELP:
                self._console.print(_HELP + (f"\n{_POINT_HELP}" if self._place else ""))
                continue
            is_point = self._place is not None and text.startswith((ADD, REMOVE))
            if not is_answer(text) and text not in self.further and not is_point:
                self._console.print(f'"{text}" is no answer; ? lists what is.')
                continue
            try:
                after = self._step(session, self._point(text) if is_point else text)
            except (StepError, SeedError) as error:
                self._console.print(str(error))
                continue
            if text in (UNDO, REDO) and not after.finished:
                self._describe(after)
            return after

    def _step(self, session: AnySession, answer: Answer) -> AnySession:
        if isinstance(answer, PointPrompt):
            return session.add_point(answer.row, answer.col, positive=answer.positive)
        return self.answered(session, answer)

    def _point(self, text: str) -> PointPrompt:
        """The point of "+ 64.4 -31.9 -101.3" or "- ijk 48 101 86". Raises SeedError where it is none."""
        words = text[1:].replace(",", " ").split()
        name = words.pop(0) if words and words[0] in ("ras", "ijk") else "ras"
        try:
            at = [float(word) for word in words]
        except ValueError:
            at = []
        if len(at) != 3 or self._place is None:
            raise SeedError(f'"{text}" is no point; write {text[0]} R A S, or {text[0]} ijk I J K.')
        return self._place(positive=text[0] == ADD, **{name: at})

    def _describe(self, session: AnySession) -> None:
        for line in self.lines(session):
            self._console.print(line)

    def answered(self, session: AnySession, answer: str) -> AnySession:
        """The session after an answer, see the function of that name."""
        return answered(session, answer)

    def lines(self, session: AnySession) -> list[str]:
        """What the session shows, in words."""
        return [] if session.proposal is None else proposal_lines(session.proposal, session.iteration)


def proposal_lines(proposal: Proposal, iteration: int) -> list[str]:
    """A proposal in words, a line for the recommendation and one per candidate."""
    seconds = (proposal.seconds or {}).get("total", 0.0)
    lines = [f"Iteration {iteration}: recommended {proposal.area_mm2:.1f} mm2 ({seconds:.2f} s)"]
    width = max((len(c.description.name) for c in proposal.candidates), default=0)
    for number, candidate in enumerate(proposal.candidates, start=1):
        d = candidate.description
        lines.append(
            f"  {number}  {d.name:<{width}}  {areas_in_words(d):>16}  {100 * d.support:3.0f}% of masks"
        )
    return [*lines, f"  {proposal.fewer_reason}"] if proposal.fewer_reason else lines
