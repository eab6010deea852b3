"""DICOM files and folders as one voxel grid, its geometry and values taken from the tags of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted, choose_series, listed
from SPASegmentLib.imaging.dicom_grid import FrameGrid, grid_of, volumes_of
from SPASegmentLib.imaging.dicom_headers import (
    Frame,
    frames_of,
    image_files,
    not_an_image,
    open_header,
    text_of,
    warnings_off,
)
from SPASegmentLib.imaging.dicom_pixels import frame_values
from SPASegmentLib.imaging.headers import Limits, check_claim
from SPASegmentLib.imaging.resampling import resample_slices
from SPASegmentLib.imaging.types import DicomFrame, IntensityWindow

_NAMED = 3
_SEGMENTS = tuple(f"1.2.840.10008.5.1.4.1.1.{part}" for part in ("66.4", "66.7", "481.3"))
"""Segmentation storage, that of labelmaps, and RT structure sets."""

Series = tuple[
    np.ndarray, np.ndarray, str | None, IntensityWindow | None, tuple[str, ...], tuple[DicomFrame, ...]
]
"""(K, J, I[, C]) voxels, (4, 4) voxel -> RAS, modality, window, warnings, frames of the slices."""


def read_dicom_folder(folder: Path, limits: Limits, wanted: Wanted) -> Series:
    """The wanted series of a folder, or of the folders below it; else the largest.

    Raises InputError where no image is there, slices are missing, doubled, tilted, of different sizes or
    damaged, or a choice is needed.
    """
    with warnings_off():
        found, left_out = image_files(folder, limits)
    if not found:
        what = f" ({named(left_out)})" if left_out else ""
        raise InputError(
            f"The folder {folder} holds no DICOM images{what}; give a DICOM series or an image file."
        )
    warnings = []
    if left_out:
        count = (
            "1 file without an image was"
            if len(left_out) == 1
            else f"{len(left_out)} files without images were"
        )
        warnings.append(f"{count} left out: {named(left_out)}.")
    return _read(folder, dict(found), limits, wanted, warnings)


def read_dicom_file(path: Path, limits: Limits, wanted: Wanted) -> Series:
    """One file, of one frame or of several. Raises InputError as `read_dicom_folder` does."""
    header = open_header(path, limits)
    with warnings_off():
        kind = not_an_image(header)
    if kind:
        also = ", and this file with --continue" if text_of(header, "SOPClassUID") in _SEGMENTS else ""
        raise InputError(f"{path} holds no scan but {kind}; give the images it belongs to{also}.")
    return _read(path, {path: header}, limits, wanted, [])


def named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _read(
    where: Path, headers: dict[Path, Any], limits: Limits, wanted: Wanted, warnings: list[str]
) -> Series:
    volumes = volumes_of([frame for path, header in headers.items() for frame in frames_of(path, header)])
    frames, said = _chosen(where, volumes, wanted)
    grid = grid_of(where, frames, wanted)
    array = _voxels(where, grid, headers, limits)
    matrix = grid.matrix
    warnings += [*said, *grid.warnings]
    if grid.shifts is not None:
        array, matrix = resample_slices(array, matrix, grid.shifts)
        size = " x ".join(str(extent) for extent in array.shape[2::-1])
        spacing = " x ".join(f"{mm:.3g}" for mm in np.linalg.norm(matrix[:3, :3], axis=0))
        warnings.append(
            f"The series {grid.resampled}: it was resampled linearly to a rectangular grid of {size} voxels "
            f"of {spacing} mm, and the mask lies on that grid, not on the slices of the files."
        )
    middle = grid.frames[len(grid.frames) // 2]
    kept = grid.frames if grid.shifts is None else []
    slices = tuple(DicomFrame(one.path, one.index, one.position) for one in kept)
    return array, matrix, middle.modality, middle.window, tuple(warnings), slices


def _chosen(where: Path, volumes: list[list[Frame]], wanted: Wanted) -> tuple[list[Frame], list[str]]:
    """The frames of the wanted volume, and what is to be said of the others."""
    labels = [_label(frames) for frames in volumes]
    index = choose_series(where, labels, [frames[0].series for frames in volumes], wanted)
    frames = volumes[index or 0]
    rest = [one for one in volumes if one is not frames]
    same = [one for one in rest if one[0].series == frames[0].series]
    if index is None and any(one[0].is_multi_frame for one in same):
        raise InputError(
            f"{where} holds several stacks of images in one series; choose one with --series: "
            f"{listed(labels)}."
        )
    said = []
    if index is None and len(rest) > len(same):
        count = len({one[0].series for one in volumes})
        said.append(
            f"The folder holds {count} series: the largest, of {_files(frames)} files, was read; "
            f"--series chooses another: {listed(labels)}."
        )
    left = [frame for one in same for frame in one]
    if left:
        names = named(sorted({frame.path.name for frame in left}))
        images = "1 image was" if len(left) == 1 else f"{len(left)} images were"
        why = "of the same series but of another size or direction, or without a position"
        said.append(f"{images} left out, {why}: {names}.")
    return frames, said


def _label(frames: list[Frame]) -> str:
    images = "1 image" if len(frames) == 1 else f"{len(frames)} images"
    columns, rows = frames[0].size
    stack = f", stack {frames[0].stack}" if frames[0].stack else ""
    place = " without a position" if frames[0].position is None else ""
    return f"{frames[0].about}, {images} of {columns} x {rows}{stack}{place}"


def _files(frames: list[Frame]) -> int:
    return len({frame.path for frame in frames})


def _voxels(where: Path, grid: FrameGrid, headers: dict[Path, Any], limits: Limits) -> np.ndarray:
    """(K, J, I[, C]) in the order of the grid, each file decoded once."""
    columns, rows = grid.frames[0].size
    paths = dict.fromkeys(frame.path for frame in grid.frames)
    held = sum(path.stat().st_size for path in paths)
    check_claim(where, columns * rows * len(grid.frames) * 2, held, limits)
    planes: dict[int, np.ndarray] = {}
    for path in paths:
        places = [place for place, frame in enumerate(grid.frames) if frame.path == path]
        values = frame_values(path, headers[path], [grid.frames[place] for place in places])
        planes |= dict(zip(places, values, strict=True))
        headers.pop(path)  # its pixels are not needed twice
    return np.stack([planes[place] for place in range(len(grid.frames))])
