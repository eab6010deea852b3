"""Undo, redo and cancel: steps of a slice with their voxels and evidence, and from slice to slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from SPASegmentLib.errors import StepError
from SPASegmentLib.mrml.inference_requests import InferenceRequests
from SPASegmentLib.mrml.navigation import SliceNavigation
from SPASegmentLib.mrml.profile_controller import ProfileLearning
from SPASegmentLib.mrml.target import Target
from SPASegmentLib.mrml.work import StillComputingError, Trail, Work, session_of

if TYPE_CHECKING:
    from SPASegmentLib.mrml.screen import Tone


class UndoRedo:
    """The way back over the trail, and forward again. To be called on the scene's thread."""

    def __init__(
        self,
        scene: Any,
        trail: Trail,
        requests: InferenceRequests,
        target: Target,
        learning: ProfileLearning,
        navigation: SliceNavigation,
        say: Callable[[str, Tone], None],
    ) -> None:
        self._scene, self._trail, self._requests, self._target = scene, trail, requests, target
        self._learning, self._navigation, self._say = learning, navigation, say

    def undo(self) -> None:
        """One step back; from the beginning of a slice to the slice before. Raises StepError."""
        if self._requests.stop():
            return
        work = self._trail.current
        if work is not None and work.computing:
            carried = work.carried and (work.session is None or not work.session.done)
            before = self._trail.before() if carried else None
            self._cancel(work)
            if before is not None:
                self._navigation.go(before)
            return
        if work is None or work.empty:
            work = self._trail.before()
            if work is None:
                raise StepError("There is nothing to undo.")
            self._navigation.go(work, then=self._undo_step)
            return
        self._requests.revived(work, self._undo_step)

    def redo(self) -> None:
        """Bring back the step undone last; forward over slices. Raises StepError."""
        work = self._trail.current
        if work is not None and work.computing:
            raise StillComputingError
        if work is not None and work.can_redo:
            self._requests.revived(work, self._redo_step)
            return
        work = self._trail.after()
        if work is None:
            raise StepError("There is nothing to redo.")
        self._navigation.go(work, then=self._redo_step)

    def cancel(self) -> None:
        """Stop whatever is computed for the user."""
        stopped = self._requests.stop()
        for work in self._trail:
            stopped = self._cancel(work) or stopped
        if stopped:
            self._say("Cancelled; nothing was changed.", "hint")

    def take_back_open(self) -> None:
        """Take all steps back where nothing is approved yet; redo brings them back."""
        taken = False
        for work in self._trail:
            if work.finished:
                continue
            self._cancel(work)
            session = work.session
            while session is not None and session.done:
                session, taken = session.undo(), True
            if session is not None and session is not work.session:
                work.hold(session)
        if taken:
            self._say("What was not approved was taken back; redo brings it back.", "done")

    def _cancel(self, work: Work) -> bool:
        """Drop what is awaited on one slice."""
        if not work.computing:
            return False
        self._requests.stop_request()
        if work.opening is not None:
            work.opening = None
            if work.session is None and work.log is None:
                self._trail.drop(lambda w: w is work)
        elif work.session is not None:
            work.hold(work.session.cancel())
        return True

    def _undo_step(self, work: Work) -> None:
        session = session_of(work)
        if session.finished:
            volume = self._scene.GetNodeByID(work.view.volume_id)
            try:
                self._target.take_back(work, volume, list(self._trail))
            except StepError as gone:
                self._say(str(gone), "problem")
            work.hold(session.undo())
            self._learning.follow(work)
            return
        alone = work.carried and len(session.done) == 1
        for _step in range(work.together_with(session.done[-1])):
            session = session.undo()
        work.hold(session)
        before = self._trail.before() if alone else None
        if before is not None:
            self._navigation.go(before)

    def _redo_step(self, work: Work) -> None:
        session = session_of(work)
        for _step in range(work.together_with(session.undone[-1]) if session.undone else 1):
            session = session.redo()
        if session.finished:
            mask = session.result().mask
            volume = self._scene.GetNodeByID(work.view.volume_id)
            if volume is None:
                raise StepError("The volume is gone; choose a volume.")
            self._target.bring_back(work, mask, volume, self._trail.on(work.key))
        work.hold(session)
        self._learning.follow(work)
