"""Answers to proposals: given on the command line, or asked for on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from SPASegmentLib.errors import Cancelled, InputError, StepError
from SPASegmentLib.inference.describe import areas_in_words
from SPASegmentLib.inference.messages import Engine, Proposal
from SPASegmentLib.inference.session import Session

if TYPE_CHECKING:
    from rich.console import Console

APPROVE, NONE, UNDO, REDO, QUIT = "", "n", "u", "r", "q"
QUESTION = "1-4 pick, t1-t4 take as final, n none of these, u undo, r redo, q quit, Enter approve: "


def parse_picks(text: str) -> list[str]:
    """ "2,1,n" -> answers. Raises InputError for anything but 1 to 4 and n."""
    answers = [part.strip().lower() for part in text.split(",")] if text.strip() else []
    for answer in answers:
        if answer not in ("1", "2", "3", "4", NONE):
            raise InputError(f'--picks has "{answer}"; give numbers from 1 to 4, or n for none of these.')
    return answers


def is_answer(text: str) -> bool:
    """Whether a line from the terminal is an answer."""
    number = text[1:] if text.startswith("t") else text
    return text in (APPROVE, NONE, "0", UNDO, REDO, QUIT) or number in ("1", "2", "3", "4")


def answered(session: Session, answer: str) -> Session:
    """The session after an answer. Raises StepError where the answer does not fit, Cancelled for quit."""
    steps = {APPROVE: session.approve, NONE: session.none_of_these, "0": session.none_of_these}
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


class ProposalPictures(Protocol):
    """Where the user can look at the proposal of a session."""

    def show(self, session: Session) -> Path | None:
        """Write the picture of what the session shows, if any is wanted; its path."""


class Dialogue:
    """Runs a session to its end."""

    def __init__(self, engine: Engine, console: Console, pictures: ProposalPictures, *, ask: bool) -> None:
        """ask: whether to ask on the terminal once the given answers are used up; else it approves."""
        self._engine, self._console, self._pictures, self._ask = engine, console, pictures, ask

    def run(self, session: Session, answers: list[str]) -> Session:
        """Compute and answer proposals until a mask is final. Raises what session and engine raise."""
        waiting: Iterator[str] = iter(answers)
        session = self._computed(session)
        while not session.finished:
            answer = next(waiting, None)
            if answer is not None:
                session = answered(session, answer)
            elif self._ask:
                session = self._asked(session)
            else:
                session = session.approve()
            if session.pending:
                session = self._computed(session)
        return session

    def _computed(self, session: Session) -> Session:
        with self._console.status("Computing..."):
            session = session.advance(self._engine)
        self._describe(session)
        return session

    def _asked(self, session: Session) -> Session:
        """One answer from the terminal; what does not fit is said and asked again."""
        path = self._pictures.show(session)
        if path is not None:
            self._console.print(f"Picture: {path}")
        while True:
            try:
                text = self._console.input(QUESTION).strip().lower()
            except EOFError:
                text = QUIT
            if not is_answer(text):
                self._console.print(f'"{text}" is no answer.')
                continue
            try:
                after = answered(session, text)
            except StepError as error:
                self._console.print(str(error))
                continue
            if text in (UNDO, REDO) and not after.finished:
                self._describe(after)
            return after

    def _describe(self, session: Session) -> None:
        proposal = session.proposal
        if proposal is None:
            return
        for line in proposal_lines(proposal, session.iteration):
            self._console.print(line)


def proposal_lines(proposal: Proposal, iteration: int) -> list[str]:
    """A proposal in words, a line for the recommendation and one per candidate."""
    seconds = (proposal.seconds or {}).get("total", 0.0)
    lines = [f"Iteration {iteration}: recommended {proposal.area_mm2:.1f} mm2 ({seconds:.2f} s)"]
    width = max((len(c.description.name) for c in proposal.candidates), default=0)
    for number, candidate in enumerate(proposal.candidates, start=1):
        d = candidate.description
        lines.append(
            f"  {number}  {d.name:<{width}}  {areas_in_words(d):>16}  {100 * d.support:3.0f}% of samples"
        )
    return [*lines, f"  {proposal.fewer_reason}"] if proposal.fewer_reason else lines
