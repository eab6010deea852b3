"""DICOM files made by pydicom, tag by tag as wanted, so that their right values are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1"
NM, US = "1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.6.1"
US_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"
SEGMENTATION, PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.30"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
AXIAL = (1, 0, 0, 0, 1, 0)


def numbers(values: Any, digits: int = 10) -> list[str]:
    """Decimal strings as scanners write them."""
    return [f"{float(value):.{digits}g}" for value in values]


def header(sop: str = CT, series: str = "1.2.3", **more: Any) -> FileDataset:
    """A data set without pixels. more: elements by keyword; None leaves one out."""
    made = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = sop, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Modality = "1.2", series, "CT"
    made.RescaleSlope, made.RescaleIntercept = "1", "-1024"
    for keyword, value in more.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def set_pixels(made: Dataset, pixels: np.ndarray) -> None:
    """Put (J, I) or (frames, J, I) uint16 or int16 values into a data set."""
    made.SamplesPerPixel, made.PhotometricInterpretation = (
        1,
        made.get("PhotometricInterpretation", "MONOCHROME2"),
    )
    made.Rows, made.Columns = pixels.shape[-2:]
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = np.ascontiguousarray(pixels).tobytes()


def write_slice(
    path: Path,
    pixels: np.ndarray,
    position: Any,
    *,
    axes: Any = AXIAL,
    spacing: Any = (0.8, 0.7),
    digits: int = 10,
    **more: Any,
) -> FileDataset:
    """Write one slice of (J, I) stored values."""
    made = header(**more)
    set_pixels(made, pixels)
    made.ImagePositionPatient, made.ImageOrientationPatient = numbers(position, digits), numbers(axes)
    made.PixelSpacing = numbers(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return made


def item(**elements: Any) -> Sequence:
    """A sequence of one item."""
    inner = Dataset()
    for keyword, value in elements.items():
        setattr(inner, keyword, value)
    return Sequence([inner])


def frame_group(
    position: Any = None, axes: Any = None, spacing: Any = None, scaling: Any = None, **content: Any
) -> Dataset:
    """One item of functional groups. content: elements of the frame content macro, or further macros."""
    group = Dataset()
    if position is not None:
        group.PlanePositionSequence = item(ImagePositionPatient=numbers(position))
    if axes is not None:
        group.PlaneOrientationSequence = item(ImageOrientationPatient=numbers(axes))
    if spacing is not None:
        group.PixelMeasuresSequence = item(PixelSpacing=numbers(spacing[:2]), SliceThickness=str(spacing[2]))
    if scaling is not None:
        slope, intercept = numbers(scaling)
        group.PixelValueTransformationSequence = item(
            RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US"
        )
    macros = {name: value for name, value in content.items() if isinstance(value, Sequence)}
    plain = {name: value for name, value in content.items() if name not in macros}
    if plain:
        group.FrameContentSequence = item(**plain)
    for name, value in macros.items():
        setattr(group, name, value)
    return group


def write_frames(
    path: Path,
    pixels: np.ndarray,
    groups: list[Dataset] | None = None,
    shared: Dataset | None = None,
    **more: Any,
) -> FileDataset:
    """Write (frames, J, I) stored values as one file."""
    made = header(**{"sop": ENHANCED_CT, "RescaleSlope": None, "RescaleIntercept": None, **more})
    set_pixels(made, pixels)
    made.NumberOfFrames = len(pixels)
    if groups is not None:
        made.PerFrameFunctionalGroupsSequence = Sequence(groups)
    if shared is not None:
        made.SharedFunctionalGroupsSequence = Sequence([shared])
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return made


def write_structures(
    path: Path, regions: dict[str, list[Any]], frame: str | None = "1.2.9", kind: str = "CLOSED_PLANAR"
) -> FileDataset:
    """Write an RT structure set. regions: by name, (n, 3) mm in LPS of each contour; colours as they come."""
    made = header(RTSTRUCT, "1.2.7", Modality="RTSTRUCT", RescaleSlope=None, RescaleIntercept=None)
    made.SpecificCharacterSet = "ISO_IR 192"
    rois, drawn = [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        about = item(ROINumber=number, ROIName=name, ROIGenerationAlgorithm="MANUAL")[0]
        if frame is not None:
            about.ReferencedFrameOfReferenceUID = frame
        parts = [
            item(
                ContourGeometricType=kind,
                NumberOfContourPoints=len(points),
                ContourData=numbers(np.ravel(points)),
            )[0]
            for points in contours
        ]
        rois.append(about)
        drawn.append(item(ReferencedROINumber=number, ROIDisplayColor=[51 * number, 255, 0])[0])
        if parts:
            drawn[-1].ContourSequence = Sequence(parts)
    made.StructureSetROISequence, made.ROIContourSequence = Sequence(rois), Sequence(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return made
