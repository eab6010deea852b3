"""Work that other threads hand to the thread that owns the scene and the widgets."""

from __future__ import annotations

import logging
import queue
import sys
import time
from collections.abc import Callable

import qt

BUDGET_SECONDS = 0.03
"""After this much work in one go the interface gets its turn."""
BUSY_MS, IDLE_MS = 10, 200
YIELD_SECONDS = 0.006
"""Slicer's main thread keeps Python's lock while it waits: other threads run only when it yields."""
SWITCH_SECONDS = 0.001
"""How soon a thread that computes gives Python back to the interface; Python's default is 5 ms."""


class MainThreadQueue:
    """A queue that a timer of Qt's thread empties; `post` may be called from any thread."""

    def __init__(self, working: Callable[[], bool]) -> None:
        """working: whether another thread has something to do."""
        self._working = working
        self._switch_before = sys.getswitchinterval()
        sys.setswitchinterval(min(self._switch_before, SWITCH_SECONDS))
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
        """Run what waits, oldest first, for as long as the budget lasts; let other threads compute."""
        if self._working():
            time.sleep(YIELD_SECONDS)
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
        sys.setswitchinterval(self._switch_before)
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
            self._timer = None
