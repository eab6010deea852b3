"""A scribble as points: few of them, spread over all of it. A box as one: its middle and its size."""

from __future__ import annotations

from itertools import pairwise

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


def drawn_line(path: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels that a line lies in, as far as it lies in the image.

    path: (N, 2) (row, col) of its corners, pixel centres at integers.
    """
    found = np.zeros(shape, dtype=bool)
    path = np.asarray(path, dtype=float)
    steps = [path[:1]]
    for start, end in pairwise(path):
        count = max(int(np.ceil(2 * np.abs(end - start).max())), 1)
        steps.append(start + (end - start) * np.linspace(0, 1, count + 1)[1:, None])
    rows, cols = np.floor(np.concatenate(steps) + 0.5).astype(int).T
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    found[rows[inside], cols[inside]] = True
    return found


def box_point(
    first: tuple[float, float], second: tuple[float, float], spacing: tuple[float, float]
) -> PointPrompt:
    """The middle of a box with the length of its longer side.

    first, second: (row, col) of the pixels in two opposite corners, which the box holds. spacing: (row, col)
    mm.
    """
    sides = [(abs(a - b) + 1) * mm for a, b, mm in zip(first, second, spacing, strict=True)]
    return PointPrompt((first[0] + second[0]) / 2, (first[1] + second[1]) / 2, size_mm=max(sides))
