"""What other threads hand to the thread that owns the scene."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable


class Inbox:
    """Calls that wait for the scene's thread; `put` may be called from any thread."""

    def __init__(
        self,
        post: Callable[[Callable[[], None]], None],
        run: Callable[[Callable[[], None]], None],
        after: Callable[[], None],
    ) -> None:
        """post(f): runs f soon on the scene's thread. run: makes one call. after: once all are made."""
        self._post, self._run, self._after = post, run, after
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closed = False

    def put(self, call: Callable[[], None]) -> None:
        """Do this soon on the scene's thread."""
        self._calls.put(call)
        self._post(self.take_in)

    def take_in(self) -> None:
        """Make all calls that wait. On the scene's thread, like all below."""
        while not self._closed:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                break
            self._run(call)
        self._after()

    def take_in_until(self, true: Callable[[], bool], timeout: float) -> bool:
        """Make calls as they come until something is the case. Returns whether that came in time (s)."""
        until = time.monotonic() + timeout
        while True:
            self.take_in()
            if true():
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            try:
                call = self._calls.get(timeout=left)
            except queue.Empty:
                return False
            self._run(call)

    def close(self) -> None:
        """Make no calls any more."""
        self._closed = True
