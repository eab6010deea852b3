"""How rough an outline is: teeth of single pixels bend it, whatever its shape."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

LEAST = 16
"""Corners of an outline below which it says nothing of roughness."""
STEP = 2.0
"""Pixels between the points of an outline whose turning is looked at."""
SMOOTHING = 1.0
"""Of those points, in steps: the staircase that every mask of pixels has hardly counts."""


def bending_energy(mask: np.ndarray) -> float | None:
    """Squared turning angles summed along all outlines of a mask, holes included.

    mask: (H, W) bool. A disc of n points has about 4 pi^2 / n, and a tooth adds to it. None where no
    outline is long enough.
    """
    import contourpy

    padded = np.pad(np.asarray(mask, dtype=float), 2)
    lines = contourpy.contour_generator(z=padded).lines(0.5)
    found = [_turned(np.asarray(line)) for line in lines if line is not None and len(line) >= LEAST]
    return float(sum(found)) if found else None


def _turned(line: np.ndarray) -> float:
    """line: (n, 2), closed."""
    lengths = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    count = max(12, round(along[-1] / STEP))
    at = np.linspace(0, along[-1], count, endpoint=False)
    points = np.stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)], axis=1)
    points = ndimage.gaussian_filter1d(points, SMOOTHING, axis=0, mode="wrap")
    step = np.roll(points, -1, axis=0) - points
    heading = np.arctan2(step[:, 0], step[:, 1])
    turn = np.angle(np.exp(1j * (np.roll(heading, -1) - heading)))
    return float((turn**2).sum())
