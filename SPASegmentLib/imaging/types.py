"""The values that travel between files, slices and the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

_RIGHT_ANGLE = 2e-4
"""Largest cosine between the axes of an sform that ITK prefers to a qform."""
UNSIZED = "are taken as 1 mm wide."
"""How the warning ends where a file states no size of its pixels; areas in mm2 mean nothing then."""


@dataclass(frozen=True)
class IntensityWindow:
    """Linear map of intensities to [0, 1]: `low` -> 0, `high` -> 1, clipped outside."""

    low: float
    high: float


@dataclass(frozen=True)
class NiftiForms:
    """The positions a NIfTI header states, number for number, so that a mask can state the same.

    quaternion: b, c, d and the offset x, y, z. sform: its three rows. pixdim: qfac and three voxel sizes.
    units: the code of the unit of length.
    """

    qform_code: int
    sform_code: int
    pixdim: tuple[float, ...]
    quaternion: tuple[float, ...]
    sform: tuple[tuple[float, ...], ...]
    units: int

    @property
    def to_mm(self) -> float:
        """Factor from the file's unit of length to mm."""
        return {1: 1000.0, 3: 0.001}.get(self.units, 1.0)

    @property
    def sizes_mm(self) -> tuple[float, float, float]:
        """The voxel sizes stated beside the forms, 1 where there is none."""
        sizes = [size if np.isfinite(size) and size > 0 else 1.0 for size in self.pixdim[1:4]]
        return (sizes[0] * self.to_mm, sizes[1] * self.to_mm, sizes[2] * self.to_mm)

    @property
    def qform(self) -> np.ndarray:
        """(4, 4) voxel -> RAS in mm."""
        b, c, d, *offset = self.quaternion
        a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
        axes = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        handed = -1.0 if self.pixdim[0] < 0 else 1.0
        matrix = np.eye(4)
        matrix[:3, :3] = axes * np.array(self.sizes_mm) * (1.0, 1.0, handed)
        matrix[:3, 3] = np.array(offset) * self.to_mm
        return matrix

    @property
    def sform_matrix(self) -> np.ndarray:
        """(4, 4) voxel -> RAS in mm."""
        return np.vstack([np.array(self.sform) * self.to_mm, (0.0, 0.0, 0.0, 1.0)])

    @property
    def uses_sform(self) -> bool:
        """Whether the sform is the one in use, as ITK and so Slicer choose: with right angles and code 1."""
        if self.sform_code <= 0 or self.qform_code <= 0:
            return self.sform_code > 0
        axes = self.sform_matrix[:3, :3]
        lengths = np.linalg.norm(axes, axis=0)
        if self.sform_code != 1 or not np.isfinite(lengths).all() or not (lengths > 0).all():
            return False
        axes = axes / lengths
        return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= _RIGHT_ANGLE)

    @property
    def in_use(self) -> np.ndarray | None:
        """(4, 4) voxel -> RAS in mm of the form in use; None where the file states neither."""
        if self.uses_sform:
            return self.sform_matrix
        return self.qform if self.qform_code > 0 else None


@dataclass(frozen=True, eq=False)
class DicomFrame:
    """Where a slice comes from. index: of the frame in its file, from 0. position: (3,) mm in LPS or None."""

    path: Path
    index: int
    position: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume on its voxel grid.

    array: (K, J, I) scalar or (K, J, I, 3) RGB, any real dtype.
    ijk_to_ras: (4, 4) float64, voxel centre (i, j, k, 1) -> RAS in mm.
    modality: DICOM modality ("CT", "MR", ...) or None where unknown.
    window: the window the file itself states (DICOM), or None.
    warnings: sentences for the user (missing spacing, NaN voxels replaced, ...).
    nifti: the positions as the NIfTI file stated them, or None.
    frames: of a DICOM series, what each slice k was read from; () where it was resampled, None elsewhere.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    modality: str | None = None
    window: IntensityWindow | None = None
    name: str = "volume"
    warnings: tuple[str, ...] = ()
    nifti: NiftiForms | None = None
    frames: tuple[DicomFrame, ...] | None = None

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
    modality: DICOM modality or None; only used to warn when a model or profile never saw such input.
    neighbours: the slices around it in the same window, (H, W) grey or (H, W, 3) float32, as many before
    (farthest first) as after (nearest first), None where the volume ends; () for a single image.
    """

    pixels: np.ndarray
    spacing: tuple[float, float] = (1.0, 1.0)
    modality: str | None = None
    warnings: tuple[str, ...] = field(default=())
    neighbours: tuple[np.ndarray | None, ...] = ()

    def __post_init__(self) -> None:
        around = tuple(None if pixels is None else _locked(pixels) for pixels in self.neighbours)
        object.__setattr__(self, "pixels", _locked(self.pixels))
        object.__setattr__(self, "neighbours", around)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) pixels."""
        h, w = self.pixels.shape[:2]
        return (h, w)

    @cached_property
    def key(self) -> str:
        """Content hash of the slice itself: what profiles and logs know it by, whatever lies around it."""
        digest = hashlib.sha256(np.ascontiguousarray(self.pixels, dtype=np.float32).tobytes())
        digest.update(repr((self.pixels.shape, self.spacing)).encode())
        return digest.hexdigest()

    @cached_property
    def key_with_neighbours(self) -> str:
        """Content hash of the slice and its neighbours; what is computed of both is cached under it."""
        digest = hashlib.sha256(self.key.encode())
        for pixels in self.neighbours:
            digest.update(b"-" if pixels is None else np.ascontiguousarray(pixels, np.float32).tobytes())
        return digest.hexdigest()

    def turned(self, turn: Callable[[np.ndarray], np.ndarray], spacing: tuple[float, float]) -> SliceImage:
        """The image with its pixels, and its neighbours' alike, turned, mirrored or cropped by `turn`.

        spacing: (row, col) mm per pixel afterwards.
        """
        around = tuple(None if pixels is None else turn(pixels) for pixels in self.neighbours)
        return replace(self, pixels=turn(self.pixels), neighbours=around, spacing=spacing)


def _locked(array: np.ndarray) -> np.ndarray:
    """The array as float32 that cannot change: itself where that holds, else a copy."""
    if array.dtype == np.float32 and not _may_change(array):
        return array
    copy = np.array(array, dtype=np.float32)
    copy.flags.writeable = False
    return copy


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
    """A point the user placed, in slice pixels: (row, col), pixel centres at integers.

    size_mm: of the longer side of the box the object fills around it, where the user drew one.
    """

    row: float
    col: float
    positive: bool = True
    size_mm: float | None = None


@dataclass(frozen=True)
class Region:
    """The square the network sees: `size_mm` wide around `centre`, resampled to `grid` x `grid`.

    centre: (row, col) in slice pixels. Grid cell (r, c) has its centre at
    centre + ((r + 0.5) / grid - 0.5) * size_mm / spacing, per axis.
    """

    centre: tuple[float, float]
    size_mm: float
    grid: int
