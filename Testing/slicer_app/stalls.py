"""How long the thread of the scene was away: what a user sees as an interface that stands still."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path


class Beats:
    """Moments at which the thread was there.

    Other programs take the processor, too, and nothing here can help that: the kernel says how long our
    threads had to wait for one (`/proc`, schedstat), and that is taken off. On a quiet computer it is none.
    """

    def __init__(self) -> None:
        self._beats: list[tuple[float, float, float]] = []

    def __len__(self) -> int:
        return len(self._beats)

    def beat(self) -> None:
        """The thread is there."""
        self._beats.append((time.perf_counter(), _waited(), time.thread_time()))

    def longest(self) -> float:
        """Seconds between two beats, less those in which our threads waited for a processor."""
        return max(b[0] - a[0] - (b[1] - a[1]) for a, b in itertools.pairwise(self._beats))

    def longest_computed(self) -> float:
        """Seconds that the thread itself computed between two beats."""
        return max(b[2] - a[2] for a, b in itertools.pairwise(self._beats))

    def longest_on_the_clock(self) -> float:
        """Seconds between two beats, whoever had the processor."""
        return max(b[0] - a[0] for a, b in itertools.pairwise(self._beats))


def _waited() -> float:
    """Seconds that this program's Python threads have stood in line for a processor; 0 where nobody says."""
    waited = 0
    for thread in threading.enumerate():
        try:
            words = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="utf-8").split()
            waited += int(words[1])
        except (OSError, IndexError, ValueError):
            continue
    return waited / 1e9
