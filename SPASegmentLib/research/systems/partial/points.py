"""From a rough labelling to the points the engine understands."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import SeedError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.research.systems.partial.labels import BACKGROUND, FOREGROUND

FURTHER = 2
"""Points of each kind beyond the seed; the network was trained with few."""
NEAR = 0.75
"""Background points are sought within so many widths of the labelled foreground."""


def points_of(labels: np.ndarray) -> tuple[PointPrompt, ...]:
    """The seed first: the pixel deepest in the foreground; then points far apart, of both kinds.

    labels: (H, W) uint8. Raises SeedError where nothing is labelled as foreground.
    """
    foreground = labels == FOREGROUND
    if not foreground.any():
        raise SeedError("The labels have no foreground on this slice; mark a part of the object first.")
    depth = ndimage.distance_transform_edt(np.pad(foreground, 1))[1:-1, 1:-1]
    row, col = divmod(int(depth.argmax()), depth.shape[1])
    seed = (row, col)
    positive = _apart(np.argwhere(depth > 0.5 * depth.max()), [seed], FURTHER)
    distance = ndimage.distance_transform_edt(~foreground)
    width = np.sqrt(foreground.sum())
    near = (labels == BACKGROUND) & (distance <= max(NEAR * width, 4.0)) & (distance >= 2.0)
    negative = _apart(np.argwhere(near), [], FURTHER)
    points = [seed, *positive]
    return (
        *(PointPrompt(float(row), float(col)) for row, col in points),
        *(PointPrompt(float(row), float(col), False) for row, col in negative),
    )


def _apart(places: np.ndarray, taken: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Up to `count` of the places (n, 2), each the farthest from those before it and at least 3 pixels."""
    chosen: list[tuple[int, int]] = []
    reference = [np.array(place, float) for place in taken]
    for _ in range(min(count, len(places))):
        anchors = reference or [places.mean(axis=0)]
        distance = np.min([np.hypot(*(places - anchor).T) for anchor in anchors], axis=0)
        best = int(distance.argmax())
        if reference and distance[best] < 3.0:
            break
        chosen.append((int(places[best][0]), int(places[best][1])))
        reference.append(places[best].astype(float))
    return chosen
