"""How work on a slice begins: with a seed, a box, a scribble or what its segment has there; its points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from SPASegmentLib.errors import SeedError, StepError
from SPASegmentLib.imaging.scribble import box_point, drawn_line, scribble_points
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.mrml.carry import inside, shows
from SPASegmentLib.mrml.inference_requests import InferenceRequests
from SPASegmentLib.mrml.navigation import SliceNavigation
from SPASegmentLib.mrml.selection import SceneSelection
from SPASegmentLib.mrml.target import Target, is_alive
from SPASegmentLib.mrml.volumes import array_of
from SPASegmentLib.mrml.work import SlicePosition, Trail, Work, session_of

Place = tuple[float, float, float]
"""World R, A, S in mm."""
MOST_STEPS = 40
"""Points on one slice; each keeps a proposal in memory."""
FEWEST = 2
"""Pixels across a box at least, less one: a shorter drag is a click."""


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

    def seed(self, volume: Any, node: Any, at: Place, positive: bool) -> None:
        """The seed of a new object, or a further point of what is open on the slice, at world RAS in mm."""
        view = self._view(volume, node, at)
        point = inside(view, *view.to_pixel(at), positive)
        if point is None:
            raise SeedError("The seed lies outside the slice; place it on the picture.")
        self._place(view, node, at, (point,))

    def box(self, volume: Any, node: Any, first: Place, second: Place) -> None:
        """A seed in the middle of a box, with its size. first, second: opposite corners at world RAS."""
        view = self._view(volume, node, first)
        most = np.array(view.shape) - 1
        corners = [np.clip(view.to_pixel(at), 0, most).round() for at in (first, second)]
        if np.abs(corners[0] - corners[1]).max() < FEWEST:
            raise SeedError("The box is too small; drag it around the object, from corner to corner.")
        (row, col), (row2, col2) = (corner.tolist() for corner in corners)
        point = box_point((row, col), (row2, col2), view.image.spacing)
        self._place(view, node, first, (point,))

    def scribble(self, volume: Any, node: Any, path: Sequence[Place], positive: bool) -> None:
        """Points on a line through places at world RAS; on a new object the first is the seed."""
        if not path:
            raise SeedError("Nothing was drawn; drag a line in the object.")
        view = self._view(volume, node, path[0])
        line = drawn_line(np.array([view.to_pixel(at) for at in path]), view.shape)
        points = scribble_points(line, view.image.spacing, positive=positive)
        if not points:
            raise SeedError("The line lies outside the slice; draw it on the picture.")
        self._place(view, node, path[0], points)

    def _view(self, volume: Any, node: Any, at: Place) -> ViewSlice:
        _check_alive(volume, node)
        try:
            return self._navigation.cut(volume, node, at)
        except SeedError:
            raise SeedError("This place lies outside the image; click on the picture.") from None

    def _place(self, view: ViewSlice, node: Any, at: Place, points: tuple[PointPrompt, ...]) -> None:
        """Begin a new object with points, or add them to what is open on the slice."""
        if not shows(array_of(node.GetSliceToRAS()), view):
            node.JumpSliceByOffsetting(*at)  # a seed that was not clicked in this view
        work = self._trail.latest(view.key)
        if work is None or work.finished or work.stale or work.stuck or not work.goes_on_in(view):
            _check_first(points[0])
            place = SlicePosition(array_of(node.GetSliceToRAS()), at)
            work = Work(view, place, node.GetID())
            self._trail.begin(work)
            self._selection.follow(node)
            self._requests.open(work, points[0], more=points[1:])
            return
        self._trail.current = work
        if work.opening is not None or work.empty:
            _check_first(points[0])
            self._trail.settle()
            self._requests.open(work, points[0], more=points[1:])
            return
        self._requests.revived(work, lambda w: self._further(w, points))

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

    def _further(self, work: Work, points: tuple[PointPrompt, ...]) -> None:
        session = session_of(work)
        if len(session.done) + len(points) > MOST_STEPS:
            raise StepError(f"This slice has had {MOST_STEPS} steps; approve it, or undo some of them.")
        self._trail.settle()
        first = points[0]
        pending = session.cancel().add_point(
            first.row, first.col, positive=first.positive, size_mm=first.size_mm
        )
        self._requests.ask(work, pending, points[1:])


def _check_first(point: PointPrompt) -> None:
    if not point.positive:
        raise SeedError("The first point marks the object; place a positive point first.")


def _check_alive(volume: Any, node: Any) -> None:
    if not is_alive(volume) or not is_alive(node):
        raise StepError("The volume or its view is gone; choose a volume.")
