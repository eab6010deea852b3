"""Volumes from files. SimpleITK decodes; every refusal and every assumption is one sentence."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import ANY, Wanted, choose_time
from SPASegmentLib.imaging.decoding import ImageLayout, decodable, decode_picture, without_warnings
from SPASegmentLib.imaging.dicom import read_dicom_file, read_dicom_folder
from SPASegmentLib.imaging.headers import (
    BESIDE,
    Limits,
    Stated,
    check_claim,
    check_header,
    damaged,
    kind_of,
    no_position,
    unreadable,
)
from SPASegmentLib.imaging.nifti import are_colours, open_nifti
from SPASegmentLib.imaging.resampling import resample_sheared
from SPASegmentLib.imaging.types import UNSIZED, DicomFrame, IntensityWindow, Volume
from SPASegmentLib.imaging.voxels import clean_voxels

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SMALLEST_MM, LARGEST_MM = 1e-7, 1e5
"""Voxel sizes anything to be segmented can have: from atoms to cities. Beyond, views fail in many lines."""
FARTHEST_MM = 1e7
SKEW = 1.001e-3
"""Largest cosine between two voxel axes that still counts as a right angle: 0.001, or 0.06 degrees."""

_READERS = {
    "NRRD": "NrrdImageIO",
    "MetaImage": "MetaImageIO",
    "PNG": "PNGImageIO",
    "JPEG": "JPEGImageIO",
    "TIFF": "TIFFImageIO",
}
_PICTURES = ("PNG", "JPEG", "TIFF")


def read_volume(path: str | Path, limits: Limits = BESIDE, wanted: Wanted = ANY) -> Volume:
    """Read NRRD, NIfTI, MHA/MHD, PNG, JPEG, TIFF, one DICOM file or a series of a DICOM folder.

    Voxels keep the file's type (DICOM rescale slope and NIfTI scaling applied); pictures become one-slice
    volumes of 1 mm pixels. What had to be assumed or repaired is in the volume's `warnings`.
    limits: how far the file is trusted; usually, data files are read from its own folder only.
    wanted: which series and time point, where there are several; without it, the largest series.
    Raises InputError with one sentence for everything that cannot be read exactly.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _volume(path, path.name, *read_dicom_folder(path, limits, wanted))
        if not path.exists():
            raise InputError(f"There is no file or folder {path}; check the path.")
        if not path.is_file():
            raise InputError(f"{path} is not a regular file; give an image file or a DICOM folder.")
        return _read_file(path, limits, wanted)
    except OSError as error:
        raise unreadable(path, error) from error
    except MemoryError as error:
        raise InputError(f"{path} does not fit into this computer's memory; crop it first.") from error


def volume_of(image: sitk.Image) -> Volume:
    """A volume of an image that SimpleITK has read or made, of two or three dimensions, grey or RGB(A).

    Voxels are copied. Raises InputError with one sentence for what cannot be segmented.
    """
    if not isinstance(image, sitk.Image):
        kind = type(image).__name__
        raise InputError(f"A {kind} is no volume; give a path, a SimpleITK image or a Volume.")
    components, pixel = (
        image.GetNumberOfComponentsPerPixel(),
        sitk.GetPixelIDValueAsString(image.GetPixelID()),
    )
    _check_pixels("The image", ImageLayout(image.GetSize(), components, pixel))
    word = next((image.GetMetaData(k) for k in ("Modality", "0008|0060") if image.HasMetaDataKey(k)), None)
    modality = word.removeprefix("MET_MOD_").strip() if word else None
    matrix = LPS_TO_RAS @ _matrix(image)
    array = _three_axes(sitk.GetArrayFromImage(image), components)
    return _volume("The image", "image", array, matrix, modality or None, None, ())


def _read_file(path: Path, limits: Limits, wanted: Wanted) -> Volume:
    kind = kind_of(path)
    stated = check_header(path, kind, limits)
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    if kind == "NIfTI":
        return _read_nifti(path, name, stated, limits, wanted)
    if kind == "DICOM":
        return _volume(path, name, *read_dicom_file(path, limits, wanted))
    if kind in _PICTURES:
        return _read_picture(path, name, kind, stated, limits)
    image, reader = _decode(path, kind, stated, limits, wanted)
    array = _scaled(_one_time(path, image, wanted), *stated.scaling)
    matrix = _matrix(image)
    warnings = _geometry_warnings(stated)
    return _volume(path, name, array, LPS_TO_RAS @ matrix, _meta_modality(reader), None, warnings)


