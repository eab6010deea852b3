"""Data sets whose cases are slices of volumes."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.imaging.types import IntensityWindow
from SPASegmentLib.research.datasets.files import Files, Member
from SPASegmentLib.research.datasets.lazy import CaseEntry, LazyDataset
from SPASegmentLib.research.datasets.pictures import CaseFiles
from SPASegmentLib.research.datasets.volume_bytes import parse_nifti, parse_nrrd

VOLUME_ENDINGS = (".nii.gz", ".nii", ".nrrd")
CACHED_VOLUMES = 8
PERCENTILES = (0.5, 99.5)

# Array axes (k, j, i) of a radiological axial view run to superior, posterior and left; here in RAS.
_VIEW = np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0]])


def read_array(data: bytes, name: str, case_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Decode NIfTI or NRRD: the array (..., K, J, I) and its (4, 4) ijk -> RAS matrix.

    Raises DatasetError naming the case where the bytes are neither.
    """
    try:
        return parse_nrrd(data) if name.lower().endswith(".nrrd") else parse_nifti(data)
    except ValueError as error:
        leaf = name.rsplit("/", 1)[-1]
        raise DatasetError(f"Case {case_id}: the volume '{leaf}' could not be read: {error}.") from error


def axial(array: np.ndarray, ijk_to_ras: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Turn and flip whole axes to a radiological axial view.

    Returns the array with axes to superior, posterior, left (as far as the voxel grid allows; nothing is
    resampled) and the slices' (row, col) spacing in mm. A single slice is left as it is stored.
    """
    columns = ijk_to_ras[:3, :3]
    steps = np.linalg.norm(columns, axis=0)
    if array.shape[0] == 1:
        return array, (float(steps[1]), float(steps[0]))
    directions = (columns / steps).T[::-1]
    order = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(abs(directions[axis] @ _VIEW[view]) for view, axis in enumerate(axes)),
    )
    flips = [view for view, axis in enumerate(order) if directions[axis] @ _VIEW[view] < 0]
    spacing = steps[::-1][list(order)]
    return np.flip(array.transpose(order), tuple(flips)), (float(spacing[1]), float(spacing[2]))


def percentile_window(array: np.ndarray) -> IntensityWindow:
    """The window from the 0.5th to the 99.5th percentile of the finite voxels."""
    finite = array[np.isfinite(array)]
    if finite.size == 0:
        return IntensityWindow(0.0, 1.0)
    low, high = np.percentile(finite, PERCENTILES)
    return IntensityWindow(float(low), float(high))


def apply_window(pixels: np.ndarray, window: IntensityWindow) -> np.ndarray:
    """Map `window` to [0, 1] as float32; NaN and, where the window is empty, everything becomes 0."""
    width = window.high - window.low
    if not width > 0:
        return np.zeros(pixels.shape, np.float32)
    scaled = np.clip((pixels.astype(np.float32) - window.low) / width, 0, 1)
    return np.nan_to_num(scaled, nan=0.0).astype(np.float32)


@dataclass(frozen=True)
class Study:
    """The files of one volume. masks: in the order of the raters."""

    name: str
    patient: str
    image: Member
    masks: tuple[Member, ...]

    @staticmethod
    def of(entry: CaseEntry[CaseFiles]) -> Study:
        """The files of a case as a volume and its masks."""
        return Study(entry.case_id, entry.patient, entry.source.image, entry.source.masks)


@dataclass(frozen=True)
class StudySlice:
    """One slice, counted from below in the axial view."""

    study: Study
    k: int


@dataclass(frozen=True, eq=False)
class _Grid:
    """A volume in the axial view. array: (K, J, I). spacing: (row, col) mm. ijk_to_ras: as stored."""

    array: np.ndarray
    spacing: tuple[float, float]
    ijk_to_ras: np.ndarray

    def matches(self, other: _Grid) -> bool:
        """Whether both share size and, to a tenth of a millimetre, place."""
        return self.array.shape == other.array.shape and np.allclose(
            self.ijk_to_ras, other.ijk_to_ras, atol=0.1
        )


class VolumeDataset(LazyDataset[StudySlice]):
    """Axial slices of volumes on which at least one rater drew; case_id "<study>/slice-<k>".

    window: of the intensities, or None for robust percentiles of each volume.
    """

    window: IntensityWindow | None = None

    def __init__(self, name: str, files: Files, studies: Iterable[Study]) -> None:
        """Raises DatasetError where a volume cannot be read or nothing is drawn on any."""
        self._files = files
        self._cache: OrderedDict[Member, _Grid] = OrderedDict()
        self._windows: dict[Member, IntensityWindow] = {}
        super().__init__(name, self._slices(studies))

    @abstractmethod
    def foreground(self, labels: np.ndarray) -> np.ndarray:
        """Which voxels of a label array belong to the structure: bool, same shape."""

    def _slices(self, studies: Iterable[Study]) -> Iterator[CaseEntry[StudySlice]]:
        for study in studies:
            self._check_grid(study, study.masks)
            masks = [self.foreground(self._grid(member, study.name).array) for member in study.masks]
            for k in np.flatnonzero(np.any(masks, axis=(0, 2, 3))):
                yield CaseEntry(f"{study.name}/slice-{k:04d}", study.patient, StudySlice(study, int(k)))

    def _check_grid(self, study: Study, members: Iterable[Member]) -> None:
        first = self._grid(study.masks[0], study.name)
        if not all(self._grid(member, study.name).matches(first) for member in members):
            raise DatasetError(f"Case {study.name}: its image and masks are not on the same voxel grid.")

    def _grid(self, member: Member, case_id: str) -> _Grid:
        """One volume in the axial view; the last few are kept."""
        if member in self._cache:
            self._cache.move_to_end(member)
            return self._cache[member]
        array, ijk_to_ras = read_array(self._files.read(member, case_id), member.name, case_id)
        array = _three_axes(array, case_id)
        self._cache[member] = _Grid(*axial(array, ijk_to_ras), ijk_to_ras)
        while len(self._cache) > CACHED_VOLUMES:
            self._cache.popitem(last=False)
        return self._cache[member]

    def _window(self, member: Member, case_id: str) -> IntensityWindow:
        if self.window is not None:
            return self.window
        if member not in self._windows:
            self._windows[member] = percentile_window(self._grid(member, case_id).array)
        return self._windows[member]

    def whole(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
        """A study in the axial view: (S, H, W) float32 in [0, 1], masks (R, S, H, W) bool, mm per axis."""
        study = next(entry.source.study for entry in self.entries if entry.source.study.name == name)
        self._check_grid(study, [study.image])
        grid = self._grid(study.image, name)
        masks = [self.foreground(self._grid(member, name).array) for member in study.masks]
        volume = abs(float(np.linalg.det(grid.ijk_to_ras[:3, :3])))
        row, col = grid.spacing
        pixels = apply_window(grid.array, self._window(study.image, name))
        return pixels, np.stack(masks), (volume / (row * col), row, col)

    def read_image(self, entry: CaseEntry[StudySlice]) -> np.ndarray:
        """(H, W) float32 in [0, 1]."""
        study = entry.source.study
        self._check_grid(study, [study.image])
        pixels = self._grid(study.image, study.name).array[entry.source.k]
        return apply_window(pixels, self._window(study.image, study.name))

    def read_masks(self, entry: CaseEntry[StudySlice]) -> np.ndarray:
        """(R, H, W) bool."""
        study, k = entry.source.study, entry.source.k
        return np.stack([self.foreground(self._grid(member, study.name).array[k]) for member in study.masks])

    def read_spacing(self, entry: CaseEntry[StudySlice]) -> tuple[float, float]:
        """(row, col) mm per pixel."""
        return self._grid(entry.source.study.image, entry.case_id).spacing


def _three_axes(array: np.ndarray, case_id: str) -> np.ndarray:
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > 3:
        raise DatasetError(f"Case {case_id}: its volume has more than three axes.")
    return array[(None,) * (3 - array.ndim)]


def given_window(window: Sequence[float] | None) -> IntensityWindow | None:
    """(LOW, HIGH) as a window. Raises DatasetError unless LOW lies below HIGH."""
    if window is None:
        return None
    if len(window) != 2 or not window[0] < window[1]:
        raise DatasetError("A window needs two numbers LOW HIGH, the first below the second.")
    return IntensityWindow(float(window[0]), float(window[1]))
