"""What a user of Slicer's Segment Editor has today: "Fill between slices" and "Grow from seeds"."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from SPASegmentLib.research.datasets.object_cases import ObjectCase
from SPASegmentLib.research.evaluation.object_users import Outcome

OUTER, INNER = 1, 2
"""Labels of the seeds."""
PATIENCE = 600
"""Seconds that growing may take."""


def interpolated(target: np.ndarray, every: int) -> Outcome | None:
    """Every so many true slices drawn by hand, the others filled in as "Fill between slices" does it.

    target: (S, H, W) bool. None where the package itk-morphologicalcontourinterpolation is not installed.
    Each drawn outline counts as one action, as does each slice gone on, "Initialize" and "Apply".
    """
    try:
        import itk
    except ImportError:
        return None
    there = np.flatnonzero(target.any(axis=(1, 2)))
    drawn = sorted({*range(int(there[0]), int(there[-1]) + 1, every), int(there[-1])})
    sparse = np.zeros(target.shape, np.uint8)
    sparse[drawn] = target[drawn]
    started = time.perf_counter()
    filled = itk.morphological_contour_interpolator(itk.image_from_array(sparse), axis=2)
    mask = itk.array_from_image(filled) > 0
    return Outcome(
        mask,
        keys=int(there[-1] - there[0]),
        clicks=len(drawn) + 2,
        computing=time.perf_counter() - started,
        slices=len(there) - len(drawn),
    )


def grown(case: ObjectCase) -> Outcome | None:
    """What "Grow from seeds" makes of a stroke in the object and of strokes around it and beyond its ends.

    The user sees where the object ends: they paint in it on its largest slice, around it there, and over it
    on the slice beyond each end. Each stroke counts as one action, as do each slice gone on, the change of
    segment, "Initialize" and "Apply". None where Slicer's parts are not installed; it runs in a process of
    its own, as nothing here depends on them.
    """
    if importlib.util.find_spec("slicer") is None:
        return None
    seeds, strokes = painted(case.target)
    there = np.flatnonzero(case.target.any(axis=(1, 2)))
    grey = case.pixels.mean(axis=-1) if case.pixels.ndim == 4 else case.pixels
    with tempfile.TemporaryDirectory(prefix="spasegment-") as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "grown.npy"
        np.savez(given, image=grey.astype(np.float32), seeds=seeds, spacing=np.array(case.spacing))
        started = time.perf_counter()
        ran = subprocess.run(
            [sys.executable, "-m", "SPASegmentLib.mrml.grow_from_seeds", str(given), str(found)],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        seconds = time.perf_counter() - started
        if ran.returncode or not found.exists():
            return None
        mask = np.load(found) == INNER
    return Outcome(
        mask, keys=int(there[-1] - there[0]) + 2, clicks=strokes + 3, computing=seconds, slices=len(there) - 1
    )


def painted(target: np.ndarray) -> tuple[np.ndarray, int]:
    """(S, H, W) uint8 seeds of a user who wants the (S, H, W) bool target, and the number of strokes."""
    start = int(target.sum(axis=(1, 2)).argmax())
    seeds = np.zeros(target.shape, np.uint8)
    depth = ndimage.distance_transform_edt(target[start])
    seeds[start][depth > 0.5 * depth.max()] = INNER
    away = ndimage.distance_transform_edt(~target[start])
    distance = max(3.0, 0.5 * float(depth.max()))
    ring = (away >= distance) & (away < distance + 2)
    seeds[start][ring] = OUTER
    strokes = 2
    there = np.flatnonzero(target.any(axis=(1, 2)))
    for beyond in (int(there[0]) - 1, int(there[-1]) + 1):
        if 0 <= beyond < len(target):
            seeds[beyond][away < distance] = OUTER
            strokes += 1
    return seeds, strokes
