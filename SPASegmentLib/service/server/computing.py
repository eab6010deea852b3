"""One thread that computes, and takes users in turn: who asks much does not delay who asks little."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from SPASegmentLib.service.server.refusals import RefusedError

FairJob = Callable[[threading.Event], Any]
"""Called on the computing thread with a cancel token."""


@dataclass(eq=False)
class _Queued:
    job: FairJob
    outcome: Future[Any] = field(default_factory=Future)
    token: threading.Event = field(default_factory=threading.Event)


class FairQueue:
    """Jobs by user, oldest first, one of each user in turn."""

    def __init__(self, most: int = 512) -> None:
        """most: jobs that may wait."""
        self._most = most
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, deque[_Queued]] = OrderedDict()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="SPASegment computing", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        with self._changed:
            return sum(map(len, self._waiting.values()))

    @property
    def alive(self) -> bool:
        """Whether jobs are still taken."""
        return self._thread.is_alive() and not self._closed

    async def run(self, user: str, job: FairJob) -> Any:
        """The job's result. Cancelling the call sets the job's token.

        Raises RefusedError (503) where too many wait.
        """
        queued = _Queued(job)
        with self._changed:
            if self._closed or sum(map(len, self._waiting.values())) >= self._most:
                raise RefusedError(
                    503, "The server has too much to do; try again in a moment.", retry_after=1
                )
            self._waiting.setdefault(user, deque()).append(queued)
            self._changed.notify()
        try:
            return await asyncio.wrap_future(queued.outcome)
        except asyncio.CancelledError:
            queued.token.set()
            raise

    def close(self) -> None:
        """Finish what runs, take nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> _Queued | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            user, jobs = self._waiting.popitem(last=False)
            queued = jobs.popleft()
            if jobs:
                self._waiting[user] = jobs  # at the end: every other user is served first
            return queued

    def _loop(self) -> None:
        while (queued := self._next()) is not None:
            if not queued.outcome.set_running_or_notify_cancel():
                continue
            try:
                queued.outcome.set_result(queued.job(queued.token))
            except BaseException as error:  # it belongs to whoever asked; this thread goes on
                queued.outcome.set_exception(error)
            del queued
