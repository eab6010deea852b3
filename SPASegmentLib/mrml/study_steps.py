"""What a study counts of the interaction: the steps of all sessions, undone ones too, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from SPASegmentLib.inference.session import Done
from SPASegmentLib.mrml.work import Work

_COUNTED_AS = {"point": "points", "pick": "picks", "none": "rejections", "keep": "keeps"}


class StepCounter:
    """Sees every new step of some works. To be told of them after every change of the screen."""

    def __init__(self, count: Callable[[str], None]) -> None:
        """count: called with "points", "picks", "rejections", "keeps" and "iterations" (proposals)."""
        self._count = count
        self.forget()

    def forget(self) -> None:
        """Another image: nothing is known any more."""
        self._seen: set[Done] = set()
        self._resting: set[Work] = set()
        self.model = ""

    def update(self, works: Iterable[Work]) -> None:
        """Count what is new since the last call."""
        for work in works:
            session = work.session
            if session is None:
                if work.log is not None:
                    self._resting.add(work)
                continue
            if work in self._resting:  # computed again from its log: these steps were counted
                self._resting.remove(work)
                self._seen |= {*session.done, *session.undone}
                continue
            for number, done in enumerate(session.done):
                if done in self._seen:
                    continue
                self._seen.add(done)
                self.model = f"{session.model.name} {session.model.hash}"
                if done.proposal is not None:
                    self._count("iterations")
                given = work.carried or session.carried is not None  # its first point is no user's
                if (number or not given) and done.step.kind in _COUNTED_AS:
                    self._count(_COUNTED_AS[done.step.kind])
