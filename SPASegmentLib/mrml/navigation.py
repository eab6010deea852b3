"""From slice to slice: which work a view shows, going to a work's slice, carrying an object over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.errors import StepError
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.inference.carried import carried_seed as mask_seed
from SPASegmentLib.inference.messages import Carried
from SPASegmentLib.mrml.carry import carried_seed, central_point, shows
from SPASegmentLib.mrml.inference_requests import InferenceRequests, NeighbourEncoding
from SPASegmentLib.mrml.selection import SceneSelection
from SPASegmentLib.mrml.settings import InteractionSettings
from SPASegmentLib.mrml.slicing import cut_view
from SPASegmentLib.mrml.volumes import array_of
from SPASegmentLib.mrml.work import SEED_FIRST, StillComputingError, Trail, Work

if TYPE_CHECKING:
    from SPASegmentLib.inference.fill import ObjectSlice
    from SPASegmentLib.profiles.evidence import ObjectStyle


class SliceNavigation:
    """Moves the views, and the trail's current work with them. To be called on the scene's thread."""

    def __init__(
        self,
        scene: Any,
        selection: SceneSelection,
        settings: InteractionSettings,
        trail: Trail,
        requests: InferenceRequests,
        neighbours: NeighbourEncoding,
    ) -> None:
        self._scene, self._selection, self._settings = scene, selection, settings
        self._trail, self._requests, self._neighbours = trail, requests, neighbours

    def cut(self, volume: Any, node: Any, at: Sequence[float] | None) -> ViewSlice:
        """The slice a view shows, or the one parallel to it through a world RAS point in mm."""
        engine = self._requests.engine
        own = engine.model.window if engine is not None else None
        return cut_view(volume, node, at_ras=at, window=self._settings.window, model_window=own)

    def look(self, node: Any) -> None:
        """A view has moved: the work of the slice it shows now is the current one; None without a view."""
        node = node if node is not None else self._selection.large
        if node is None:
            self._trail.current = None
            return
        trail = self._trail
        here = trail.current
        plane = array_of(node.GetSliceToRAS())
        if here is not None and (here.node_id != node.GetID() or shows(plane, here.view)):
            return
        volume = self._selection.volume
        seen = [
            w
            for w in trail
            if w.node_id == node.GetID()
            and volume is not None
            and w.view.volume_id == volume.GetID()
            and shows(plane, w.view)
        ]
        if here is None and not seen:
            return
        trail.current = trail.latest(seen[-1].key) if seen else None
        if trail.current is not None:
            self._requests.revived(trail.current, lambda work: None)

    def go(self, work: Work, then: Callable[[Work], None] = lambda work: None) -> None:
        """Show a work's slice; then do something with its session."""
        self._trail.current = work
        height, width = work.view.image.shape
        self._jump(work, work.view, (height - 1) / 2, (width - 1) / 2)
        self._requests.revived(work, then)

    def on(self, steps: int) -> None:
        """Go `steps` slices along the view; the object's middle is the seed there. Raises StepError."""
        if steps == 0:
            raise StepError("Go at least one slice further.")
        self._selection.needed_volume()
        work = self._trail.current
        if work is None or work.empty:
            self._move_only(steps)
            return
        mask = work.approved()
        if mask is None and work.session is None:
            raise StillComputingError if work.computing else StepError(SEED_FIRST)
        if mask is None:
            proposal = work.proposal
            if proposal is None:
                raise StillComputingError
            mask = proposal.recommendation
        self._carry(work, mask, steps)

    def review(self, first: Work, view: ViewSlice, there: ObjectSlice) -> None:
        """Show a slice of a whole object, and begin on it from the object's outline, or go on where begun.

        first: the work the object was followed from; slices are numbered from its own.
        """
        begun = self._trail.latest(view.key)
        if begun is not None and not begun.empty:
            self.go(begun)
            return
        carried = Carried(there.mask.astype(np.float32))
        seed = mask_seed(there.mask, view.image.spacing)
        place = first.place.moved(there.index, exact=first.view.plane.index is not None)
        work = Work(view, place, first.node_id, carried=True)
        work.doubts = (f"This slice is doubtful: {there.reason}.",)
        self._trail.begin(work)
        self._jump(work, view, seed.row, seed.col)
        self._requests.open(work, seed, carried=carried)

    def _jump(self, work: Work, view: ViewSlice, row: float, col: float) -> None:
        node = self._scene.GetNodeByID(work.node_id)
        if node is not None:
            node.JumpSliceByOffsetting(*(float(v) for v in view.to_world(row, col)))

    def _move_only(self, steps: int) -> None:
        node = self._selection.view()
        following = self.cut(self._selection.needed_volume(), node, None).moved(steps)
        height, width = following.image.shape
        ras = following.to_world((height - 1) / 2, (width - 1) / 2)
        node.JumpSliceByOffsetting(*(float(v) for v in ras))
        self._trail.current = None
        self.look(node)

    def _carry(self, work: Work, mask: np.ndarray, steps: int) -> None:
        if work.stale:
            raise StepError("The volume has changed since; click a seed on the object.")
        following = self._neighbours.view(work, steps) or work.view.moved(steps)
        there = self._trail.latest(following.key)
        if there is not None and not there.empty:
            self.go(there)
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
        further = Work(following, place, work.node_id, carried=True, style=_style_after(work, mask))
        self._trail.begin(further)
        self._jump(further, following, seed.row, seed.col)
        self._requests.open(further, seed)
        if unapproved:
            further.doubts = ("The slice before is not approved; go back to it to approve it.",)


def _style_after(work: Work, mask: np.ndarray) -> ObjectStyle | None:
    """What the object's slices up to this one, which ends in `mask`, say of the style that is wanted.

    A slice that was taken as it came says nothing: the model would only agree with itself.
    """
    from SPASegmentLib.profiles.evidence import ObjectStyle, answered_first

    session = work.session
    first = None if session is None else answered_first(session)
    if session is None or first is None:
        return work.style
    return ObjectStyle.after(work.style, session.model, first, mask, session.image.spacing)


def _first_point(work: Work) -> tuple[float, float] | None:
    if work.session is None or not work.session.points:
        return None
    point = work.session.points[0]
    return point.row, point.col
