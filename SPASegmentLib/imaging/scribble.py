"""A scribble as points: few of them, spread over all of it."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.imaging.types import PointPrompt

MOST = 6
"""Points a scribble becomes at most: each asks the network once."""
NEAREST = 3.0
"""Pixels between them at least."""


def scribble_points(
    scribble: np.ndarray, spacing: tuple[float, float], *, positive: bool = True, most: int = MOST
) -> tuple[PointPrompt, ...]:
    """Points on a scribble: its pixel nearest to its middle first, then always the one farthest from all.

    scribble: (H, W) bool. spacing: (row, col) mm. Returns () for an empty one.
    """
    pixels = np.argwhere(scribble)
    if not len(pixels):
        return ()
    at = pixels * np.asarray(spacing)
    away = np.linalg.norm(at - at.mean(axis=0), axis=1)
    chosen = [int(away.argmin())]
    apart = np.linalg.norm(at - at[chosen[0]], axis=1)
    while len(chosen) < most and apart.max() >= NEAREST * min(spacing):
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(at - at[chosen[-1]], axis=1))
    return tuple(PointPrompt(float(row), float(col), positive) for row, col in pixels[chosen])
