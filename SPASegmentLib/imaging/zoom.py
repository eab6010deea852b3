"""Between a slice's pixels and the square grid of cells the network sees (`Region`).

All maps are separable, so each is two sparse products over the part of the slice the region touches.
Positions are rounded to 1e-7 of a pixel: on aligned grids weights are exactly 0 and 1, so sampling 1:1 is the
identity, `unsample` inverts it exactly, and masks survive a zoom of 2 bit for bit.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import sparse

from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging.types import Region

FACTOR = 2.75
"""Side of the region in sides of the object's bounding box."""
MIN_PIXELS = 24
"""Smallest side of a region, in the slice's finest pixels."""
_DIGITS = 7


def region_around(
    seed: tuple[float, float], size_mm: float, grid: int, shape: tuple[int, int], spacing: tuple[float, float]
) -> Region:
    """The region of `size_mm` centred on a seed (row, col); it may reach over the slice's edge.

    size_mm is kept between two pixels and the longer side of the slice of `shape` pixels of `spacing` mm, or
    MIN_PIXELS if the slice is smaller than that. Raises SeedError for a seed off the slice, InputError for
    impossible sizes.
    """
    if not all(-0.5 <= at < size - 0.5 for at, size in zip(seed, shape, strict=True)):
        raise SeedError(
            f"The seed (row {seed[0]:g}, column {seed[1]:g}) lies off the slice; place it inside."
        )
    if not (math.isfinite(size_mm) and size_mm > 0 and grid > 0 and min(spacing) > 0):
        raise InputError("A region needs a positive size, grid and spacing.")
    most = _most(shape, spacing)
    return Region((float(seed[0]), float(seed[1])), float(min(max(size_mm, 2 * min(spacing)), most)), grid)


def refine(
    region: Region,
    mask: np.ndarray,
    seed: tuple[float, float],
    spacing: tuple[float, float],
    *,
    factor: float = FACTOR,
    min_mm: float | None = None,
    max_mm: float | None = None,
) -> Region:
    """The region that fits an object of known size: centred on its bounding box, `factor` times its side.

    mask: (H, W) bool on the slice. seed: (row, col); the centre moves no further than keeps the seed a cell
    inside. The side lies between min_mm (default MIN_PIXELS of the finest pixels) and max_mm (default the
    slice's longer side). An empty mask leaves the region as it is.
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return region
    shape = (int(mask.shape[0]), int(mask.shape[1]))
    low = MIN_PIXELS * min(spacing) if min_mm is None else min_mm
    high = max(low, _most(shape, spacing) if max_mm is None else max_mm)
    sides = [(hits[-1] - hits[0] + 1) * step for hits, step in zip((rows, cols), spacing, strict=True)]
    size = float(min(max(factor * max(sides), low), high))
    centre = []
    for hits, at, step in zip((rows, cols), seed, spacing, strict=True):
        reach = size / step * (0.5 - 1 / region.grid)
        centre.append(float(min(max((hits[0] + hits[-1]) / 2, at - reach), at + reach)))
    return Region((centre[0], centre[1]), size, region.grid)


def sample(image: np.ndarray, spacing: tuple[float, float], region: Region) -> np.ndarray:
    """(H, W[, C]) -> (G, G[, C]) float32: bilinear, antialiased where cells are wider than pixels.

    The slice's edge pixels continue outside it.
    """
    return _resample(np.asarray(image, np.float32), *_slice_axes(image.shape[:2], spacing, region))


def sample_mask(mask: np.ndarray, spacing: tuple[float, float], region: Region) -> np.ndarray:
    """(H, W) bool -> (G, G) bool: cells at least half covered; edges continue as in `sample`."""
    return sample(mask, spacing, region) >= 0.5


def unsample(
    grid_map: np.ndarray,
    region: Region,
    shape: tuple[int, int],
    spacing: tuple[float, float],
    outside: float = 0.0,
) -> np.ndarray:
    """(G, G) logits or probabilities -> (H, W) float32 on the slice, bilinear; `outside` off the region."""
    result = np.full(shape, outside, dtype=np.float32)
    boxes, axes = [], []
    for size, step, centre in zip(shape, spacing, region.centre, strict=True):
        cells = _cells_of(np.arange(size, dtype=np.float64), centre, step, region)
        hit = np.flatnonzero((cells >= -0.5) & (cells < region.grid - 0.5))
        if not len(hit):
            return result
        boxes.append(slice(int(hit[0]), int(hit[-1]) + 1))
        axes.append(_weights(cells[boxes[-1]], 1.0, region.grid))
    result[boxes[0], boxes[1]] = _resample(np.asarray(grid_map, np.float32), axes[0], axes[1])
    return result


def resample_between(
    grid_map: np.ndarray,
    from_region: Region,
    to_region: Region,
    spacing: tuple[float, float],
    outside: float = 0.0,
) -> np.ndarray:
    """(G, G) on one region's cells -> (G', G') float32 on another's; `outside` beyond the first region."""
    rows, cols, inside = _between(from_region, to_region, spacing)
    result = _resample(np.asarray(grid_map, np.float32), rows, cols)
    result[~(inside[0][:, None] & inside[1])] = outside
    return result


def between(
    from_region: Region, to_region: Region, spacing: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Dense weights (G', G) of rows and of columns: rows @ map @ cols.T is `resample_between`, 0 outside."""
    *axes, inside = _between(from_region, to_region, spacing)
    dense = [axis.toarray() * hit[:, None] for axis, hit in zip(axes, inside, strict=True)]
    return dense[0], dense[1]


