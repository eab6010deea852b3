"""The interaction on a scene: seeds, picks and approvals, and what is shown of them.

`Controller` calls it, and turns what it raises into sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from SPASegmentLib.errors import StepError
from SPASegmentLib.mrml.approval_keeping import ApprovalKeeping
from SPASegmentLib.mrml.carry import checked_ras
from SPASegmentLib.mrml.engine_holder import EngineHolder
from SPASegmentLib.mrml.inference_requests import InferenceRequests, NeighbourEncoding
from SPASegmentLib.mrml.navigation import SliceNavigation
from SPASegmentLib.mrml.profile_controller import ProfileController, ProfileLearning
from SPASegmentLib.mrml.proposal_display import ProposalDisplay
from SPASegmentLib.mrml.scene_changes import SceneChanges
from SPASegmentLib.mrml.seed_placing import SeedPlacing
from SPASegmentLib.mrml.selection import SceneSelection
from SPASegmentLib.mrml.settings import InteractionSettings
from SPASegmentLib.mrml.step_queue import Queued, StepQueue
from SPASegmentLib.mrml.target import Target
from SPASegmentLib.mrml.undo import UndoRedo
from SPASegmentLib.mrml.whole_object import FollowedObject, ObjectFilling, SavedObject
from SPASegmentLib.mrml.work import SEED_FIRST, StillComputingError, Trail, Work
from SPASegmentLib.mrml.worker import Worker

if TYPE_CHECKING:
    from SPASegmentLib.inference.session import Session
    from SPASegmentLib.mrml.screen import Tone


class SceneInteraction:
    """The trail of works, and every step on it. To be called on the scene's thread."""

    def __init__(
        self,
        scene: Any,
        worker: Worker,
        selection: SceneSelection,
        target: Target,
        profiles: ProfileController,
        settings: InteractionSettings,
        say: Callable[[str, Tone], None],
        holder: Callable[[], EngineHolder],
    ) -> None:
        """holder: of the model in use."""
        self._scene, self._selection, self._target, self._settings = scene, selection, target, settings
        self._say = say
        self.trail = Trail()
        self._forward = 1
        self._display = ProposalDisplay(scene)
        self._neighbours = NeighbourEncoding(worker)
        keeping = ApprovalKeeping(worker, settings, say)
        self._learning = ProfileLearning(worker, holder, profiles, say, keeping)
        self.requests = InferenceRequests(worker, holder, profiles, settings, self._answered, say)
        self._navigation = SliceNavigation(
            scene, selection, settings, self.trail, self.requests, self._neighbours
        )
        self._placing = SeedPlacing(selection, target, self.trail, self.requests, self._navigation)
        self._filling = ObjectFilling(scene, worker, self.requests, target, self.trail, self._navigation, say)
        self._queue = StepQueue(self.trail, self.requests, self._filling)
        self.changes = SceneChanges(self.trail, target, self.requests, self._neighbours, self._display, say)
        self._undo = UndoRedo(scene, self.trail, self.requests, target, self._learning, self._navigation, say)

    @property
    def waiting(self) -> bool:
        """Whether something is awaited that the worker has not begun."""
        return self.requests.loading is not None

    @property
    def computing(self) -> bool:
        """Whether a proposal is awaited for any slice."""
        if self.waiting or self._filling.running or self.requests.reviving is not None:
            return True
        return any(w.computing for w in self.trail)

    @property
    def queued(self) -> Queued | None:
        """The step that waits for the one before."""
        return self._queue.queued

    @property
    def current(self) -> Work | None:
        """What is worked on."""
        return self.trail.current

    @property
    def followed(self) -> FollowedObject | None:
        """The whole object followed last in this volume, as far as it is not taken back."""
        return self._filling.latest

    @property
    def objects(self) -> tuple[FollowedObject | SavedObject, ...]:
        """The followed objects that a saved scene holds."""
        return self._filling.kept

    @property
    def following(self) -> Work | None:
        """The work whose object is being followed."""
        return self._filling.following

    @property
    def has_volume(self) -> bool:
        """Whether there is something to click on."""
        return self._selection.volume is not None

    @property
    def has_view(self) -> bool:
        """Whether there is a slice view to move."""
        return self._selection.large is not None

    @property
    def can_continue(self) -> bool:
        """Whether there is a segment to go on from, and nothing open on the slice."""
        work = self.trail.current
        is_free = work is None or work.finished or work.empty
        return self.has_volume and self.has_view and self._target.has_segment and is_free

    # Steps

    def seed(self, ras: Sequence[float], positive: bool, slice_node: Any) -> None:
        """The seed, or a further point, at world RAS in mm."""
        self._queue.drop()
        volume, node, at = self._selection.needed_volume(), self._selection.view(slice_node), checked_ras(ras)
        self.requests.with_engine(lambda: self._placing.seed(volume, node, at, positive))

    def box(self, one: Sequence[float], opposite: Sequence[float], slice_node: Any) -> None:
        """A box around the object, by two opposite corners at world RAS in mm."""
        self._queue.drop()
        volume, node = self._selection.needed_volume(), self._selection.view(slice_node)
        first, second = checked_ras(one), checked_ras(opposite)
        self.requests.with_engine(lambda: self._placing.box(volume, node, first, second))

    def scribble(self, path: Sequence[Sequence[float]], positive: bool, slice_node: Any) -> None:
        """A freehand line in the object, or outside it, through places at world RAS in mm."""
        self._queue.drop()
        volume, node = self._selection.needed_volume(), self._selection.view(slice_node)
        places = [checked_ras(place) for place in path]
        self.requests.with_engine(lambda: self._placing.scribble(volume, node, places, positive))

    def continue_segment(self) -> None:
        """Begin on the slice of the large view with what the segment has there."""
        self._queue.drop()
        volume, node = self._selection.needed_volume(), self._selection.view(None)
        self.requests.with_engine(lambda: self._placing.go_on_from_segment(volume, node))

    def pick(self, k: int) -> None:
        """A new proposal from candidate k. A step that is still being computed gives way."""

        def step() -> None:
            work, session = self._open()
            self._ask(work, session.cancel().pick(k))

        self._queue.now_or_next(f"Alternative {k + 1}", step)

    def none_of_these(self) -> None:
        """A new proposal without what is shown."""

        def step() -> None:
            work, session = self._open()
            self._ask(work, session.cancel().none_of_these())

        self._queue.now_or_next("None of these", step)

    def keep(self) -> None:
        """The same recommendation, with other alternatives."""

        def step() -> None:
            work, session = self._open()
            self._ask(work, session.cancel().keep())

        self._queue.now_or_next("Other options", step)

    def finish(self, candidate: int | None) -> None:
        """Approve the recommendation, or take a candidate as it is."""
        name = "Approval" if candidate is None else f"Taking alternative {candidate + 1}"

        def step() -> None:
            work = self._finish(candidate)
            if self._filling.belongs(work):
                self._filling.begin(work)

        self._queue.now_or_next(name, step)

    def approve_next(self) -> None:
        """Approve the recommendation, where that is still open, and go on."""
        self._queue.now_or_next("Approval", self._approve_next)

    def _approve_next(self) -> None:
        work = self.trail.current
        if work is None or not work.finished:
            work = self._finish(None)
            if self._filling.belongs(work):
                self._filling.begin(work, then=self._filling.go_to_doubtful)
                return
        elif self._filling.holds(work) and self._filling.go_to_doubtful():
            return
        self._navigation.on(self._forward)

    def _finish(self, candidate: int | None) -> Work:
        work, session = self._open()
        if work.computing:
            raise StillComputingError
        session = replace(session, learn=self._settings.learn)
        finished = session.approve() if candidate is None else session.take(candidate)
        volume = self._scene.GetNodeByID(work.view.volume_id)
        self._target.write(finished.result().mask, work, volume, self.trail.on(work.key))
        self._target.sign(work, finished.model)
        work.hold(finished)
        self.trail.settle()
        self._learning.follow(work)
        self._look_ahead(work)
        return work

    def next_doubtful(self) -> None:
        """Go to the next doubtful slice of the whole object and propose its outline there."""
        self._queue.now_or_next("The next doubtful slice", self._filling.next_doubtful)

    def first_anchor(self) -> None:
        """Go back to the slice the whole object was followed from."""
        self._queue.now_or_next("The first slice", self._filling.first_anchor)

    def whole_object(self) -> None:
        """Approve what is recommended, where that is still open, and follow the object through its slices."""
        self._queue.now_or_next("The whole object", self._whole_object)

    def _whole_object(self) -> None:
        if self.trail.current is None or not self.trail.current.finished:
            self._finish(None)
        self._filling.begin(self.trail.current)

    def cancel(self) -> None:
        """Drop the step that waits; where none does, stop whatever is computed for the user."""
        if self._queue.drop():
            return
        if self._filling.cancel():
            self._say("Cancelled; nothing was changed.", "hint")
        self._undo.cancel()

    def undo(self) -> None:
        """One step back; from the beginning of a slice to the slice before."""
        self._queue.drop()
        if not self._filling.cancel():
            self._undo.undo()

    def take_back_open(self) -> None:
        """Take all steps back on slices that are not approved."""
        self._queue.drop()
        self._undo.take_back_open()

    def redo(self) -> None:
        """Bring back the step undone last; forward over slices."""
        self._queue.now_or_next("Redo", self._undo.redo)

    def next_slice(self, steps: int) -> None:
        """Go on along the view; the object's middle is the seed there."""
        self._forward = -1 if steps < 0 else 1
        self._queue.now_or_next("The next slice", lambda: self._navigation.on(steps))

    def go_on(self) -> None:
        """Do the step that waits, once nothing is computed."""
        if not self.computing:
            self._queue.go_on()

    def recolor(self, colors: Any) -> None:
        """Draw in other colours (`overlays.OverlayColors`)."""
        self._display.recolor(colors)

    def learn_changed(self) -> None:
        """The user wants the slice on the screen learnt from, or not."""
        work = self.trail.current
        if work is not None and work.session is not None and work.session.finished:
            work.session = replace(work.session, learn=self._settings.learn)
            self._learning.follow(work)

    # What is chosen and shown

    def look(self, node: Any) -> None:
        """A view has moved: show the work of the slice it shows now."""
        self._navigation.look(node)

    def volume_chosen(self) -> None:
        """Another volume: its slices are worked on from now on."""
        self.requests.stop()
        self._queue.drop()
        self._target.choose_volume(self._selection.volume)
        self._know_volume()
        self.trail.current = None
        self.look(None)

    def restore(
        self,
        works: list[Work],
        current: Work | None,
        objects: Sequence[SavedObject] = (),
        following: Work | None = None,
    ) -> None:
        """Take up saved works; the current one is shown, and computed again.

        objects: that were followed. following: the work whose object was just being followed.
        """
        self.requests.stop()
        self.requests.stop_request()
        self._queue.drop()
        self.trail.clear()
        self._know_volume()
        for work in works:
            self.trail.begin(work)
            node = self._scene.GetNodeByID(work.node_id)
            if node is not None:
                self._selection.follow(node)
        for work in works:
            point, work.opening = work.opening, None
            if point is not None and work is current:
                self.requests.open(work, point, given=work.given)
        self._filling.restore(objects, following)
        self.trail.current = None
        if current is None or current.view.volume_id != self.trail.volume_id:
            return
        self.trail.current = current
        if current.opening is None:
            self._navigation.go(current)

    def close(self) -> None:
        """Take our own nodes away."""
        self._display.remove()

    def show(self) -> None:
        """Bring the overlays in line with what is worked on."""
        work = self.trail.current
        if work is None or work.finished or work.proposal is None:
            self._display.clear()
            return
        self.requests.draw_cards(work)
        node = self._scene.GetNodeByID(work.node_id)
        if node is None:
            self._display.clear()
            return
        small = [n.GetID() for n in self._selection.small] if node is self._selection.large else []
        large = dict.fromkeys(n.GetID() for n in (node, self._selection.large) if n is not None)
        self._display.show(work, list(large), small)

    # Asking the engine

    def _open(self) -> tuple[Work, Session]:
        """The current work and its session. Raises StepError where there is no proposal."""
        work = self.trail.current
        if work is None or (work.session is None and work.opening is None and work.log is None):
            raise StepError(SEED_FIRST if self.has_volume else "Choose a volume to begin.")
        if work.opening is not None or work.session is None:
            raise StillComputingError
        if work.empty:
            raise StepError(SEED_FIRST)
        return work, work.session

    def _ask(self, work: Work, pending: Session) -> None:
        self.trail.settle()
        self.requests.ask(work, pending)

    def _answered(self, work: Work) -> None:
        """A proposal has come, or did not."""
        if work.session is None and work.log is None and work.opening is None:
            self.trail.drop(lambda w: w is work)
            return
        self.trail.rest()
        self._look_ahead(work)

    def _look_ahead(self, work: Work) -> None:
        mask = work.approved()
        if mask is None and work.proposal is not None:
            mask = work.proposal.recommendation
        engine = self.requests.engine
        if mask is not None and engine is not None and not work.stale and work is self.trail.current:
            self._neighbours.encode(work, mask, engine)

    def _know_volume(self) -> None:
        volume = self._selection.volume
        self.trail.volume_id = volume.GetID() if volume is not None else ""
