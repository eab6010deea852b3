"""Where a slice is looked at when a neighbouring slice's mask is carried over to it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import SeedError
from SPASegmentLib.imaging.types import PointPrompt


def carried_seed(mask: np.ndarray, spacing: tuple[float, float]) -> PointPrompt:
    """The pixel furthest inside a carried mask, from which its slice is looked at.

    mask: (H, W) probabilities. spacing: (row, col) mm. Raises SeedError where the mask is empty.
    """
    inside = np.asarray(mask) >= 0.5
    rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        raise SeedError("The mask to carry over is empty; approve a slice that shows the object first.")
    box = inside[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    depth = ndimage.distance_transform_edt(np.pad(box, 1), sampling=spacing)[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return PointPrompt(float(row + rows[0]), float(col + cols[0]))
