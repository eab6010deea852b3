"""The whole object around the approved slice on the screen: followed by the worker, written in one step.

A slice of it that is reviewed and approved holds from then on, and what lies next to it is followed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.errors import Cancelled, SPASegmentError, StepError
from SPASegmentLib.imaging.stack import ViewStack
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.mrml.inference_requests import InferenceRequests
from SPASegmentLib.mrml.navigation import SliceNavigation
from SPASegmentLib.mrml.screen import ObjectShown, SliceMark
from SPASegmentLib.mrml.target import Target
from SPASegmentLib.mrml.work import Trail, Work, light, whole
from SPASegmentLib.mrml.worker import JobOutcome, Ticket, Worker
from SPASegmentLib.profiles.evidence import object_prior
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    from SPASegmentLib.inference.fill import FillState, ObjectSlice, WholeObject
    from SPASegmentLib.mrml.screen import SliceKind, Tone

BEYOND = 3
"""Slices beyond an object's ends on which an approved mask still belongs to it."""
KEPT = 4
"""Followed objects that are kept, for review and undo; older ones stay as they were written."""


@dataclass(frozen=True, eq=False)
class SavedObject:
    """An object of a saved state, see `FollowedObject`."""

    work: Work
    first: Work
    model: str
    state: FillState
    looked_at: frozenset[int]


@dataclass(frozen=True, eq=False)
class FollowedObject:
    """An object as it was followed.

    work: whose approval brought it. first: of the slice it began on. model: hash of the one that followed it.
    views: number of a slice, from 0 on the first one along the view's normal -> the slice, for those of the
    object and a few beyond. records: of its slices in a saved state, once it was saved.
    """

    work: Work
    first: Work
    model: str
    state: FillState
    stack: ViewStack
    views: dict[int, ViewSlice]
    shown: ObjectShown
    looked_at: set[int] = field(default_factory=set)
    records: list[Any] = field(default_factory=list, repr=False)

    @property
    def found(self) -> WholeObject:
        """Its slices."""
        return self.state.object

    def number_of(self, work: Work) -> int | None:
        """The number of a work's slice, where its mask is of this object; else None."""
        mask = work.approved()
        number = next((n for n, view in self.views.items() if view.key == work.key), None)
        if number is None or mask is None:
            return None
        masks = self.found.masks
        nearest = min(masks, key=lambda n: abs(n - number))
        return number if (self.stack.moved(masks[nearest], nearest, number) & mask).any() else None

    def next_doubtful(self) -> ObjectSlice | None:
        """The most doubtful slice that was not looked at, again the first once all were; None without any."""
        doubtful = self.found.doubtful
        if all(one.index in self.looked_at for one in doubtful):
            self.looked_at.clear()
        return next((one for one in doubtful if one.index not in self.looked_at), None)