def _read_nifti(path: Path, name: str, stated: Stated, limits: Limits, wanted: Wanted) -> Volume:
    opened = open_nifti(path)
    size, components = opened.shape, opened.colours
    if len(size) > 4 and opened.colours == 1:
        size, components = (*size[:4], *size[5:]), size[4]
    layout = ImageLayout(size, components, opened.pixel)
    _check_layout(path, "NIfTI", layout, stated, limits, wanted)
    if skew_of(opened.matrix) <= SKEW:
        volume = _volume(path, name, opened.voxels(wanted), opened.matrix, None, None, opened.warnings)
        return replace(volume, nifti=opened.forms)
    if not wanted.resample:
        raise InputError(
            f"{path} is sheared: its voxel axes do not meet at right angles; have it resampled to a "
            "rectangular grid (--resample)."
        )
    array, matrix = resample_sheared(opened.voxels(wanted), opened.matrix)
    voxels = " x ".join(str(extent) for extent in array.shape[::-1])
    said = (
        f"The file is sheared: it was resampled linearly to a rectangular grid of {voxels} voxels, and the "
        "mask lies on that grid, not on the file's.",
    )
    return _volume(path, name, array, matrix, None, None, opened.warnings + said)


def _scaled(array: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """Values times slope plus offset; whole ones of whole ones stay whole."""
    if (slope, offset) == (1.0, 0.0):
        return array
    if array.dtype.kind in "iu" and slope.is_integer() and offset.is_integer():
        return array.astype(np.int64) * int(slope) + int(offset)
    return array * slope + offset


def _one_time(path: Path, image: sitk.Image, wanted: Wanted) -> np.ndarray:
    """(K, J, I[, C]) of the wanted time point."""
    array, components = sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel()
    if components > 1 and not are_colours(components, image.GetPixelIDTypeAsString()):
        index = choose_time(path, [f"component {n}" for n in range(1, components + 1)], wanted)
        return _three_axes(array[..., index], 1)
    if array.ndim - (components > 1) == 4 and (array.shape[0] > 1 or wanted.time is not None):
        labels = [f"time point {number}" for number in range(1, array.shape[0] + 1)]
        array = array[choose_time(path, labels, wanted)]
    elif wanted.time not in (None, 1) and components == 1 and array.ndim == 3:
        raise InputError(f"{path} has a single time point; leave --time out.")
    return _three_axes(array, components)


def _read_picture(path: Path, name: str, kind: str, stated: Stated, limits: Limits) -> Volume:
    components = []

    def check(layout: ImageLayout) -> None:
        _check_layout(path, kind, layout, stated, limits)
        components.append(layout.components)

    try:
        array, printed = decode_picture(path, _READERS[kind], check)
    except RuntimeError as error:
        raise _refusal(path, kind, str(error)) from error
    warnings: tuple[str, ...] = (
        f"A {kind} picture states neither what it shows (look twice if it is no medical image) nor its size "
        f"in mm: pixels {UNSIZED}",
    )
    if "JPEG data" in printed:
        warnings += ("The JPEG file is damaged in places: look at the picture before trusting it.",)
    if stated.is_grey and components[0] > 1:
        array, components = array[..., 0], [1]  # the decoder makes colours of grey tiles
    return _volume(path, name, _three_axes(array, components[0]), LPS_TO_RAS, None, None, warnings)


def _three_axes(array: np.ndarray, components: int) -> np.ndarray:
    """A slice as a volume of one, without the axes of length 1 beyond the third."""
    spatial = array.ndim - (components > 1)
    return array[np.newaxis] if spatial == 2 else array.reshape(array.shape[spatial - 3 :])


def _decode(path: Path, kind: str, stated: Stated, limits: Limits, wanted: Wanted) -> tuple[sitk.Image, Any]:
    """The image as ITK reads it, and its reader (for tags)."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_READERS[kind])
    with without_warnings(), decodable(path, stated.data) as readable:
        reader.SetFileName(str(readable))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise _refusal(path, kind, str(error)) from error
        _check_layout(path, kind, ImageLayout.of(reader), stated, limits, wanted)
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise _refusal(path, kind, str(error)) from error
    return image, reader


def _volume(
    path: Path | str,
    name: str,
    array: np.ndarray,
    matrix: np.ndarray,
    modality: str | None,
    window: IntensityWindow | None,
    warnings: tuple[str, ...],
    frames: tuple[DicomFrame, ...] | None = None,
) -> Volume:
    """The volume, once its voxels and its geometry have been checked."""
    check_matrix(path, matrix)
    array, more = clean_voxels(path, array)
    return Volume(array, matrix, modality, window, name, (*warnings, *more), frames=frames)


def _refusal(path: Path, kind: str, reason: str) -> InputError:
    """What ITK's complaint means to the person who gave the file."""
    if "orthonormal" in reason:
        return _skewed(path)
    if "ero-valued spacing" in reason or "determinant is 0" in reason or "spacing (0)" in reason:
        return InputError(f"{path} states voxels of no size; correct the spacing in its header.")
    if "bad_alloc" in reason or "allocate" in reason:
        return InputError(f"{path} does not fit into this computer's memory; crop it first.")
    if "Unknown PixelType" in reason:
        return InputError(f"{path} has grey pixels with transparency; save it without an alpha channel.")
    return damaged(path, kind)


def _skewed(path: Path | str) -> InputError:
    return InputError(
        f"{path} is sheared: its voxel axes do not meet at right angles; resample it to a rectangular grid."
    )


def _check_layout(
    path: Path, kind: str, layout: ImageLayout, stated: Stated, limits: Limits, wanted: Wanted = ANY
) -> None:
    """Refuse dimensions, components and sizes this program cannot take, before the voxels are read."""
    if kind == "NIfTI" and len(layout.size) == 2 and stated.oriented:
        raise InputError(f"{path} is a 2-D NIfTI file with a position; save it as a volume of one slice.")
    _check_pixels(path, layout, wanted)
    size, components, pixel = layout.size, layout.components, layout.pixel
    if kind not in _PICTURES:
        spacing = stated.spacing or layout.spacing
        if not all(np.isfinite(value) and value > 0 for value in spacing[:3]):
            text = " x ".join(f"{value:g}" for value in spacing[:3])
            raise InputError(f"{path} states a voxel size of {text} mm; correct the spacing in its header.")
    itemsize = 1 if "8-bit" in pixel else 2 if "16-bit" in pixel else 8 if "64-bit" in pixel else 4
    check_claim(path, math.prod(size) * components * itemsize, stated.held, limits)


def _check_pixels(path: Path | str, layout: ImageLayout, wanted: Wanted = ANY) -> None:
    """Refuse dimensions and components this program cannot take, or that need a choice nobody made."""
    size, components, pixel = layout.size, layout.components, layout.pixel
    if len(size) < 2:
        raise InputError(f"{path} is one-dimensional; give an image or a volume.")
    chosen = wanted.time is not None or wanted.choose is not None
    if any(extent > 1 for extent in size[4:]) or (not chosen and any(extent > 1 for extent in size[3:])):
        text = " x ".join(map(str, size))
        is_choice = not any(extent > 1 for extent in size[4:])
        advice = f"choose --time 1 to {size[3]}, or export" if is_choice else "export"
        raise InputError(f"{path} has {len(size)} dimensions ({text}); {advice} one time point as a volume.")
    if "complex" in pixel:
        raise InputError(f"{path} has complex voxels; export its magnitude.")
    if components > 1 and not are_colours(components, pixel) and chosen:
        return
    if components not in (1, 3, 4):
        raise InputError(
            f"{path} has {components} components per voxel; choose --time 1 to {components} for one of "
            "them, or export grey or RGB values."
        )
    if components > 1 and "unsigned" not in pixel:
        raise InputError(
            f"{path} has {components} signed values per voxel, no colours; choose one with --time."
        )


def _matrix(image: sitk.Image) -> np.ndarray:
    """(4, 4) voxel -> LPS; a 2-D image lies in the plane of the first two axes, 1 mm thick."""
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))
    matrix = np.eye(4)
    n = min(dimension, 3)
    matrix[:n, :n] = direction[:n, :n] * np.asarray(image.GetSpacing()[:n])
    matrix[:n, 3] = image.GetOrigin()[:n]
    return matrix


