"""While the user looks at a proposal, the neighbouring slices are cut and encoded."""

from __future__ import annotations

from threading import Event

import numpy as np

from SPASegmentLib.errors import StepError
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.inference.messages import Engine, ProposalRequest
from SPASegmentLib.scene.carry import carried_seed
from SPASegmentLib.scene.work import Work
from SPASegmentLib.scene.worker import Job, Worker


class Ahead:
    """The slices next to the one that is worked on, as the worker has cut them."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._of: ViewSlice | None = None
        self._views: dict[int, ViewSlice] = {}
        self._last = 1

    def encode(self, work: Work, mask: np.ndarray, engine: Engine) -> None:
        """Cut the neighbours and encode them around the seed that `mask` carries over."""
        if self._of is not work.view:
            self._of, self._views = work.view, {}
        session = work.session
        near = (session.points[0].row, session.points[0].col) if session and session.points else None
        warm = getattr(engine, "warm", None)
        views, view = self._views, work.view

        def job_of(steps: int) -> Job:
            def job(token: Event) -> None:
                try:
                    following = views.get(steps) or view.moved(steps)
                except StepError:
                    return
                views[steps] = following
                seed = carried_seed(mask, view, following, near)
                if seed is not None and warm is not None and not token.is_set():
                    warm(following.image, ProposalRequest(following.image, (seed,)), token)

            return job

        self._worker.idle([job_of(self._last), job_of(-self._last)])

    def view(self, work: Work, steps: int) -> ViewSlice | None:
        """The slice `steps` further, if it is cut already."""
        self._last = 1 if steps > 0 else -1
        return self._views.get(steps) if self._of is work.view else None

    def forget(self) -> None:
        """The volume has changed."""
        self._of, self._views = None, {}
        self._worker.idle([])