class ObjectFilling:
    """Follows the object of a work through the slices of its view. To be called on the scene's thread."""

    def __init__(
        self,
        scene: Any,
        worker: Worker,
        requests: InferenceRequests,
        target: Target,
        trail: Trail,
        navigation: SliceNavigation,
        say: Callable[[str, Tone], None],
    ) -> None:
        self._scene, self._worker, self._requests = scene, worker, requests
        self._target, self._trail, self._say = target, trail, say
        self._navigation = navigation
        self._ticket: Ticket | None = None
        self._objects: list[FollowedObject] = []
        self._saved: tuple[SavedObject, ...] = ()
        self.following: Work | None = None

    @property
    def running(self) -> bool:
        """Whether an object is being followed."""
        return self._ticket is not None

    @property
    def kept(self) -> tuple[FollowedObject | SavedObject, ...]:
        """What is to be saved, those first that are still to be taken up from a saved state."""
        return (*self._saved, *self._objects)

    @property
    def latest(self) -> FollowedObject | None:
        """The object followed last in the chosen volume, as far as it is not taken back."""
        works = list(self._trail)
        self._objects = [one for one in self._objects if one.work in works]
        here = [
            one
            for one in self._objects
            if one.work.finished
            and one.first.finished
            and not one.work.stale
            and one.work.view.volume_id == self._trail.volume_id
        ]
        return here[-1] if here else None

    def belongs(self, work: Work) -> bool:
        """Whether an approved work is of the object on the screen, and not what it was followed from."""
        followed = self.latest
        return (
            followed is not None
            and work is not followed.first
            and work.target == followed.work.target
            and followed.number_of(work) is not None
        )

    def holds(self, work: Work) -> bool:
        """Whether an approved work is of the object on the screen."""
        followed = self.latest
        return followed is not None and (work is followed.first or self.belongs(work))

    def begin(self, work: Work | None, then: Callable[[], object] = lambda: None) -> None:
        """Follow the object of an approved work, or anew what lies next to it in the object on the screen.

        then: called once it is written. Raises StepError where the volume has changed since.
        """
        if work is None or not work.finished:
            raise StepError("Approve the object on a slice first.")
        if work.stale:
            raise StepError("The volume has changed since; click a seed on the object.")
        self._requests.with_engine(lambda: self._follow(work, then))

    def restore(self, saved: Sequence[SavedObject], following: Work | None) -> None:
        """Take up saved objects, whose slices the worker cuts; then go on with what was being followed."""
        self._ticket = self.following = None
        self._objects, self._saved = [], tuple(saved)
        waiting = self._saved
        if not waiting and following is None:
            return

        def job(token: Event) -> list[FollowedObject]:
            return [again for one in waiting if (again := _taken_up(one)) is not None]

        def done(outcome: JobOutcome) -> None:
            if self._saved is not waiting:
                return  # another state was taken up meanwhile
            self._saved = ()
            self._objects = [*(outcome.value or ()), *self._objects][-KEPT:]
            if following is not None and following in list(self._trail) and self._ticket is None:
                self.begin(following)

        self._worker.chore(job, done)

    def cancel(self) -> bool:
        """Stop following; nothing is written then. Returns whether there was anything to stop."""
        ticket, self._ticket, self.following = self._ticket, None, None
        if ticket is not None:
            self._worker.cancel()
        return ticket is not None

    def next_doubtful(self) -> None:
        """Begin on the next doubtful slice from its outline. Raises StepError where there is none."""
        self._needed()
        if not self.go_to_doubtful():
            raise StepError("No slice of this object is doubtful.")

    def go_to_doubtful(self) -> bool:
        """Begin on the next doubtful slice. Returns whether there is one."""
        followed = self.latest
        there = followed.next_doubtful() if followed is not None else None
        if followed is None or there is None:
            return False
        followed.looked_at.add(there.index)
        self._navigation.review(followed.first, followed.views[there.index], there)
        return True

    def first_anchor(self) -> None:
        """Go back to the slice the object was followed from. Raises StepError without an object."""
        self._navigation.go(self._needed().first)

    def _needed(self) -> FollowedObject:
        followed = self.latest
        if followed is None:
            raise StepError("Follow the whole object first (F).")
        return followed

    def _follow(self, work: Work, then: Callable[[], object]) -> None:
        mask, engine, view = work.approved(), self._requests.engine, work.view
        if mask is None or engine is None:
            raise StepError("Approve the object on this slice first.")
        before = self.latest
        number = before.number_of(work) if before is not None and self._same_target(before, work) else None
        if number is None:
            before = None
        log_prior = None if work.session is None else object_prior(work.session, mask)

        def job(token: Event) -> FollowedObject:
            from SPASegmentLib.inference.fill import ObjectFill

            if before is None:
                stack = ViewStack(view)
                fill = ObjectFill(engine, stack, log_prior=log_prior)
            else:
                stack, state = before.stack, before.state
                if before.model != engine.model.hash:  # its prior is of that model's components
                    state = replace(state, log_prior=log_prior)
                fill = ObjectFill.resumed(engine, stack, state)
            fill.approve(number or 0, mask)

            def say(done: str) -> None:
                self._worker.report(lambda: self._progress(ticket, done))

            def across(done: int, of: int) -> None:
                say(f"Looking at the object across its slices, {min(done, of)} of {of}")

            for count, _ in enumerate(fill.run(token, across), start=1):
                say(f"Following the object, {count_of(count, 'slice')} so far")
            return _followed(work, fill.state, engine.model.hash, stack, before)

        ticket = self._worker.request(job, lambda outcome: self._done(ticket, before, then, outcome))
        self._ticket, self.following = ticket, work
        self._say("Following the object; Esc cancels.", "busy")

    @staticmethod
    def _same_target(before: FollowedObject, work: Work) -> bool:
        return before.work.target == work.target

    def _progress(self, ticket: Ticket, done: str) -> None:
        if ticket is self._ticket:
            self._say(f"{done}; Esc cancels.", "busy")

    def _done(
        self,
        ticket: Ticket,
        before: FollowedObject | None,
        then: Callable[[], object],
        outcome: JobOutcome,
    ) -> None:
        if ticket is not self._ticket:
            return  # cancelled, or another one has begun
        self._ticket = self.following = None
        if isinstance(outcome.error, Cancelled):
            return
        if outcome.error is not None:
            raise outcome.error
        followed: FollowedObject = outcome.value
        work = followed.work
        volume = self._scene.GetNodeByID(work.view.volume_id)
        if work.stale or not work.finished or volume is None or work not in list(self._trail):
            raise StepError("The slice or its volume has changed meanwhile; press F again.")
        self._target.write_further(_to_write(followed, before), work, volume, list(self._trail))
        self._objects = [*self._objects, followed][-KEPT:]
        self._say(_in_words(followed.found), "done")
        then()


