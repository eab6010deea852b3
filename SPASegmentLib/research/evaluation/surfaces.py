"""Distances between outlines, in two and three dimensions, as MONAI defines them (without subvoxels)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def boundary_distances(
    mask: np.ndarray, target: np.ndarray, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """From each boundary pixel of either mask to the nearest of the other's, in mm.

    A boundary pixel is one of the mask with a neighbour outside, along an axis. mask, target: bool arrays of
    one shape, none empty. spacing: mm along each axis. Returns one value for each pixel of either boundary.
    """
    hits = np.nonzero(mask | target)
    box = tuple(slice(int(hit.min()), int(hit.max()) + 1) for hit in hits)
    edges = [part & ~ndimage.binary_erosion(part) for part in (mask[box], target[box])]
    away = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return away[1][edges[0]], away[0][edges[1]]


def surface_dice(
    mask: np.ndarray, target: np.ndarray, spacing: Sequence[float], tolerances: Sequence[float]
) -> list[float]:
    """Normalised surface Dice: the share of both boundaries that lies within a tolerance of the other.

    tolerances: in mm. The rest as in `boundary_distances`, but where both are empty it is 1, where one is 0.
    """
    if not mask.any() or not target.any():
        return [float(mask.any() == target.any())] * len(tolerances)
    distances = np.concatenate(boundary_distances(mask, target, spacing))
    return [float((distances <= tolerance).mean()) for tolerance in tolerances]


def mean_boundary_distance(mask: np.ndarray, target: np.ndarray, spacing: Sequence[float]) -> float:
    """Average symmetric surface distance in mm, over the pixels of both boundaries.

    As in `boundary_distances`, but where both are empty it is 0, and where one is it is infinite.
    """
    if not mask.any() or not target.any():
        return 0.0 if mask.any() == target.any() else float("inf")
    return float(np.concatenate(boundary_distances(mask, target, spacing)).mean())
