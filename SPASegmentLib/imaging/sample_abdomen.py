"""A made-up abdominal CT after contrast: organs, a metastasis, a cyst; no patient, no download."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from SPASegmentLib.imaging.sample_shapes import Canvas, Shape, edge

SHAPE, SPACING = (72, 192, 192), (2.5, 1.8, 1.8)
"""Voxels, and mm between them, along (k, j, i)."""
AIR, FAT, MUSCLE, MARROW, BONE = -1000.0, -100.0, 58.0, 190.0, 520.0
NOISE_HU = 13.0

LIVER = Shape("liver", (-62.0, -8.0, 34.0), (82.0, 76.0, 66.0), 112.0)
LEFT_LOBE = Shape("liver", (4.0, -42.0, 40.0), (62.0, 34.0, 36.0), 112.0)
SHAPES = (
    Shape("spleen", (104.0, 36.0, 34.0), (30.0, 44.0, 48.0), 122.0),
    Shape("", (62.0, -36.0, 36.0), (46.0, 40.0, 44.0), 22.0),
    LEFT_LOBE,
    LIVER,
    Shape("gallbladder", (-40.0, -46.0, -12.0), (15.0, 21.0, 24.0), 8.0),
    Shape("liver metastasis", (-84.0, -6.0, 30.0), (15.0, 13.0, 14.0), 42.0, 2.2),
    Shape("", (-48.0, 26.0, 52.0), (9.0, 8.0, 9.0), 50.0, 2.0),
    Shape("kidney", (62.0, 44.0, -22.0), (27.0, 24.0, 50.0), 185.0, sides=(1, -1)),
    Shape("", (50.0, 40.0, -22.0), (13.0, 9.0, 28.0), -40.0, 2.0, sides=(1, -1)),
    Shape("kidney cyst", (76.0, 56.0, -34.0), (13.0, 12.0, 13.0), 4.0),
)
"""In the order they are drawn in, the later ones over the earlier."""
PLACES = ("liver metastasis", "spleen", "kidney cyst", "gallbladder")
"""Worth clicking: the model finds them with a click or a pick."""


def draw(seed: int) -> tuple[np.ndarray, Canvas]:
    """(K, J, I) int16 HU, and what was drawn where."""
    canvas = Canvas(SHAPE, SPACING, AIR, seed)
    x, y = canvas.x, canvas.y
    trunk = (np.abs(x / 156) ** 2.3 + np.abs(y / 108) ** 2.3) ** (1 / 2.3)
    canvas.fill(edge((1 - trunk) * 108, 0.9), FAT)
    canvas.fill(edge((1 - trunk) * 108 - 14, 1.0), MUSCLE)
    cavity = edge((1 - trunk) * 108 - 26, 1.0) * edge(66 - y - (x / 30) ** 2 * 0.4, 2.0)
    canvas.fill(cavity, FAT)
    _bowel(canvas, cavity)
    for shape in SHAPES:
        canvas.draw(shape, cavity)
        if shape is LIVER:
            _vessels(canvas)
    _spine(canvas)
    values = ndimage.gaussian_filter(canvas.values, (0.3, 0.5, 0.5), truncate=3)
    noise = ndimage.gaussian_filter(
        canvas.random.standard_normal(SHAPE, dtype=np.float32), (0, 0.6, 0.6), truncate=2
    )
    values += noise * (NOISE_HU / float(noise.std()))
    return np.clip(np.rint(values), -1024, 3071).astype(np.int16), canvas


def _bowel(canvas: Canvas, cavity: np.ndarray) -> None:
    """Loops in the lower front of the cavity: walls around what they hold, sheets of fat between them."""
    loops = canvas.texture(6.0)
    there = cavity * edge(-canvas.y + 24, 3.0) * edge(-14 - canvas.z, 3.0)
    canvas.fill(edge(np.abs(loops) * 9 - 2.5, 0.6) * there, 48.0)
    canvas.fill(edge(np.abs(loops) * 9 - 7.0, 0.8) * there, 18.0)


def _vessels(canvas: Canvas) -> None:
    """Veins of the liver, as strands through it."""
    first, second = canvas.texture(7.0), canvas.texture(7.0)
    strand = edge(0.16 - np.hypot(first, second), 0.03)
    canvas.values += (168.0 - canvas.values) * strand * (canvas.labels == canvas.names.index("liver") + 1)


def _spine(canvas: Canvas) -> None:
    """Vertebrae with their canal and discs, the muscles beside them, aorta and vena cava before them."""
    x, y, z = canvas.x, canvas.y, canvas.z
    for side in (-1, 1):
        canvas.fill(edge(20 - np.hypot(x - side * 38, (y - 60) * 0.9), 1.0), MUSCLE)
    body = np.hypot(x / 22, (y - 66) / 17)
    disc = np.abs(np.mod(z + 300, 33.0) - 16) < 4
    inside = edge((1 - body) * 17, 0.7)
    canvas.fill(inside, np.where(disc, 85.0, MARROW))
    canvas.values += (BONE - canvas.values) * inside * edge((body - 0.88) * 17, 0.7) * ~disc
    canvas.fill(edge(13 - np.hypot(x, (y - 92) * 1.1), 1.0), BONE)
    canvas.fill(edge(8 - np.hypot(x, y - 90), 0.8), 28.0)
    canvas.fill(edge(10.5 - np.hypot(x - 13, y - 36), 0.8), 172.0, "aorta")
    canvas.fill(edge(11 - np.hypot(x + 20, y - 34), 0.8), 135.0, "vena cava")
