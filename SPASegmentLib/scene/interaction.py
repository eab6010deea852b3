"""The interaction on a scene: seeds, picks, approvals, undo and redo over slices, carrying over.

`Workbench` calls it, and turns what it raises into sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.errors import SeedError, StepError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.scene.ahead import Ahead
from SPASegmentLib.scene.asking import Asking
from SPASegmentLib.scene.carry import carried_seed, central_point, checked_ras, inside, shows
from SPASegmentLib.scene.chosen import Chosen
from SPASegmentLib.scene.cut import ViewSlice, cut_view
from SPASegmentLib.scene.engine_room import EngineRoom
from SPASegmentLib.scene.lessons import Lessons
from SPASegmentLib.scene.pictures import Pictures
from SPASegmentLib.scene.profile_desk import ProfileDesk
from SPASegmentLib.scene.settings import Settings
from SPASegmentLib.scene.target import Target, is_alive
from SPASegmentLib.scene.volumes import array_of
from SPASegmentLib.scene.work import Place, Trail, Work
from SPASegmentLib.scene.worker import Worker

if TYPE_CHECKING:
    from SPASegmentLib.scene.screen import Tone
    from SPASegmentLib.session import Session

SEED_FIRST = "Click a seed on the object first."
MOST_STEPS = 40
"""Points on one slice; each keeps a proposal in memory."""
STILL_COMPUTING = "The last step is still being computed; wait for it or cancel it first."


class Interaction:
    """The trail of works, and every step on it. To be called on the scene's thread."""

    def __init__(
        self,
        scene: Any,
        worker: Worker,
        chosen: Chosen,
        target: Target,
        desk: ProfileDesk,
        settings: Settings,
        say: Callable[[str, Tone], None],
        room: EngineRoom,
    ) -> None:
        self._scene, self._chosen, self._target, self._settings = scene, chosen, target, settings
        self._say = say
        self.trail = Trail()
        self._pictures = Pictures(scene)
        self._ahead = Ahead(worker)
        self._lessons = Lessons(worker, desk, say)
        self.asking = Asking(worker, desk, settings, self._answered, say)
        self._room = room
        self.use(room)

    def use(self, room: EngineRoom) -> None:
        """Another engine, from the next seed on."""
        self._room = room
        self.asking.room = room
        self._lessons.room = room

    @property
    def waiting(self) -> bool:
        """Whether something is awaited that the worker has not begun."""
        return self.asking.loading is not None

    @property
    def computing(self) -> bool:
        """Whether a proposal is awaited for any slice."""
        return self.waiting or self.asking.reviving is not None or any(w.computing for w in self.trail)

    @property
    def current(self) -> Work | None:
        """What is worked on."""
        return self.trail.current

    @property
    def has_volume(self) -> bool:
        """Whether there is something to click on."""
        return self._chosen.volume is not None

    @property
    def has_view(self) -> bool:
        """Whether there is a slice view to move."""
        return self._chosen.large is not None

    # Steps

    def seed(self, ras: Sequence[float], positive: bool, slice_node: Any) -> None:
        """The seed, or a further point, at world RAS in mm."""
        volume, node, at = self._chosen.needed_volume(), self._chosen.view(slice_node), checked_ras(ras)
        self.asking.with_engine(lambda: self._seed(volume, node, at, positive))

    def pick(self, k: int) -> None:
        """A new proposal from candidate k. A step that is still being computed gives way."""
        work, session = self._open()
        self._ask(work, session.cancel().pick(k))

    def none_of_these(self) -> None:
        """A new proposal without what is shown."""
        work, session = self._open()
        self._ask(work, session.cancel().none_of_these())

    def finish(self, candidate: int | None) -> None:
        """Approve the recommendation, or take a candidate as it is."""
        work, session = self._open()
        session = replace(session, learn=self._settings.learn)
        finished = session.approve() if candidate is None else session.take(candidate)
        self._target.write(finished.result().mask, work, self._volume_of(work), self.trail.on(work.key))
        work.hold(finished)
        self.trail.settle()
        self._lessons.follow(work)
        self._look_ahead(work)

    def cancel(self) -> None:
        """Stop whatever is computed for the user."""
        stopped = self.asking.stop()
        for work in self.trail:
            stopped = self._cancel(work) or stopped
        if stopped:
            self._say("Cancelled; nothing was changed.", "hint")

    def undo(self) -> None:
        """One step back; from the beginning of a slice to the slice before."""
        if self.asking.stop():
            return
        work = self.trail.current
        if work is not None and work.computing:
            carried = work.carried and (work.session is None or not work.session.done)
            before = self.trail.before() if carried else None
            self._cancel(work)
            if before is not None:
                self._go(before)
            return
        if work is None or work.empty:
            work = self.trail.before()
            if work is None:
                raise StepError("There is nothing to undo.")
            self._go(work, then=self._undo_step)
            return
        self.asking.revived(work, self._undo_step)

    def redo(self) -> None:
        """Bring back the step undone last; forward over slices."""
        work = self.trail.current
        if work is not None and work.computing:
            raise StepError(STILL_COMPUTING)
        if work is not None and work.can_redo:
            self.asking.revived(work, self._redo_step)
            return
        work = self.trail.after()
        if work is None:
            raise StepError("There is nothing to redo.")
        self._go(work, then=self._redo_step)

    def next_slice(self, steps: int) -> None:
        """Go on along the view; the object's middle is the seed there."""
        if steps == 0:
            raise StepError("Go at least one slice further.")
        self._chosen.needed_volume()
        work = self.trail.current
        if work is None or work.empty:
            self._move_only(steps)
            return
        mask = work.approved()
        if mask is None and work.session is None:
            raise StepError(STILL_COMPUTING if work.computing else SEED_FIRST)
        if mask is None:
            proposal = work.proposal
            if proposal is None:
                raise StepError(STILL_COMPUTING)
            mask = proposal.recommendation
        self._carry(work, mask, steps)

    def recolor(self, colors: Any) -> None:
        """Draw in other colours (`overlays.OverlayColors`)."""
        self._pictures.recolor(colors)

    def learn_changed(self) -> None:
        """The user wants the slice on the screen learnt from, or not."""
        work = self.trail.current
        if work is not None and work.session is not None and work.session.finished:
            work.session = replace(work.session, learn=self._settings.learn)
            self._lessons.follow(work)

    # What happens to the scene

    def look(self, node: Any) -> None:
        """A view has moved: show the work of the slice it shows now."""
        node = node if node is not None else self._chosen.large
        if node is None:
            return
        here = self.trail.current
        plane = array_of(node.GetSliceToRAS())
        if here is not None and (here.node_id != node.GetID() or shows(plane, here.view)):
            return
        volume = self._chosen.volume
        seen = [
            w
            for w in self.trail
            if w.node_id == node.GetID()
            and volume is not None
            and w.view.volume_id == volume.GetID()
            and shows(plane, w.view)
        ]
        if here is None and not seen:
            return
        self.trail.current = self.trail.latest(seen[-1].key) if seen else None
        if self.trail.current is not None:
            self.asking.revived(self.trail.current, lambda work: None)

    def volume_chosen(self) -> None:
        """Another volume: its slices are worked on from now on."""
        self.asking.stop()
        self.trail.current = None
        self.look(None)

    def volume_changed(self, volume: Any) -> None:
        """Voxels or position have changed: what was open on it no longer holds, what was approved does."""
        self._ahead.forget()
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
        self._ahead.forget()
        current = self.trail.current
        if self.trail.drop(lambda w: w.view.volume_id == node.GetID()) and self.trail.current is not current:
            self.asking.stop()
            self._say("The volume was removed; choose another one.", "problem")

    def scene_closed(self) -> None:
        """Everything goes."""
        self.asking.stop()
        self._ahead.forget()
        self._pictures.forget()
        self.trail = Trail()
        self._target.choose_segmentation(None)

    def restore(self, works: list[Work], current: Work | None) -> None:
        """Take up saved works; the current one is shown, and computed again."""
        self.asking.stop()
        self.asking.stop_request()
        self.trail = Trail()
        for work in works:
            self.trail.begin(work)
            node = self._scene.GetNodeByID(work.node_id)
            if node is not None:
                self._chosen.follow(node)
        for work in works:
            point, work.opening = work.opening, None
            if point is not None and work is current:
                self.asking.open(work, point)
        self.trail.current = current
        if current is not None and current.opening is None:
            self._go(current)

    def close(self) -> None:
        """Take our own nodes away."""
        self._pictures.remove()

    def show(self) -> None:
        """Bring the overlays in line with what is worked on."""
        work = self.trail.current
        if work is None or work.finished or work.proposal is None:
            self._pictures.clear()
            return
        node = self._scene.GetNodeByID(work.node_id)
        if node is None:
            self._pictures.clear()
            return
        small = [n.GetID() for n in self._chosen.small] if node is self._chosen.large else []
        self._pictures.show(work, [node.GetID()], small)

    # Seeds

    def _seed(self, volume: Any, node: Any, at: tuple[float, float, float], positive: bool) -> None:
        if not is_alive(volume) or not is_alive(node):
            raise StepError("The volume or its view is gone; choose a volume.")
        view = self._cut(volume, node, at)
        point = inside(view, *view.to_pixel(at), positive)
        if point is None:
            raise SeedError("The seed lies outside the slice; place it on the picture.")
        if not shows(array_of(node.GetSliceToRAS()), view):
            node.JumpSliceByOffsetting(*at)  # a seed that was not clicked in this view
        work = self.trail.latest(view.key)
        if work is None or work.finished or work.stale or work.stuck:
            self._first(positive)
            place = Place(array_of(node.GetSliceToRAS()), at)
            work = Work(view, place, node.GetID())
            self.trail.begin(work)
            self._chosen.follow(node)
            self.asking.open(work, point)
            return
        self.trail.current = work
        if work.opening is not None or work.empty:
            self._first(positive)
            self.trail.settle()
            self.asking.open(work, point)
            return
        self.asking.revived(work, lambda w: self._further(w, point))

    def _further(self, work: Work, point: PointPrompt) -> None:
        session = _of(work)
        if len(session.done) >= MOST_STEPS:
            raise StepError(f"This slice has had {MOST_STEPS} steps; approve it, or undo some of them.")
        self._ask(work, session.cancel().add_point(point.row, point.col, positive=point.positive))

    def _first(self, positive: bool) -> None:
        if not positive:
            raise SeedError("The first point marks the object; place a positive point first.")

    def _cut(self, volume: Any, node: Any, at: Sequence[float] | None) -> ViewSlice:
        engine = self._room.engine
        own = engine.model.window if engine is not None else None
        return cut_view(volume, node, at_ras=at, window=self._settings.window, model_window=own)

    # Asking the engine

    def _open(self) -> tuple[Work, Session]:
        """The current work and its session. Raises StepError where there is no proposal."""
        work = self.trail.current
        if work is None or (work.session is None and work.opening is None and work.log is None):
            raise StepError(SEED_FIRST if self.has_volume else "Choose a volume to begin.")
        if work.opening is not None or work.session is None:
            raise StepError(STILL_COMPUTING)
        if work.empty:
            raise StepError(SEED_FIRST)
        return work, work.session

    def _ask(self, work: Work, pending: Session) -> None:
        self.trail.settle()
        self.asking.ask(work, pending)

    def _answered(self, work: Work) -> None:
        """A proposal has come, or did not."""
        if work.session is None and work.log is None and work.opening is None:
            self.trail.drop(lambda w: w is work)
            return
        self.trail.rest()
        self._look_ahead(work)

    def _cancel(self, work: Work) -> bool:
        """Drop what is awaited on one slice."""
        if not work.computing:
            return False
        self.asking.stop_request()
        if work.opening is not None:
            work.opening = None
            if work.session is None and work.log is None:
                self.trail.drop(lambda w: w is work)
        elif work.session is not None:
            work.hold(work.session.cancel())
        return True

    def _look_ahead(self, work: Work) -> None:
        mask = work.approved()
        if mask is None and work.proposal is not None:
            mask = work.proposal.recommendation
        engine = self._room.engine
        if mask is not None and engine is not None and not work.stale and work is self.trail.current:
            self._ahead.encode(work, mask, engine)

    # Undo and redo

    def _undo_step(self, work: Work) -> None:
        session = _of(work)
        if session.finished:
            try:
                self._target.take_back(work, self._scene.GetNodeByID(work.view.volume_id), list(self.trail))
            except StepError as gone:
                self._say(str(gone), "problem")
            work.hold(session.undo())
            self._lessons.follow(work)
            return
        alone = work.carried and len(session.done) == 1
        work.hold(session.undo())
        before = self.trail.before() if alone else None
        if before is not None:
            self._go(before)

    def _redo_step(self, work: Work) -> None:
        session = _of(work).redo()
        if session.finished:
            mask = session.result().mask
            self._target.bring_back(work, mask, self._volume_of(work), self.trail.on(work.key))
        work.hold(session)
        self._lessons.follow(work)

    # Going from slice to slice

    def _go(self, work: Work, then: Callable[[Work], None] = lambda work: None) -> None:
        """Show a work's slice."""
        self.trail.current = work
        height, width = work.view.image.shape
        self._jump(work, work.view, (height - 1) / 2, (width - 1) / 2)
        self.asking.revived(work, then)

    def _jump(self, work: Work, view: ViewSlice, row: float, col: float) -> None:
        node = self._scene.GetNodeByID(work.node_id)
        if node is not None:
            node.JumpSliceByOffsetting(*(float(v) for v in view.to_world(row, col)))

    def _move_only(self, steps: int) -> None:
        node = self._chosen.view()
        following = self._cut(self._chosen.needed_volume(), node, None).moved(steps)
        height, width = following.image.shape
        ras = following.to_world((height - 1) / 2, (width - 1) / 2)
        node.JumpSliceByOffsetting(*(float(v) for v in ras))
        self.trail.current = None
        self.look(node)

    def _carry(self, work: Work, mask: np.ndarray, steps: int) -> None:
        if work.stale:
            raise StepError("The volume has changed since; click a seed on the object.")
        following = self._ahead.view(work, steps) or work.view.moved(steps)
        there = self.trail.latest(following.key)
        if there is not None and not there.empty:
            self._go(there)
            return
        near = _first_point(work)
        seed = carried_seed(mask, work.view, following, near)
        middle = central_point(mask, work.view.image.spacing, near)
        if seed is None or middle is None:
            raise StepError("The object's middle lies outside the next slice; click a seed there.")
        node = self._scene.GetNodeByID(work.node_id)
        if node is None:
            raise StepError("The view of this slice is gone; click a seed in another view.")
        place = work.place.moved(steps, exact=work.view.plane.index is not None)
        unapproved = not work.finished
        further = Work(following, place, work.node_id, carried=True)
        self.trail.begin(further)
        self._jump(further, following, seed.row, seed.col)
        self.asking.open(further, seed)
        if unapproved:
            further.doubts = ("The slice before is not approved; go back to it to approve it.",)

    def _volume_of(self, work: Work) -> Any:
        node = self._scene.GetNodeByID(work.view.volume_id)
        if node is None:
            raise StepError("The volume is gone; choose a volume.")
        return node


def _of(work: Work) -> Session:
    if work.session is None:
        raise StepError(STILL_COMPUTING)
    return work.session


def _first_point(work: Work) -> tuple[float, float] | None:
    if work.session is None or not work.session.points:
        return None
    point = work.session.points[0]
    return point.row, point.col
