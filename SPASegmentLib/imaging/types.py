"""The values that travel between files, slices and the engine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

UNSIZED = "are taken as 1 mm wide."
"""How the warning ends where a file states no size of its pixels; areas in mm2 mean nothing then."""


@dataclass(frozen=True)
class IntensityWindow:
    """Linear map of intensities to [0, 1]: `low` -> 0, `high` -> 1, clipped outside."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume on its voxel grid.

    array: (K, J, I) scalar or (K, J, I, 3) RGB, any real dtype.
    ijk_to_ras: (4, 4) float64, voxel centre (i, j, k, 1) -> RAS in mm.
    modality: DICOM modality ("CT", "MR", ...) or None where unknown.
    window: the window the file itself states (DICOM), or None.
    warnings: sentences for the user (missing spacing, NaN voxels replaced, ...).
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    modality: str | None = None
    window: IntensityWindow | None = None
    name: str = "volume"
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, J, I) voxels."""
        k, j, i = self.array.shape[:3]
        return (k, j, i)

    @property
    def is_rgb(self) -> bool:
        """Whether voxels have three components."""
        return self.array.ndim == 4


@dataclass(frozen=True, eq=False)
class SliceImage:
    """One slice as the engine gets it.

    pixels: (H, W) grey or (H, W, 3) RGB, float32, already windowed to [0, 1]; copied and read-only, so that
    neither an image nor what was computed of it changes with the array it was made of.
    spacing: (row, col) mm per pixel.
    modality: DICOM modality or None; only used to warn when the model never saw such input.
    neighbours: the slices around it in the same window, (H, W) grey or (H, W, 3), as many before (farthest
    first) as after (nearest first), None where the volume ends; () for a single image.
    """

    pixels: np.ndarray
    spacing: tuple[float, float] = (1.0, 1.0)
    modality: str | None = None
    warnings: tuple[str, ...] = field(default=())
    neighbours: tuple[np.ndarray | None, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.dtype == np.float32 and not _may_change(self.pixels):
            return
        pixels = np.array(self.pixels, dtype=np.float32)
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) pixels."""
        h, w = self.pixels.shape[:2]
        return (h, w)

    @cached_property
    def key(self) -> str:
        """Content hash; the engine caches image embeddings under it."""
        digest = hashlib.sha256(np.ascontiguousarray(self.pixels, dtype=np.float32).tobytes())
        digest.update(repr((self.pixels.shape, self.spacing)).encode())
        for pixels in self.neighbours:
            digest.update(b"-" if pixels is None else np.ascontiguousarray(pixels, np.float32).tobytes())
        return digest.hexdigest()


def _may_change(array: np.ndarray) -> bool:
    """Whether the array, or what it is a view of, can be written to."""
    held: object = array
    while isinstance(held, np.ndarray):
        if held.flags.writeable:
            return True
        held = held.base
    return held is not None


@dataclass(frozen=True)
class PointPrompt:
    """A point the user placed, in slice pixels: (row, col), pixel centres at integers."""

    row: float
    col: float
    positive: bool = True


@dataclass(frozen=True)
class Region:
    """The square the network sees: `size_mm` wide around `centre`, resampled to `grid` x `grid`.

    centre: (row, col) in slice pixels. Grid cell (r, c) has its centre at
    centre + ((r + 0.5) / grid - 0.5) * size_mm / spacing, per axis.
    """

    centre: tuple[float, float]
    size_mm: float
    grid: int
