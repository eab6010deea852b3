"""Work that other threads hand to the thread that owns the scene and the widgets."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable

import qt

BUDGET_SECONDS = 0.03
"""After this much work in one go the interface gets its turn."""
BUSY_MS, IDLE_MS = 10, 200


class MainThreadQueue:
    """A queue that a timer of Qt's thread empties; `post` may be called from any thread."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._timer = qt.QTimer()
        self._timer.setInterval(IDLE_MS)
        self._timer.connect("timeout()", self.drain)
        self._timer.start()

    def post(self, work: Callable[[], None]) -> None:
        """Run `work` soon on Qt's thread."""
        self._waiting.put(work)

    def hurry(self, busy: bool) -> None:
        """Look often while something is being computed or the module is open, rarely otherwise."""
        if self._timer is not None:
            self._timer.setInterval(BUSY_MS if busy else IDLE_MS)

    def drain(self) -> None:
        """Run what waits, oldest first, for as long as the budget lasts."""
        end = time.monotonic() + BUDGET_SECONDS
        while time.monotonic() < end:
            try:
                work = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                work()
            except Exception:
                logging.exception("SPASegment: a result could not be shown")

    def close(self) -> None:
        """Stop; what still waits is dropped."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
            self._timer = None