@lru_cache(maxsize=32)  # all maps of a proposal go from one region to one other
def _between(
    from_region: Region, to_region: Region, spacing: tuple[float, float]
) -> tuple[sparse.csr_array, sparse.csr_array, tuple[np.ndarray, np.ndarray]]:
    """Weights of rows and columns, and which of the second region's lie in the first."""
    axes, inside = [], []
    for step, from_centre, to_centre in zip(spacing, from_region.centre, to_region.centre, strict=True):
        pixels = _pixels_of(np.arange(to_region.grid, dtype=np.float64), to_centre, step, to_region)
        cells = _cells_of(pixels, from_centre, step, from_region)
        scale = (to_region.size_mm / to_region.grid) / (from_region.size_mm / from_region.grid)
        axes.append(_weights(cells, scale, from_region.grid))
        inside.append((cells >= -0.5) & (cells < from_region.grid - 0.5))
    return axes[0], axes[1], (inside[0], inside[1])


def to_grid(points: np.ndarray, region: Region, spacing: tuple[float, float]) -> np.ndarray:
    """(n, 2) (row, col) in slice pixels -> (n, 2) float64 in cells, cell centres at integers."""
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    columns = [_cells_of(points[:, a], region.centre[a], spacing[a], region) for a in (0, 1)]
    return np.stack(columns, axis=1)


def to_pixels(cells: np.ndarray, region: Region, spacing: tuple[float, float]) -> np.ndarray:
    """(n, 2) (row, col) in cells -> (n, 2) float64 in slice pixels; the inverse of `to_grid`."""
    cells = np.asarray(cells, dtype=np.float64).reshape(-1, 2)
    columns = [_pixels_of(cells[:, a], region.centre[a], spacing[a], region) for a in (0, 1)]
    return np.stack(columns, axis=1)


def _most(shape: tuple[int, int], spacing: tuple[float, float]) -> float:
    """The largest useful side in mm: the slice's longer one, or MIN_PIXELS in tiny slices."""
    return max(shape[0] * spacing[0], shape[1] * spacing[1], MIN_PIXELS * min(spacing))


def _pixels_of(cells: np.ndarray, centre: float, step: float, region: Region) -> np.ndarray:
    """Cell coordinates -> pixel coordinates along one axis (the convention of `Region`)."""
    pixels = centre + ((cells + 0.5) / region.grid - 0.5) * (region.size_mm / step)
    return np.round(pixels, _DIGITS)


def _cells_of(pixels: np.ndarray, centre: float, step: float, region: Region) -> np.ndarray:
    cells = ((pixels - centre) * (step / region.size_mm) + 0.5) * region.grid - 0.5
    return np.round(cells, _DIGITS)


def _slice_axes(
    shape: tuple[int, ...], spacing: tuple[float, float], region: Region
) -> list[sparse.csr_array]:
    cells = np.arange(region.grid, dtype=np.float64)
    return [
        _weights(
            _pixels_of(cells, region.centre[axis], spacing[axis], region),
            region.size_mm / spacing[axis] / region.grid,
            shape[axis],
        )
        for axis in (0, 1)
    ]


def _weights(at: np.ndarray, scale: float, size: int) -> sparse.csr_array:
    """(n, size) weights of a triangle filter at positions `at`, as wide as `scale` source steps (at least 1).

    Positions off the source take its first or last value. Between widths 1 and 2 the weights' centre may lie
    up to 0.09 source steps off `at`; at width 1, and so wherever nothing shrinks, it is exact.
    """
    width = max(1.0, round(scale, _DIGITS))
    reach = math.ceil(width)
    taps = np.floor(at)[:, None] + np.arange(1 - reach, reach + 1)
    weights = np.maximum(0.0, 1.0 - np.abs(taps - at[:, None]) / width)
    weights /= weights.sum(axis=1, keepdims=True)
    columns = np.clip(taps, 0, size - 1).astype(np.int32)
    starts = np.arange(0, columns.size + 1, columns.shape[1], dtype=np.int32)
    return sparse.csr_array(
        (weights.astype(np.float32).ravel(), columns.ravel(), starts), shape=(len(at), size)
    )


def _resample(source: np.ndarray, rows: sparse.csr_array, cols: sparse.csr_array) -> np.ndarray:
    """Apply row and column weights to (h, w[, C]), touching only the rows and columns that have weight."""
    first, last = int(rows.indices.min()), int(rows.indices.max()) + 1
    left, right = int(cols.indices.min()), int(cols.indices.max()) + 1
    box = source[first:last, left:right]
    channels = box.shape[2:]
    down = rows[:, first:last] @ np.ascontiguousarray(box.reshape(last - first, -1))
    down = np.moveaxis(down.reshape(rows.shape[0], right - left, *channels), 1, 0)
    across = cols[:, left:right] @ np.ascontiguousarray(down.reshape(right - left, -1))
    across = across.reshape(cols.shape[0], rows.shape[0], *channels)
    return np.ascontiguousarray(np.moveaxis(across, 0, 1), dtype=np.float32)
