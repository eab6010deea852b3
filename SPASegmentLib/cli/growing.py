"""Answers to proposals of larger labellings: given on the command line, or asked for on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from SPASegmentLib.cli.dialogue import APPROVE, NONE, QUIT, REDO, UNDO
from SPASegmentLib.errors import Cancelled, InputError, StepError
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.research.systems.partial.session import PartialSession

if TYPE_CHECKING:
    from rich.console import Console

GO_ON = "g"
NUMBERS = ("1", "2", "3", "4")
QUESTION = (
    "1-4 pick, g go on from the recommendation, t1-t4 take as final, n none of these, u undo, r redo, "
    "q quit, Enter approve: "
)


def parse_growth(text: str) -> list[str]:
    """ "2,g,n" -> answers. Raises InputError for anything but 1 to 4, g and n."""
    answers = [part.strip().lower() for part in text.split(",")] if text.strip() else []
    for answer in answers:
        if answer not in (*NUMBERS, GO_ON, NONE):
            raise InputError(f'--picks has "{answer}"; give numbers from 1 to 4, g to go on, or n for none.')
    return answers


def answered(session: PartialSession, answer: str) -> PartialSession:
    """The session after an answer. Raises StepError where it does not fit, Cancelled for quit."""
    steps = {
        APPROVE: session.approve,
        GO_ON: session.go_on,
        NONE: session.none_of_these,
        UNDO: session.undo,
        REDO: session.redo,
    }
    if answer in steps:
        return steps[answer]()
    if answer == QUIT:
        raise Cancelled("Stopped before a labelling was final; nothing was written.")
    number = answer.removeprefix("t")
    if number not in NUMBERS:
        raise StepError(f'"{answer}" is no answer.')
    return session.take(int(number) - 1) if answer != number else session.pick(int(number) - 1)


class Growing:
    """Runs a labelling's growth to its end."""

    def __init__(self, engine: Engine, console: Console, report: Path | None, *, ask: bool) -> None:
        """report: folder of the pictures. ask: on the terminal once the given answers are used up."""
        self._engine, self._console, self._report, self._ask = engine, console, report, ask
        self._pictures: dict[int, Path] = {}

    def run(self, session: PartialSession, answers: list[str]) -> PartialSession:
        """Compute and answer proposals until a labelling is final. Raises what session and engine raise."""
        waiting = iter(answers)
        while not session.finished:
            if session.pending:
                with self._console.status("Computing..."):
                    session = session.advance(self._engine)
                self._show(session)
            answer = next(waiting, None)
            if answer is not None:
                session = answered(session, answer)
            else:
                session = self._asked(session) if self._ask else session.approve()
        return session

    def _asked(self, session: PartialSession) -> PartialSession:
        """One answer from the terminal; what does not fit is said and asked again."""
        while True:
            try:
                text = self._console.input(QUESTION).strip().lower()
            except EOFError:
                text = QUIT
            try:
                after = answered(session, text)
            except StepError as error:
                self._console.print(str(error))
                continue
            if text in (UNDO, REDO) and not after.finished:
                self._show(after)
            return after

    def _show(self, session: PartialSession) -> None:
        """The proposal in words, and its picture where one is wanted."""
        for line in growth_lines(session):
            self._console.print(line)
        if self._report is not None and session.proposal is not None:
            from SPASegmentLib.research.systems.partial.pictures import report_growth

            path = self._report / f"iteration-{session.iteration}.png"
            report_growth(path, session.image, session.proposal, session.iteration, session.model.name)
            self._pictures[session.iteration] = path
            for undone in [number for number in self._pictures if number > session.iteration]:
                self._pictures.pop(undone).unlink(missing_ok=True)
            self._console.print(f"Picture: {path}")


def growth_lines(session: PartialSession) -> list[str]:
    """A proposal in words, a line for the recommendation and one per candidate."""
    proposal = session.proposal
    if proposal is None:
        return []
    lines = [f"Iteration {session.iteration} ({proposal.seconds:.2f} s)"]
    for number, one in enumerate((proposal.recommendation, *proposal.candidates)):
        growth = one.growth
        name = "recommended" if number == 0 else growth.name
        lines.append(
            f"  {number or ' '}  {name:<38}  +{growth.foreground_mm2:.1f} mm2 object, "
            f"+{growth.background_mm2:.1f} mm2 background"
            + (f"  {100 * growth.support:3.0f}% of samples" if number else "")
        )
    if proposal.complete:
        lines.append("  Nothing more can be labelled with certainty; approve, or correct it by hand.")
    return [*lines, f"  {proposal.fewer_reason}"] if proposal.fewer_reason else lines