def _followed(
    work: Work, state: FillState, model: str, stack: ViewStack, before: FollowedObject | None
) -> FollowedObject:
    """What is kept of an object that has been followed. before: as it was before a slice was reviewed."""
    found = state.object
    first, last = found.slices[0].index, found.slices[-1].index
    if before is not None:
        first, last = min(first, *before.found.masks), max(last, *before.found.masks)
    views = _views(stack, first, last)
    followed = FollowedObject(
        work, work if before is None else before.first, model, state, stack, views, _shown(found, views)
    )
    if before is not None:
        held = before.found.masks
        followed.looked_at.update(
            n
            for n in before.looked_at
            if n in held and n in found.masks and np.array_equal(held[n], found.masks[n])
        )
    return followed


def _taken_up(saved: SavedObject) -> FollowedObject | None:
    """A saved object with its slices; None where they are others now."""
    found = saved.state.object
    try:
        stack = ViewStack(whole(saved.first.view))
    except SPASegmentError:
        return None
    views = _views(stack, found.slices[0].index, found.slices[-1].index)
    if any(one.index not in views or views[one.index].shape != one.mask.shape for one in found.slices):
        return None
    shown, looked_at = _shown(found, views), set(saved.looked_at)
    return FollowedObject(saved.work, saved.first, saved.model, saved.state, stack, views, shown, looked_at)


def _views(stack: ViewStack, first: int, last: int) -> dict[int, ViewSlice]:
    """The slices of an object and a few beyond, without their pixels."""
    seen = {n: stack.view(n) for n in range(first - BEYOND, last + BEYOND + 1)}
    return {n: light(view) for n, view in seen.items() if view is not None}


def _shown(found: WholeObject, views: dict[int, ViewSlice]) -> ObjectShown:
    """What a face draws of an object."""
    marks = []
    for one in found.slices:
        view = views[one.index]
        middle = view.to_world((view.shape[0] - 1) / 2, (view.shape[1] - 1) / 2)
        ras = (float(middle[0]), float(middle[1]), float(middle[2]))
        kind: SliceKind = "anchor" if one.anchor else "doubtful" if one.reason else "carried"
        marks.append(SliceMark(one.index, ras, kind, one.reason, round(one.expected_dice, 3)))
    matrix = next(iter(views.values())).pixel_to_world[:3, :2]
    normal = np.cross(matrix[:, 0], matrix[:, 1])
    normal = normal / np.linalg.norm(normal)
    across = (float(normal[0]), float(normal[1]), float(normal[2]))
    return ObjectShown(round(found.volume_ml, 4), across, tuple(marks))


def _to_write(
    followed: FollowedObject, before: FollowedObject | None
) -> list[tuple[ViewSlice, np.ndarray, np.ndarray | None]]:
    """The slices that have changed: slice, mask, and the mask it had before. Approved ones are written."""
    masks = followed.found.masks
    anchors = {one.index for one in followed.found.slices if one.anchor}
    had = before.found.masks if before is not None else {}
    changed = []
    for number in sorted(masks.keys() | had.keys()):
        new, old = masks.get(number), had.get(number)
        if number in anchors:
            continue
        if new is not None and old is not None and np.array_equal(new, old):
            continue
        view = followed.views[number]
        changed.append((view, np.zeros(view.shape, dtype=bool) if new is None else new, old))
    return changed


def _in_words(found: WholeObject) -> str:
    doubtful = len(found.doubtful)
    doubt = f", {doubtful} doubtful (Space goes there)" if doubtful else ""
    return (
        f"Whole object: {found.volume_ml:.2f} ml on {count_of(len(found.slices), 'slice')}{doubt}; "
        "Backspace takes it back."
    )
