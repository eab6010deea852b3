"""Approvals teach the chosen profile, undoing them takes that back: chores of the worker, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from SPASegmentLib.scene.engine_room import EngineRoom
from SPASegmentLib.scene.profile_desk import ProfileDesk
from SPASegmentLib.scene.work import Work
from SPASegmentLib.scene.worker import Outcome, Worker

if TYPE_CHECKING:
    from SPASegmentLib.inference.session import Session
    from SPASegmentLib.profiles.learning import Receipt
    from SPASegmentLib.profiles.profile import Profile
    from SPASegmentLib.profiles.teaching import Teaching
    from SPASegmentLib.scene.screen import Tone


class Lessons:
    """Keeps every work's evidence in step with its session."""

    def __init__(
        self,
        worker: Worker,
        room: Callable[[], EngineRoom],
        desk: ProfileDesk,
        say: Callable[[str, Tone], None],
    ) -> None:
        """room: of the model in use."""
        self._worker, self._room, self._desk, self._say = worker, room, desk, say

    def follow(self, work: Work) -> None:
        """Bring the profile to where the work's session is: what is approved now is taught the chosen one."""
        session = work.session
        if session is None:
            return
        ended = session.finished and session.learn
        if ended and self._desk.profile is not None and work.taught() is None:
            from SPASegmentLib.profiles.teaching import Teaching

            # The consensus area needs the engine that answered; another model's would not be comparable.
            engine = self._room().engine
            if engine is not None and engine.model.hash != session.model.hash:
                engine = None
            work.teaching = Teaching(self._desk.store(), self._desk.profile, engine)
        if work.receipt is not None and not ended:
            receipt, work.receipt = work.receipt, None
            self._worker.chore(lambda token: self._retract(receipt), self._done)
        teaching = work.teaching
        if teaching is not None:
            self._worker.chore(lambda token: self._follow(teaching, session), self._done)

    def _follow(self, teaching: Teaching, session: Session) -> Profile | None:
        return self._present() if teaching.follow(session) else None

    def _retract(self, receipt: Receipt) -> Profile | None:
        from SPASegmentLib.profiles.learning import retract_approval

        return retract_approval(self._desk.store(), receipt)

    def _present(self) -> Profile | None:
        name = self._desk.wanted
        return self._desk.store().load(name) if name else None

    def _done(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._say(f"The mask is as you see it, but the profile is not: {outcome.error}", "problem")
        elif outcome.value is not None:
            self._desk.learnt(outcome.value)
