"""A DICOM series folder as one voxel grid, its geometry taken from the tags of every slice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.decoding import without_warnings
from SPASegmentLib.imaging.headers import Limits, check_claim, check_header, damaged
from SPASegmentLib.imaging.types import UNSIZED, IntensityWindow

UNEVEN = 0.05
"""Slice gaps may differ from their median by this share before slices count as missing."""
TILT = 1e-3
"""Largest sideways shift of one slice to the next, as a share of the gap, that counts as no gantry tilt."""

_NO_IMAGES = tuple(
    "1.2.840.10008.5.1.4.1.1." + part
    for part in ("9.", "11.", "66.5", "88.", "104.", "481.3", "481.5", "481.8")
)
"""SOP classes of waveforms, presentation states, meshes, reports, documents, contours and plans."""
NO_SIZE = f"The file states no pixel size: pixels {UNSIZED}"

Geometry = tuple[np.ndarray | None, str | None, IntensityWindow | None, tuple[str, ...]]
Series = tuple[np.ndarray, np.ndarray, str | None, IntensityWindow | None, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class _Instance:
    """One file of a series. position and axes (2, 3) in LPS, spacing (row, col) mm; None where not stated."""

    path: Path
    series: tuple[Any, ...]
    size: tuple[int, ...]
    position: np.ndarray | None
    axes: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness: float
    number: int
    modality: str | None
    window: IntensityWindow | None


def is_dicom_folder(folder: Path) -> bool:
    """Whether a DICOM image lies in the folder or, where none does, in a folder below it."""
    return next(_files(folder), None) is not None


def common_tags(reader: Any) -> tuple[str | None, IntensityWindow | None]:
    """Modality and display window (centre -+ width / 2, the first one stated) of a DICOM header."""
    modality = _tag(reader, "0008|0060") or None
    centre, width = _numbers(reader, "0028|1050"), _numbers(reader, "0028|1051")
    if not centre or not width or width[0] <= 0 or not np.isfinite([centre[0], width[0]]).all():
        return modality, None
    return modality, IntensityWindow(centre[0] - width[0] / 2, centre[0] + width[0] / 2)


def file_geometry(path: Path, reader: Any) -> Geometry:
    """Geometry of a single file: voxel -> RAS, modality, window, warnings.

    The matrix is None for multi-frame files, whose positions ITK reads.
    """
    one = _instance(path, reader)
    if _is_flat(one):
        _, matrix, said = _place(path, [one])
        return matrix, one.modality, one.window, tuple(said)
    unsized = one.spacing is None and tuple(reader.GetSpacing()[:2]) == (1.0, 1.0)
    return None, one.modality, one.window, (NO_SIZE,) if unsized else ()


def read_series(folder: Path, limits: Limits) -> Series:
    """The largest series below a folder: voxels, voxel -> RAS, modality, window, warnings.

    Raises InputError where slices are missing, doubled, tilted, of different sizes or damaged.
    """
    groups: dict[tuple[Any, ...], list[_Instance]] = {}
    for path, reader in _readable(folder, limits):
        instance = _instance(path, reader)
        groups.setdefault(instance.series, []).append(instance)
    voxels = {key: sum(int(np.prod(one.size)) for one in group) for key, group in groups.items()}
    instances = groups[min(groups, key=lambda key: (-voxels[key], str(key)))]
    warnings: list[str] = []
    if len(groups) > 1:
        warnings.append(
            f"The folder holds {len(groups)} series: the largest, of {len(instances)} files, was read."
        )
    if not all(map(_is_flat, instances)):
        raise InputError(
            f"The largest series in {folder} is made of multi-frame files; give one of these files instead."
        )
    instances, matrix, more = _place(folder, instances)
    middle = instances[len(instances) // 2]
    warnings += more
    return _stack(folder, instances, limits), matrix, middle.modality, middle.window, tuple(warnings)


def _is_flat(one: _Instance) -> bool:
    """Whether the file holds a single frame."""
    return one.size[2:] in ((), (1,))


def _readable(folder: Path, limits: Limits) -> Iterator[tuple[Path, Any]]:
    """Every DICOM image with its header."""
    return ((path, _open(path, limits)) for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    """Every DICOM image; in the folder itself, or else in the folders below."""
    found = False
    for paths in (sorted(folder.iterdir()), sorted(folder.rglob("*/*"))):
        for path in paths:
            if path.is_file() and _looks_like_dicom(path):
                found = True
                yield path
        if found:
            return


def _looks_like_dicom(path: Path) -> bool:
    """Whether a file is DICOM and may hold an image: no index of the medium, report, plan or drawing."""
    if path.name.upper() == "DICOMDIR":
        return False
    with path.open("rb") as file:
        start = file.read(1024)
    if start[128:132] != b"DICM":
        return path.suffix.lower() in (".dcm", ".ima") and len(start) > 0
    stated = re.search(rb"\x02\x00\x02\x00UI..([0-9.]+)", start, re.DOTALL)
    return stated is None or not stated[1].decode().startswith(_NO_IMAGES)


def _open(path: Path, limits: Limits) -> Any:
    check_header(path, "DICOM", limits)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        with without_warnings():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise damaged(path, "DICOM") from error
    return reader


def _tag(reader: Any, key: str) -> str:
    return reader.GetMetaData(key).strip(" \0") if reader.HasMetaDataKey(key) else ""


def _numbers(reader: Any, key: str) -> list[float]:
    try:
        return [float(word) for word in _tag(reader, key).split("\\") if word.strip()]
    except ValueError:
        return []


def _instance(path: Path, reader: Any) -> _Instance:
    size = tuple(reader.GetSize())
    position, axes = _numbers(reader, "0020|0032"), _numbers(reader, "0020|0037")
    spacing = _numbers(reader, "0028|0030") or _numbers(reader, "0018|1164")
    thickness = _numbers(reader, "0018|0050") or _numbers(reader, "0018|0088")
    number = _numbers(reader, "0020|0013")
    if spacing and (len(spacing) < 2 or not all(np.isfinite(value) and value > 0 for value in spacing)):
        raise InputError(f"{path} states a pixel size that is not positive; correct its tags.")
    modality, window = common_tags(reader)
    return _Instance(
        path=path,
        series=(_tag(reader, "0020|000e"), size, tuple(np.round(axes, 3)), reader.GetNumberOfComponents()),
        size=size,
        position=np.array(position) if len(position) == 3 else None,
        axes=np.reshape(axes, (2, 3)) if len(axes) == 6 else None,
        spacing=(spacing[0], spacing[1]) if spacing else None,
        thickness=thickness[0] if thickness and thickness[0] > 0 else 1.0,
        number=int(number[0]) if number else 0,
        modality=modality,
        window=window,
    )


def _place(folder: Path, instances: list[_Instance]) -> tuple[list[_Instance], np.ndarray, list[str]]:
    """Slices in order along their normal, the voxel -> RAS matrix, and warnings."""
    warnings = []
    first = instances[0]
    if first.spacing is None:
        warnings.append(NO_SIZE)
    rows, cols = first.spacing or (1.0, 1.0)
    if any(one.position is None or one.axes is None for one in instances):
        warnings.append(
            "The series states no position in the patient: slices are in the order of their number."
        )
        ordered = sorted(instances, key=lambda one: (one.number, one.path.name))
        return ordered, np.diag([-cols, -rows, first.thickness, 1.0]), warnings
    assert first.axes is not None
    normal = np.cross(first.axes[0], first.axes[1])
    points = {one.path: np.asarray(one.position) for one in instances}
    ordered = sorted(instances, key=lambda one: (float(points[one.path] @ normal), one.path.name))
    origin = points[ordered[0].path]
    step = normal * first.thickness
    if len(ordered) > 1:
        _check_gaps(folder, np.array([float(points[one.path] @ normal) for one in ordered]))
        step = (points[ordered[-1].path] - origin) / (len(ordered) - 1)
        if np.linalg.norm(step - (step @ normal) * normal) > TILT * np.linalg.norm(step):
            raise InputError(
                f"The series in {folder} was taken with a tilted gantry, so its voxels are sheared; "
                "resample it to a rectangular grid."
            )
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = first.axes[0] * cols, first.axes[1] * rows, step
    matrix[:3, 3] = origin
    return ordered, np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix, warnings


def _check_gaps(folder: Path, along: np.ndarray) -> None:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if gaps.min() < 1e-3:
        raise InputError(
            f"The series in {folder} has several images at one position (phases or time points); "
            "give a folder with one of them."
        )
    if np.abs(gaps - usual).max() > UNEVEN * usual:
        raise InputError(
            f"The series in {folder} has slices {gaps.min():.2f} to {gaps.max():.2f} mm apart, so some are "
            "missing; export it completely."
        )


def _stack(folder: Path, instances: list[_Instance], limits: Limits) -> np.ndarray:
    """(K, J, I[, C]) voxels, rescale slope and intercept of each slice applied."""
    size = instances[0].size[:2]
    held = sum(one.path.stat().st_size for one in instances)
    check_claim(folder, int(np.prod(size)) * len(instances) * 2, held, limits)
    planes = []
    for one in instances:
        reader = _open(one.path, limits)
        components = reader.GetNumberOfComponents()
        if components not in (1, 3):
            raise InputError(f"{one.path} has {components} components per pixel; export grey or RGB images.")
        try:
            with without_warnings():
                planes.append(sitk.GetArrayFromImage(reader.Execute()).reshape(size[1], size[0], -1))
        except RuntimeError as error:
            raise damaged(one.path, "DICOM") from error
    array = np.stack(planes)
    return array if array.shape[3] > 1 else array[..., 0]
