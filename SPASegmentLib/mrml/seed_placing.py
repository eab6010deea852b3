"""How work on a slice begins: with a seed, or from what its segment has there; and its further points."""

from __future__ import annotations

from typing import Any

from SPASegmentLib.errors import SeedError, StepError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.mrml.carry import inside, shows
from SPASegmentLib.mrml.inference_requests import InferenceRequests
from SPASegmentLib.mrml.navigation import SliceNavigation
from SPASegmentLib.mrml.selection import SceneSelection
from SPASegmentLib.mrml.target import Target, is_alive
from SPASegmentLib.mrml.volumes import array_of
from SPASegmentLib.mrml.work import SlicePosition, Trail, Work, session_of

MOST_STEPS = 40
"""Points on one slice; each keeps a proposal in memory."""


class SeedPlacing:
    """Begins works and gives them points. To be called on the scene's thread."""

    def __init__(
        self,
        selection: SceneSelection,
        target: Target,
        trail: Trail,
        requests: InferenceRequests,
        navigation: SliceNavigation,
    ) -> None:
        self._selection, self._target, self._trail = selection, target, trail
        self._requests, self._navigation = requests, navigation

    def seed(self, volume: Any, node: Any, at: tuple[float, float, float], positive: bool) -> None:
        """The seed of a new object, or a further point of what is open on the slice, at world RAS in mm."""
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
        work = self._trail.latest(view.key)
        if work is None or work.finished or work.stale or work.stuck:
            _first(positive)
            place = SlicePosition(array_of(node.GetSliceToRAS()), at)
            work = Work(view, place, node.GetID())
            self._trail.begin(work)
            self._selection.follow(node)
            self._requests.open(work, point)
            return
        self._trail.current = work
        if work.opening is not None or work.empty:
            _first(positive)
            self._trail.settle()
            self._requests.open(work, point)
            return
        self._requests.revived(work, lambda w: self._further(w, point))

    def go_on_from_segment(self, volume: Any, node: Any) -> None:
        """Begin with what the segment has on the slice that a view shows."""
        _check_alive(volume, node)
        view = self._navigation.cut(volume, node, None)
        there = self._trail.latest(view.key)
        if there is not None and not (there.finished or there.stale or there.stuck or there.empty):
            raise StepError("This slice is being segmented; approve it or undo its steps first.")
        mask = self._target.mask_on(view, volume)
        if not mask.any():
            raise StepError("The segment has nothing on this slice to go on from; click on the object.")
        work = Work(view, SlicePosition(array_of(node.GetSliceToRAS()), None), node.GetID())
        self._trail.begin(work)
        self._selection.follow(node)
        self._requests.open(work, carried_seed(mask, view.image.spacing), given=mask)

    def _further(self, work: Work, point: PointPrompt) -> None:
        session = session_of(work)
        if len(session.done) >= MOST_STEPS:
            raise StepError(f"This slice has had {MOST_STEPS} steps; approve it, or undo some of them.")
        self._trail.settle()
        pending = session.cancel().add_point(point.row, point.col, positive=point.positive)
        self._requests.ask(work, pending)


def _first(positive: bool) -> None:
    if not positive:
        raise SeedError("The first point marks the object; place a positive point first.")


def _check_alive(volume: Any, node: Any) -> None:
    if not is_alive(volume) or not is_alive(node):
        raise StepError("The volume or its view is gone; choose a volume.")