def check_matrix(path: Path | str, matrix: np.ndarray) -> None:
    """Refuse a voxel grid that is not finite, has no extent, or is not rectangular."""
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or not (lengths > 0).all():
        raise no_position(path)
    if lengths.min() < SMALLEST_MM or lengths.max() > LARGEST_MM:
        text = " x ".join(f"{value:g}" for value in lengths)
        raise InputError(f"{path} states a voxel size of {text} mm; correct the spacing in its header.")
    if np.abs(matrix[:3, 3]).max() > FARTHEST_MM:
        raise InputError(f"{path} states a position far from any patient; correct the origin in its header.")
    if skew_of(matrix) > SKEW:
        raise _skewed(path)


def skew_of(matrix: np.ndarray) -> float:
    """The largest cosine between two voxel axes of a (4, 4) matrix."""
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def _geometry_warnings(stated: Stated) -> tuple[str, ...]:
    """What was assumed about sizes."""
    warnings = []
    if not stated.has_spacing:
        warnings.append(f"The file states no voxel size: voxels {UNSIZED}")
    if stated.unit:
        warnings.append(f"The file states sizes in {stated.unit}: they are taken as mm, as in 3D Slicer.")
    return tuple(warnings)


def _meta_modality(reader: Any) -> str | None:
    """The modality a MetaImage header may state."""
    if not reader.HasMetaDataKey("Modality"):
        return None
    word = reader.GetMetaData("Modality").removeprefix("MET_MOD_")
    return word if word in ("CT", "MR", "NM", "US") else None
