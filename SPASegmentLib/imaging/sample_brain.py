"""A made-up MR (FLAIR) of a head: folded cortex, ventricles, a tumour; no patient, no download."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from SPASegmentLib.imaging.sample_shapes import Canvas, Shape, edge

SHAPE, SPACING = (96, 152, 132), (1.6, 1.35, 1.35)
"""Voxels, and mm between them, along (k, j, i)."""
NOTHING, SCALP, SKULL, FLUID, GREY, WHITE = 0.0, 520.0, 45.0, 60.0, 400.0, 310.0
NOISE, BIAS = 14.0, 0.12

BRAIN = Shape("", (0.0, -4.0, 4.0), (66.0, 82.0, 62.0), WHITE)
HEAD = Shape("", (0.0, -4.0, 4.0), (80.0, 96.0, 77.0), SCALP)
SHAPES = (
    Shape("", (25.0, -10.0, 2.0), (7.0, 17.0, 11.0), GREY, sides=(1, -1)),
    Shape("", (11.0, 10.0, -4.0), (9.0, 13.0, 9.0), GREY, sides=(1, -1)),
    Shape("lateral ventricle", (13.0, -4.0, 12.0), (7.5, 32.0, 10.0), FLUID, 0.8, sides=(1, -1)),
    Shape("", (33.0, -38.0, 20.0), (19.0, 20.0, 17.0), 545.0, 2.0),
    Shape("tumour", (-30.0, 28.0, 22.0), (21.0, 19.0, 18.0), 560.0, 1.6),
    Shape("tumour", (-39.0, 35.0, 24.0), (6.0, 6.0, 6.0), 450.0, 1.2),
    Shape("white-matter lesion", (27.0, 22.0, 20.0), (5.5, 7.0, 5.0), 585.0, 0.8),
)
"""In the order they are drawn in, the later ones over the earlier."""
PLACES = ("tumour", "white-matter lesion", "lateral ventricle")
"""Worth clicking: the model finds them with a click or a pick."""


def draw(seed: int) -> tuple[np.ndarray, Canvas]:
    """(K, J, I) int16 without a unit, and what was drawn where."""
    canvas = Canvas(SHAPE, SPACING, NOTHING, seed)
    head, depth = canvas.ellipsoid(HEAD), canvas.ellipsoid(BRAIN)
    canvas.fill(edge(head, 0.7), SCALP)
    canvas.fill(edge(head - 6, 0.7), SKULL)
    canvas.fill(edge(depth + 2.5, 0.6), FLUID)
    folds = canvas.texture(3.2)
    slope = np.sqrt(sum(part**2 for part in np.gradient(folds, *SPACING)))
    sheet = np.abs(folds) / (slope + 0.02)  # about the mm to the nearest fold
    middle = np.abs(canvas.x) + 40 * edge(4 - canvas.z, 1.5)
    below = np.minimum(np.minimum(depth, middle), sheet + np.maximum(depth - 15, 0) * 3)
    canvas.fill(edge(below - 1.0, 0.4), GREY)
    canvas.fill(edge(below - 4.2, 0.5), WHITE)
    for shape in SHAPES:
        canvas.draw(shape, edge(depth, 0.6))
    values = ndimage.gaussian_filter(canvas.values, 0.45, truncate=3)
    bias = 1 + BIAS * np.clip(canvas.texture(30.0), -2, 2)
    noise = canvas.random.standard_normal((2, *SHAPE), dtype=np.float32) * NOISE
    return np.rint(np.hypot(values * bias + noise[0], noise[1])).astype(np.int16), canvas
