"""The interaction on a scene: seeds, picks and approvals, and what the scene does to them.

`Controller` calls it, and turns what it raises into sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from SPASegmentLib.errors import SeedError, StepError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.mrml.carry import checked_ras, inside, shows
from SPASegmentLib.mrml.engine_holder import EngineHolder
from SPASegmentLib.mrml.inference_requests import InferenceRequests, NeighbourEncoding
from SPASegmentLib.mrml.navigation import SliceNavigation
from SPASegmentLib.mrml.profile_controller import ProfileController, ProfileLearning
from SPASegmentLib.mrml.proposal_display import ProposalDisplay
from SPASegmentLib.mrml.selection import SceneSelection
from SPASegmentLib.mrml.settings import InteractionSettings
from SPASegmentLib.mrml.target import Target, is_alive
from SPASegmentLib.mrml.undo import UndoRedo
from SPASegmentLib.mrml.volumes import array_of
from SPASegmentLib.mrml.whole_object import FollowedObject, ObjectFilling
from SPASegmentLib.mrml.work import (
    SEED_FIRST,
    SlicePosition,
    StillComputingError,
    Trail,
    Work,
    session_of,
)
from SPASegmentLib.mrml.worker import Worker

if TYPE_CHECKING:
    from SPASegmentLib.inference.session import Session
    from SPASegmentLib.mrml.screen import Tone


@dataclass(frozen=True, eq=False)
class Queued:
    """A step that comes after the one computed now.

    name: in words. work, proposal: on the screen then. filling: whether the whole object was followed then.
    """

    name: str
    step: Callable[[], None]
    work: Work | None
    proposal: object
    filling: bool = False


MOST_STEPS = 40
"""Points on one slice; each keeps a proposal in memory."""


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
        """room: of the model in use."""
        self._scene, self._selection, self._target, self._settings = scene, selection, target, settings
        self._say = say
        self.trail = Trail()
        self.queued: Queued | None = None
        self._forward = 1
        self._display = ProposalDisplay(scene)
        self._neighbours = NeighbourEncoding(worker)
        self._learning = ProfileLearning(worker, holder, profiles, say)
        self.requests = InferenceRequests(worker, holder, profiles, settings, self._answered, say)
        self._navigation = SliceNavigation(
            scene, selection, settings, self.trail, self.requests, self._neighbours
        )
        self._filling = ObjectFilling(scene, worker, self.requests, target, self.trail, self._navigation, say)
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
    def current(self) -> Work | None:
        """What is worked on."""
        return self.trail.current

    @property
    def followed(self) -> FollowedObject | None:
        """The whole object followed last in this volume, as far as it is not taken back."""
        return self._filling.latest

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
        self.queued = None
        volume, node, at = self._selection.needed_volume(), self._selection.view(slice_node), checked_ras(ras)
        self.requests.with_engine(lambda: self._seed(volume, node, at, positive))

    def continue_segment(self) -> None:
        """Begin on the slice of the large view with what the segment has there."""
        self.queued = None
        volume, node = self._selection.needed_volume(), self._selection.view(None)
        self.requests.with_engine(lambda: self._continue(volume, node))

    def pick(self, k: int) -> None:
        """A new proposal from candidate k. A step that is still being computed gives way."""

        def step() -> None:
            work, session = self._open()
            self._ask(work, session.cancel().pick(k))

        self._now_or_next(f"Alternative {k + 1}", step)

    def none_of_these(self) -> None:
        """A new proposal without what is shown."""

        def step() -> None:
            work, session = self._open()
            self._ask(work, session.cancel().none_of_these())

        self._now_or_next("None of these", step)

    def keep(self) -> None:
        """The same recommendation, with other alternatives."""

        def step() -> None:
            work, session = self._open()
            self._ask(work, session.cancel().keep())

        self._now_or_next("Other options", step)

    def finish(self, candidate: int | None) -> None:
        """Approve the recommendation, or take a candidate as it is."""
        name = "Approval" if candidate is None else f"Taking alternative {candidate + 1}"

        def step() -> None:
            work = self._finish(candidate)
            if self._filling.belongs(work):
                self._filling.begin(work)

        self._now_or_next(name, step)

    def approve_next(self) -> None:
        """Approve the recommendation, where that is still open, and go on."""
        self._now_or_next("Approval", self._approve_next)

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
        self._target.write(finished.result().mask, work, self._volume_of(work), self.trail.on(work.key))
        work.hold(finished)
        self.trail.settle()
        self._learning.follow(work)
        self._look_ahead(work)
        return work

    def next_doubtful(self) -> None:
        """Go to the next doubtful slice of the whole object and propose its outline there."""
        self._now_or_next("The next doubtful slice", self._filling.next_doubtful)

    def first_anchor(self) -> None:
        """Go back to the slice the whole object was followed from."""
        self._now_or_next("The first slice", self._filling.first_anchor)

    def whole_object(self) -> None:
        """Approve what is recommended, where that is still open, and follow the object through its slices."""
        self._now_or_next("The whole object", self._whole_object)

    def _whole_object(self) -> None:
        if self.trail.current is None or not self.trail.current.finished:
            self._finish(None)
        self._filling.begin(self.trail.current)

    def cancel(self) -> None:
        """Drop the step that waits; where none does, stop whatever is computed for the user."""
        if self.queued is not None:
            self.queued = None
            return
        if self._filling.cancel():
            self._say("Cancelled; nothing was changed.", "hint")
        self._undo.cancel()

    def undo(self) -> None:
        """One step back; from the beginning of a slice to the slice before."""
        self.queued = None
        if not self._filling.cancel():
            self._undo.undo()

    def redo(self) -> None:
        """Bring back the step undone last; forward over slices."""
        self._now_or_next("Redo", self._undo.redo)

    def next_slice(self, steps: int) -> None:
        """Go on along the view; the object's middle is the seed there."""
        self._forward = -1 if steps < 0 else 1
        self._now_or_next("The next slice", lambda: self._navigation.on(steps))

    def _now_or_next(self, name: str, step: Callable[[], None]) -> None:
        """Do a step, or once what is computed for the slice on the screen is there."""
        self.queued = None
        work = self.trail.current
        try:
            if (work is None and self.waiting) or self._filling.running:
                raise StillComputingError
            step()
        except StillComputingError:
            proposal = work.proposal if work is not None else None
            self.queued = Queued(name, step, work, proposal, self._filling.running)

    def go_on(self) -> None:
        """Do the step that waits, once nothing is computed; drop it where what it waited for did not come."""
        if self.queued is None or self.computing:
            return
        queued, self.queued, work = self.queued, None, self.trail.current
        same = work is None or work.proposal in (None, queued.proposal)
        if work is None or queued.work not in (None, work) or (same and not queued.filling):
            return
        queued.step()

    def recolor(self, colors: Any) -> None:
        """Draw in other colours (`overlays.OverlayColors`)."""
        self._display.recolor(colors)

    def learn_changed(self) -> None:
        """The user wants the slice on the screen learnt from, or not."""
        work = self.trail.current
        if work is not None and work.session is not None and work.session.finished:
            work.session = replace(work.session, learn=self._settings.learn)
            self._learning.follow(work)

    # What happens to the scene

    def look(self, node: Any) -> None:
        """A view has moved: show the work of the slice it shows now."""
        self._navigation.look(node)

    def volume_chosen(self) -> None:
        """Another volume: its slices are worked on from now on."""
        self.requests.stop()
        self.queued = None
        self._target.choose_volume(self._selection.volume)
        self._know_volume()
        self.trail.current = None
        self.look(None)

    def volume_changed(self, volume: Any) -> None:
        """Voxels or position have changed: what was open on it no longer holds, what was approved does."""
        self._neighbours.forget()
        dropped = self.trail.drop(lambda w: w.view.volume_id == volume.GetID() and not w.finished)
        for work in self.trail:
            work.stale = work.stale or work.view.volume_id == volume.GetID()
        if dropped:
            self._say("The volume has changed; click the seed again.", "problem")

    def node_removed(self, node: Any) -> None:
        """A node is gone; with a volume go its works."""
        self._target.forget(node)
        if node is None or not node.IsA("vtkMRMLVolumeNode"):
            return
        self._neighbours.forget()
        current = self.trail.current
        dropped = self.trail.drop(lambda w: w.view.volume_id == node.GetID())
        self._target.keep(dropped)
        if dropped and self.trail.current is not current:
            self.requests.stop()
            self._say("The volume was removed; choose another one.", "problem")

    def scene_closed(self) -> None:
        """Everything goes."""
        self.requests.stop()
        self._neighbours.forget()
        self._display.forget()
        self.trail.clear()
        self._target.forget_all()

    def restore(self, works: list[Work], current: Work | None) -> None:
        """Take up saved works; the current one is shown, and computed again."""
        self.requests.stop()
        self.requests.stop_request()
        self.queued = None
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

    # Seeds

    def _seed(self, volume: Any, node: Any, at: tuple[float, float, float], positive: bool) -> None:
        _check_alive(volume, node)
        try:
            view = self._navigation.cut(volume, node, at)
        except SeedError:
            raise SeedError("This place lies outside the image; click on the picture.") from None
        point = inside(view, *view.to_pixel(at), positive)
        if point is None:
            raise SeedError("The seed lies outside the slice; place it on the picture.")
        if not shows(array_of(node.GetSliceToRAS()), view):
            node.JumpSliceByOffsetting(*at)  # a seed that was not clicked in this view
        work = self.trail.latest(view.key)
        if work is None or work.finished or work.stale or work.stuck or not work.goes_on_in(view):
            self._first(positive)
            place = SlicePosition(array_of(node.GetSliceToRAS()), at)
            work = Work(view, place, node.GetID())
            self.trail.begin(work)
            self._selection.follow(node)
            self.requests.open(work, point)
            return
        self.trail.current = work
        if work.opening is not None or work.empty:
            self._first(positive)
            self.trail.settle()
            self.requests.open(work, point)
            return
        self.requests.revived(work, lambda w: self._further(w, point))

    def _continue(self, volume: Any, node: Any) -> None:
        _check_alive(volume, node)
        view = self._navigation.cut(volume, node, None)
        there = self.trail.latest(view.key)
        if there is not None and not (there.finished or there.stale or there.stuck or there.empty):
            raise StepError("This slice is being segmented; approve it or undo its steps first.")
        mask = self._target.mask_on(view, volume)
        if not mask.any():
            raise StepError("The segment has nothing on this slice to go on from; click on the object.")
        work = Work(view, SlicePosition(array_of(node.GetSliceToRAS()), None), node.GetID())
        self.trail.begin(work)
        self._selection.follow(node)
        self.requests.open(work, carried_seed(mask, view.image.spacing), given=mask)

    def _further(self, work: Work, point: PointPrompt) -> None:
        session = session_of(work)
        if len(session.done) >= MOST_STEPS:
            raise StepError(f"This slice has had {MOST_STEPS} steps; approve it, or undo some of them.")
        self._ask(work, session.cancel().add_point(point.row, point.col, positive=point.positive))

    def _first(self, positive: bool) -> None:
        if not positive:
            raise SeedError("The first point marks the object; place a positive point first.")

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

    def _volume_of(self, work: Work) -> Any:
        node = self._scene.GetNodeByID(work.view.volume_id)
        if node is None:
            raise StepError("The volume is gone; choose a volume.")
        return node


def _check_alive(volume: Any, node: Any) -> None:
    if not is_alive(volume) or not is_alive(node):
        raise StepError("The volume or its view is gone; choose a volume.")
