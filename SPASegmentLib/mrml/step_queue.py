"""The step that comes after the one being computed: the user may already do it, and waits for nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from SPASegmentLib.mrml.inference_requests import InferenceRequests
from SPASegmentLib.mrml.whole_object import ObjectFilling
from SPASegmentLib.mrml.work import StillComputingError, Trail, Work


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


class StepQueue:
    """Holds one step at most. To be called on the scene's thread."""

    def __init__(self, trail: Trail, requests: InferenceRequests, filling: ObjectFilling) -> None:
        self._trail, self._requests, self._filling = trail, requests, filling
        self.queued: Queued | None = None

    def drop(self) -> bool:
        """Forget the step that waits. Returns whether there was one."""
        queued, self.queued = self.queued, None
        return queued is not None

    def now_or_next(self, name: str, step: Callable[[], None]) -> None:
        """Do a step, or once what is computed for the slice on the screen is there."""
        self.queued = None
        work = self._trail.current
        try:
            if (work is None and self._requests.loading is not None) or self._filling.running:
                raise StillComputingError
            step()
        except StillComputingError:
            proposal = work.proposal if work is not None else None
            self.queued = Queued(name, step, work, proposal, self._filling.running)

    def go_on(self) -> None:
        """Do the step that waits; drop it where what it waited for did not come."""
        if self.queued is None:
            return
        queued, self.queued, work = self.queued, None, self._trail.current
        same = work is None or work.proposal in (None, queued.proposal)
        if work is None or queued.work not in (None, work) or (same and not queued.filling):
            return
        queued.step()
