"""The folder of one picture per iteration."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from SPASegmentLib.inference.session import Session

AnySession = TypeVar("AnySession", bound=Session)


class ReportFolder(Generic[AnySession]):
    """The pictures of one interaction; after an undo none of the undone iterations is left."""

    def __init__(self, folder: Path | None, caption: str = "") -> None:
        self._folder, self._caption = folder, caption
        self._written: set[Path] = set()

    def show(self, session: AnySession) -> Path | None:
        """Write the picture of the present iteration; its path."""
        return self._write(session, len(session.done) - 1) if self._folder else None

    def complete(self, session: AnySession) -> None:
        """Write every iteration's picture with what was answered, and remove those that were undone."""
        before, self._written = self._written, set()
        for index, done in enumerate(session.done):
            if done.proposal is not None:
                self._write(session, index)
        for path in before - self._written:
            path.unlink(missing_ok=True)

    def _write(self, session: AnySession, index: int) -> Path:
        assert self._folder is not None
        iteration = sum(done.proposal is not None for done in session.done[: index + 1])
        path = self._folder / f"iteration-{iteration}.png"
        self.draw(path, session, index, iteration)
        self._written.add(path)
        return path

    def draw(self, path: Path, session: AnySession, index: int, iteration: int) -> None:
        """Write the picture of one iteration, whose proposal is that of the step at `index`."""
        from SPASegmentLib.cli.pictures import report_iteration
        from SPASegmentLib.cli.record import answer_words

        steps = session.done[: index + 1]
        proposal = steps[-1].proposal
        assert proposal is not None
        answer = session.done[index + 1].step if index + 1 < len(session.done) else None
        report_iteration(
            path,
            session.image,
            proposal,
            iteration,
            points=[done.step.point for done in steps if done.step.point is not None],
            answer=answer_words(answer),
            chosen=None if answer is None else answer.candidate,
            caption=self._caption,
        )
