"""The whole object around the approved slice on the screen: followed by the worker, written in one step."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.errors import Cancelled, StepError
from SPASegmentLib.imaging.stack import ViewStack
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.mrml.inference_requests import InferenceRequests
from SPASegmentLib.mrml.target import Target
from SPASegmentLib.mrml.work import Trail, Work
from SPASegmentLib.mrml.worker import JobOutcome, Ticket, Worker
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    from SPASegmentLib.inference.fill import WholeObject
    from SPASegmentLib.mrml.screen import Tone

Slices = list[tuple[ViewSlice, np.ndarray]]


class ObjectFilling:
    """Follows the object of a work through the slices of its view. To be called on the scene's thread."""

    def __init__(
        self,
        scene: Any,
        worker: Worker,
        requests: InferenceRequests,
        target: Target,
        trail: Trail,
        say: Callable[[str, Tone], None],
    ) -> None:
        self._scene, self._worker, self._requests = scene, worker, requests
        self._target, self._trail, self._say = target, trail, say
        self._ticket: Ticket | None = None

    @property
    def running(self) -> bool:
        """Whether an object is being followed."""
        return self._ticket is not None

    def begin(self, work: Work | None) -> None:
        """Follow the object of an approved work. Raises StepError where its volume has changed since."""
        if work is None or not work.finished:
            raise StepError("Approve the object on a slice first.")
        if work.stale:
            raise StepError("The volume has changed since; click a seed on the object.")
        self._requests.with_engine(lambda: self._follow(work))

    def cancel(self) -> bool:
        """Stop following; nothing is written then. Returns whether there was anything to stop."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._worker.cancel()
        return ticket is not None

    def _follow(self, work: Work) -> None:
        mask, engine, view = work.approved(), self._requests.engine, work.view
        if mask is None or engine is None:
            raise StepError("Approve the object on this slice first.")
        log_prior = work.session.log_prior if work.session is not None else None

        def job(token: Event) -> tuple[Slices, WholeObject]:
            from SPASegmentLib.inference.fill import ObjectFill

            stack = ViewStack(view)
            fill = ObjectFill(engine, stack, log_prior=log_prior)
            fill.approve(0, mask)
            for number, _ in enumerate(fill.run(token), start=1):
                self._worker.report(lambda number=number: self._progress(ticket, number))  # type: ignore[misc]
            masks = ((stack.view(index), one) for index, one in fill.object.masks.items() if index)
            return [(there, one) for there, one in masks if there is not None], fill.object

        ticket = self._worker.request(job, lambda outcome: self._followed(ticket, work, outcome))
        self._ticket = ticket
        self._say("Following the object; Esc cancels.", "busy")

    def _progress(self, ticket: Ticket, number: int) -> None:
        if ticket is self._ticket:
            self._say(f"Following the object, {count_of(number, 'slice')} so far; Esc cancels.", "busy")

    def _followed(self, ticket: Ticket, work: Work, outcome: JobOutcome) -> None:
        if ticket is not self._ticket:
            return  # cancelled, or another one has begun
        self._ticket = None
        if isinstance(outcome.error, Cancelled):
            return
        if outcome.error is not None:
            raise outcome.error
        volume = self._scene.GetNodeByID(work.view.volume_id)
        if work.stale or not work.finished or volume is None or work not in list(self._trail):
            raise StepError("The slice or its volume has changed meanwhile; press F again.")
        slices, found = outcome.value
        self._target.write_further(slices, work, volume, list(self._trail))
        first = min(one.expected_dice for one in found.slices)
        doubt = f", the least sure slice with an expected Dice of {first:.2f}" if first < 1 else ""
        self._say(
            f"Whole object: {found.volume_ml:.2f} ml on {count_of(len(found.slices), 'slice')}{doubt}; "
            "Backspace takes it back.",
            "done",
        )
