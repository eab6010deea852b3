"""What is approved, kept in the folder that the user chose for `spasegment adapt`; nothing without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.mrml.settings import InteractionSettings
from SPASegmentLib.mrml.worker import JobOutcome, Worker

if TYPE_CHECKING:
    from SPASegmentLib.mrml.screen import Tone
    from SPASegmentLib.mrml.work import Work


class ApprovalKeeping:
    """Brings the folder to where a work's session is: an approval that is taken back is deleted."""

    def __init__(
        self, worker: Worker, settings: InteractionSettings, say: Callable[[str, Tone], None]
    ) -> None:
        self._worker, self._settings, self._say = worker, settings, say
        self._groups: dict[str, str] = {}

    def follow(self, work: Work) -> None:
        """Tell of every step of a work."""
        session = work.session
        if session is None:
            return
        ending = session.done[-1] if session.finished else None
        kept = work.kept
        if kept is not None and kept.ending is not ending:
            work.kept = None
            self._worker.chore(lambda token: kept.discard(), self._done)
        folder = self._settings.keep_approved
        if ending is not None and work.kept is None and folder is not None:
            from SPASegmentLib.profiles.approvals import KeptApproval, new_group

            group = self._groups.setdefault(work.view.volume_id, new_group())
            keeping = work.kept = KeptApproval(folder, ending)
            self._worker.chore(lambda token: keeping.keep(session, group), self._done)

    def _done(self, outcome: JobOutcome) -> None:
        if isinstance(outcome.error, SPASegmentError):
            self._say(f"The mask is as you see it, but it was not kept: {outcome.error}", "problem")
