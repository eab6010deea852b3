"""What clicks cost at the panel on a volume of 512 x 512 x 200 voxels: the interface's time, and memory."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.alone

CLICKS = int(os.environ.get("SPASEGMENT_CLICKS", "40"))
"""A thousand in the long run."""
FIRST = 30
"""Clicks until every cache and pool has its size."""
CLICK_LOOPS = 3.0
"""A click on the interface's thread, in plain loops of half a million steps on the same computer.

What the thread does while it waits for the proposal (turning round with nothing to do) does not count.
"""
GROWTH_MB = 50.0
"""For a thousand clicks. Fewer are held to their share of it and to what caches gain and lose meanwhile.

They catch what keeps volumes or many pictures; only the long run proves the limit.
"""
WAVERS_MB = 25.0


@pytest.fixture
def user(application: Any, tmp_path: Path) -> Any:
    """At the open panel, a large CT chosen, few samples drawn per proposal."""
    application.open_panel()
    import slicer
    from SPASegmentWidgets import selftest

    user = selftest.open_panel(tmp_path)
    ramp = np.add.outer(np.arange(512, dtype=np.int16), np.arange(512, dtype=np.int16))
    array = np.repeat(ramp[None] - 1000, 200, axis=0)
    k, j, i = np.ogrid[:200, :512, :512]
    for n in range(20):  # two rows of rods along the slices
        array[((j - 100 - 300 * (n % 2)) ** 2 + (i - 40 - 22 * n) ** 2 < 64) & (k >= 0)] = 60
    user.node = slicer.util.addVolumeFromArray(array, np.diag([-0.7, -0.7, 2.0, 1.0]), "large chest")
    user.node.SetAttribute("DICOM.Modality", "CT")
    user.choose_volume(user.node)
    user.ui.samplesSpin.value = 8
    user.panel.advanced.on_samples()
    user.panel.advanced.on_model(user.ui.modelSelector.findText("compact"))  # four times as quick a click
    return user


@pytest.mark.long
def test_clicks_take_no_memory_and_little_of_the_interfaces_time(user: Any) -> None:
    seconds, start, rounds = [], 0.0, RoundsCounted(user)
    for click in range(FIRST + CLICKS):
        if click == FIRST:
            seconds, start = [], resident_mb()
        n = click % 20
        place = (-0.7 * (40 + 22 * n), -0.7 * (100 + 300 * (n % 2)), 2.0 * (20 + click * 7 % 160))
        user.look_at(place)
        began, rounds.count = (
            time.thread_time(),
            0,
        )  # a busy computer must not count, nor what the worker computes
        user.seed(place)
        seconds.append(time.thread_time() - began - rounds.count * rounds.idle_seconds)
        assert user.screen.recommendation is not None, user.status
        if click % 3 == 0:
            user.press("approveButton")
    grown, median = resident_mb() - start, float(np.median(seconds))
    print(
        f"{CLICKS} clicks: median {1000 * median:.0f} ms, worst {1000 * max(seconds):.0f} ms, {grown:+.1f} MB"
    )
    assert median < CLICK_LOOPS * loop_seconds()
    if Path("/proc/self/statm").exists():
        assert grown < GROWTH_MB * min(CLICKS / 1000, 1.0) + (WAVERS_MB if CLICKS < 1000 else 0.0)


class RoundsCounted:
    """How often the waiting user has let events happen, and what one such round costs when there are none."""

    def __init__(self, user: Any) -> None:
        self.count, self._until = 0, user.until
        rounds = 200
        self._wait(user, rounds)
        began = time.thread_time()
        self._wait(user, rounds)
        self.idle_seconds = (time.thread_time() - began) / rounds
        user.until = self._counted

    def _wait(self, user: Any, rounds: int) -> None:
        left = iter(range(rounds))
        self._until(lambda: user.screen.busy or next(left, None) is None)

    def _counted(self, true: Any, *more: Any) -> None:
        def asked() -> bool:
            self.count += 1
            return bool(true())

        self._until(asked, *more)


def loop_seconds() -> float:
    """Seconds of this thread for a plain loop: how fast the computer is, whatever else it does."""
    times = []
    for _ in range(5):
        began = time.thread_time()
        sum(step * step for step in range(500_000))
        times.append(time.thread_time() - began)
    return float(np.median(times))


def resident_mb() -> float:
    """Memory this program holds, without what the allocator could give back; 0 where nobody says."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except (OSError, AttributeError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
