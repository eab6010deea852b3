"""`spasegment benchmark --whole-object`: how long each slice of a followed object takes, and the memory."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from SPASegmentLib.cli.memory import peak_memory
from SPASegmentLib.imaging.slicing import cut_slice
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.inference.object_session import ObjectSession
from SPASegmentLib.reporting.overlay import RECOMMENDED, draw, stretched, view_of

if TYPE_CHECKING:
    from SPASegmentLib.inference.local import LocalEngine

SIZE, SPACING = 512, (2.0, 0.7, 0.7)
"""Pixels of a slice along each side, and mm between slices, rows and columns."""
TILE = 512
"""Dots of the picture made after each slice."""


@dataclass(frozen=True)
class ObjectTiming:
    """An object followed over so many slices.

    first: seconds of the first of them. median, longest: of those after it, with a picture each, in seconds.
    across: of the look across the slices at the end. total: of all slices and that. processor: of all cores.
    memory_growth: MiB that the process's peak rose by from the middle of the way on.
    """

    slices: int
    first: float
    median: float
    longest: float
    across: float
    total: float
    processor: float
    memory_growth: float | None


def measure_object(engine: LocalEngine, slices: int) -> ObjectTiming:
    """Follow a made-up organ in a CT of SIZE x SIZE pixels through so many slices, drawing each."""
    volume, mask = made_organ(slices)
    middle = volume.shape[0] // 2
    opened = cut_slice(
        volume,
        seed_ras=None,
        seed_ijk=(SIZE / 2, SIZE / 2, middle),
        orientation="axial",
        window=(-160.0, 240.0),
        model_window=None,
    )
    shown = opened.in_plane_order(mask[middle])
    found = ObjectSession(engine, opened, shown)
    view = view_of([shown], [], opened.image.spacing)
    seconds: list[float] = []
    memory = peak_memory(engine)
    before, used = time.perf_counter(), time.process_time()
    for number, one in enumerate(found.run(), start=1):
        image = found.stack.image(one.index)
        assert image is not None  # it was followed there
        draw(stretched(image.pixels, view), view, TILE, [(one.mask, RECOMMENDED)])
        now = time.perf_counter()
        seconds.append(now - before)
        before = now
        if number == slices // 2:
            memory = peak_memory(engine)
    across = time.perf_counter() - before
    used = time.process_time() - used
    after = peak_memory(engine)
    rest = seconds[1:] or seconds
    grown = None if after is None or memory is None else after - memory
    return ObjectTiming(
        len(seconds),
        seconds[0],
        statistics.median(rest),
        max(rest),
        across,
        sum(seconds) + across,
        used,
        grown,
    )


def made_organ(slices: int) -> tuple[Volume, np.ndarray]:
    """A CT with an organ on so many slices, and (K, J, I) bool of the organ."""
    count = slices + 20
    k, j, i = np.ogrid[:count, :SIZE, :SIZE]
    along = (k - count // 2) / (slices / 2)
    shift = 12 * np.sin(3 * along)
    width = 60 * np.sqrt(np.clip(1 - along**6, 0, 1))
    organ = (np.hypot(j - SIZE / 2 - shift, 0.8 * (i - SIZE / 2 + shift)) < width) & (np.abs(along) < 1)
    grey = np.full(organ.shape, -90, np.int16)
    body = np.hypot(0.8 * (i - SIZE / 2), j - SIZE / 2) < 190
    grey[np.broadcast_to(~body, grey.shape)] = -1000
    grey[organ] = 60
    random = np.random.default_rng(0)
    for plane in grey:
        plane += random.normal(0, 15, plane.shape).astype(np.int16)
    matrix = np.diag([SPACING[2], SPACING[1], SPACING[0], 1.0])
    return Volume(grey, matrix, modality="CT", name="organ"), organ


def record_of(timing: ObjectTiming) -> dict[str, Any]:
    """As JSON values; times under "seconds"."""
    values = asdict(timing)
    kept = {key: values.pop(key) for key in ("slices", "memory_growth")}
    return {"slices": kept["slices"], "memory_growth_mib": kept["memory_growth"], "seconds": values}
