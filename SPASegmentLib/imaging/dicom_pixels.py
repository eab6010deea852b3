"""The voxel values of DICOM frames: decoded, and scaled by the slope and intercept each frame states."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import apply_modality_lut
from pydicom.uid import UID

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.decoding import decodable, without_warnings
from SPASegmentLib.imaging.dicom_headers import Frame, is_inverted, numbers_of, warnings_off
from SPASegmentLib.imaging.headers import damaged

_DESCRIBING = (
    *("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PlanarConfiguration"),
)


def frame_values(path: Path, header: Any, frames: list[Frame]) -> list[np.ndarray]:
    """(J, I) values, or (J, I, 3) colours, of frames of one file; integers stay integers.

    Slope and intercept are those of each frame's own groups. Grey pictures of MONOCHROME1 are inverted, as
    they are meant to be seen; values that are quantities, such as HU, are not.
    Raises InputError where the pixels cannot be decoded.
    """
    if frames[0].components not in (1, 3):
        raise InputError(
            f"{path} has {frames[0].components} components per pixel; export grey or RGB images."
        )
    try:
        with warnings_off():
            if frames[0].components == 3:
                return _colours(path, frames)
            stored = stored_values(header)
            columns, rows = frames[0].size
            stored = stored.reshape(-1, rows, columns)
            return [_scaled(header, stored[frame.index], frame) for frame in frames]
    except (OSError, MemoryError, InputError):
        raise
    except Exception as error:  # decoders raise many kinds for damaged pixels
        raise damaged(path, "DICOM") from error


def _colours(path: Path, frames: list[Frame]) -> list[np.ndarray]:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    with without_warnings(), decodable(path) as readable:
        reader.SetFileName(str(readable))
        array = sitk.GetArrayFromImage(reader.Execute())
    columns, rows = frames[0].size
    array = array.reshape(-1, rows, columns, 3)
    return [array[frame.index] for frame in frames]


def stored_values(header: Any) -> np.ndarray:
    """The stored values of all frames, before any scaling."""
    syntax = header.file_meta.TransferSyntaxUID
    stored = int(header.BitsStored)
    lowest = int(header.get("HighBit", stored - 1)) - stored + 1
    if syntax.is_compressed and not syntax.is_deflated:
        array, lowest = _decoded(header, syntax), 0
    else:
        array = _all_bits(header, syntax) if lowest else header.pixel_array
    bits = array.dtype.itemsize * 8
    unused = bits - stored
    if unused > 0 and int(header.BitsAllocated) == bits:
        if not 0 <= lowest <= unused:
            raise ValueError("high bit")
        array = (array << unused - lowest) >> unused  # bits beside those stored may hold an overlay
    return array


def _all_bits(header: Any, syntax: UID) -> np.ndarray:
    """Pixels with all bits that are allocated; pydicom takes those stored for the lowest ones."""
    bare = _bare(header)
    bare.PixelData = header.PixelData
    bare["PixelData"].VR = "OW"
    bare.BitsStored = header.BitsAllocated
    bare.HighBit = header.BitsAllocated - 1
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    return np.asarray(bare.pixel_array)


def _bare(header: Any) -> pydicom.Dataset:
    """A data set of grey pixels that holds nothing but what describes them."""
    bare = pydicom.Dataset()
    for keyword in _DESCRIBING:
        if keyword in header:
            setattr(bare, keyword, header[keyword].value)
    bare.PhotometricInterpretation = "MONOCHROME2"
    return bare


def _decoded(header: Any, syntax: UID) -> np.ndarray:
    """Compressed pixels, decoded by GDCM from a file that holds nothing else, so that nothing is scaled."""
    bare = _bare(header)
    bare.SOPClassUID, bare.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.7"), UID("1.2.3")
    if int(header.get("NumberOfFrames", 1) or 1) > 1:
        bare.SOPClassUID = UID(f"1.2.840.10008.5.1.4.1.1.7.{2 if header.BitsAllocated == 8 else 3}")
    bare["PixelData"] = header["PixelData"]
    bare["PixelData"].is_undefined_length = True
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    with tempfile.TemporaryDirectory(prefix="spasegment-") as folder:
        path = Path(folder) / "pixels.dcm"
        bare.save_as(path, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO("GDCMImageIO")
        with without_warnings():
            return sitk.GetArrayFromImage(reader.Execute())


def _scaled(header: Any, stored: np.ndarray, frame: Frame) -> np.ndarray:
    if is_inverted(header):
        stored = _inverted(header, stored)
    if "ModalityLUTSequence" in header:
        return np.asarray(apply_modality_lut(stored, header))
    slope, intercept = _scaling(header, frame.index)
    if slope == 1 and intercept == 0:
        return stored if stored.dtype.itemsize == 1 else _smallest(stored)
    if slope.is_integer() and intercept.is_integer():
        return _smallest(stored.astype(np.int64) * int(slope) + int(intercept))
    return stored.astype(np.float64) * slope + intercept


def _smallest(plane: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest type of 16 bits or more that holds them."""
    low, high = int(plane.min()), int(plane.max())
    for kind in (np.int16, np.int32):
        if low >= np.iinfo(kind).min and high <= np.iinfo(kind).max:
            return plane.astype(kind)
    return plane.astype(np.int64)


def _inverted(header: Any, stored: np.ndarray) -> np.ndarray:
    bits = int(header.BitsStored)
    ends = -1 if int(header.PixelRepresentation) else 2**bits - 1
    return (ends - stored.astype(np.int64)).astype(stored.dtype)


def _scaling(header: Any, index: int) -> tuple[float, float]:
    """Slope and intercept: of the frame's own group, of the group all frames share, or of the header."""
    sources = [header]
    for sequence, at in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", index)):
        groups = header.get(sequence)
        if groups and at < len(groups):
            sources[:0] = list(groups[at].get("PixelValueTransformationSequence") or [])[:1]
    slope = next((n[0] for n in (numbers_of(s, "RescaleSlope") for s in sources) if n), 1.0)
    intercept = next((n[0] for n in (numbers_of(s, "RescaleIntercept") for s in sources) if n), 0.0)
    return (slope if slope != 0 else 1.0), intercept
