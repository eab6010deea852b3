"""DICOM segmentations (SEG) read onto the voxels of a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.dicom_headers import (
    Frame,
    frames_of,
    numbers_of,
    open_header,
    text_of,
    warnings_off,
)
from SPASegmentLib.imaging.dicom_pixels import stored_values
from SPASegmentLib.imaging.dicom_sources import check_frame_of_reference
from SPASegmentLib.imaging.headers import OWN, check_claim, damaged
from SPASegmentLib.imaging.segments import COLOUR, Algorithm, Colour, Segment, label_of
from SPASegmentLib.imaging.terminology import TISSUE, Concept, Structure
from SPASegmentLib.imaging.types import Volume

_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation storage: of binary and fractional ones, and of labelmaps."""
_OFF = 0.1
"""How far, in voxels, a pixel of a frame may lie off the volume's."""
_OFF_SLICE = 0.25
"""How far, in slices, a frame may lie off its slice: positions are rounded, and slices made even."""
_UNEVEN = 0.05
"""How much the stated distance of the frames may differ from the volume's slices, as a share."""
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_dicom_seg(path: str | Path, volume: Volume) -> list[Segment]:
    """The segments of a SEG file, BINARY, FRACTIONAL or LABELMAP, on a volume's voxels.

    Frames are put where they state to lie; one without a position belongs to a volume of one slice. Of
    fractional ones, what is at least half in. Raises InputError with one sentence where the file is none,
    is damaged, lies on other voxels or in another frame of reference.
    """
    path = Path(path)
    header = open_header(path, OWN)
    if text_of(header, "SOPClassUID") not in _CLASSES:
        raise InputError(
            f"{path} is no DICOM segmentation; give a SEG file, RTSTRUCT, .seg.nrrd, .nrrd or NIfTI."
        )
    check_frame_of_reference(path, text_of(header, "FrameOfReferenceUID"), volume)
    frames = frames_of(path, header)
    columns, rows = frames[0].size
    check_claim(path, columns * rows * len(frames), path.stat().st_size * 8, OWN)
    with warnings_off():
        try:
            return _segments(path, header, frames, volume)
        except (OSError, MemoryError, InputError):
            raise
        except Exception as error:  # pydicom and its decoders raise many kinds for damaged files
            raise damaged(path, "DICOM") from error


def _segments(path: Path, header: Any, frames: list[Frame], volume: Volume) -> list[Segment]:
    _check_steps(path, header, volume)
    columns, rows = frames[0].size
    stored = stored_values(header).reshape(-1, rows, columns)
    kind = text_of(header, "SegmentationType")
    half = numbers_of(header, "MaximumFractionalValue")[0] / 2 if kind == "FRACTIONAL" else 0.5
    items = [item for item in header.SegmentSequence if int(item.SegmentNumber) > 0]
    masks = {int(item.SegmentNumber): np.zeros(volume.shape, dtype=bool) for item in items}
    for frame, values in zip(frames, stored, strict=True):
        if kind == "LABELMAP":
            found = [int(value) for value in np.unique(values) if int(value) in masks]
            parts = [(number, values == number) for number in found]
        else:
            parts = [(_segment_number(header, frame.index), values >= half)]
        for number, pixels in parts:
            _put(path, masks[number], pixels, frame, volume)
    return [_segment(item, masks[int(item.SegmentNumber)]) for item in items]


def _segment_number(header: Any, index: int) -> int:
    groups = (header.PerFrameFunctionalGroupsSequence[index], header.SharedFunctionalGroupsSequence[0])
    own = next(group for group in groups if "SegmentIdentificationSequence" in group)
    return int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _check_steps(path: Path, header: Any, volume: Volume) -> None:
    """Refuse frames that lie closer or farther apart than the volume's slices along their direction."""
    shared = header.SharedFunctionalGroupsSequence[0]
    measures = next(iter(shared.get("PixelMeasuresSequence", ())), None)
    stated = numbers_of(measures, "SpacingBetweenSlices") if measures is not None else []
    steps = np.linalg.norm(volume.ijk_to_ras[:3, :3], axis=0)
    if stated and stated[0] > 0 and np.abs(stated[0] / steps - 1).min() > _UNEVEN:
        raise _elsewhere(path)


def _put(path: Path, mask: np.ndarray, pixels: np.ndarray, frame: Frame, volume: Volume) -> None:
    """Set the voxels of a (K, J, I) mask that the set pixels of a frame are. Raises InputError."""
    at = np.argwhere(pixels)
    if not len(at):
        return
    if frame.position is None or frame.axes is None or frame.spacing is None:
        if volume.shape != (1, *pixels.shape):
            raise InputError(f"{path} states no position, and the volume has other pixels or several slices.")
        mask[0][pixels] = True
        return
    rows, cols = frame.spacing
    place = np.eye(4)
    place[:3, 0], place[:3, 1], place[:3, 3] = frame.axes[1] * rows, frame.axes[0] * cols, frame.position
    to_voxel = np.linalg.solve(_TO_LPS @ volume.ijk_to_ras, place)
    steps = to_voxel[:3, :2]
    found = at @ steps.T + to_voxel[:3, 3]
    voxels = np.round(found)
    whole = np.abs(np.abs(steps) - np.round(np.abs(steps))).max() * max(pixels.shape) <= _OFF
    off = np.where(np.abs(steps).sum(axis=1) > 0.5, _OFF, _OFF_SLICE)
    if not whole or (np.abs(steps).sum(axis=0).round() != 1).any() or (np.abs(found - voxels) > off).any():
        raise _elsewhere(path)
    i, j, k = voxels.astype(int).T
    depth, height, width = volume.shape
    if min(i.min(), j.min(), k.min()) < 0 or i.max() >= width or j.max() >= height or k.max() >= depth:
        raise InputError(f"{path} reaches beyond the volume; open the series it was drawn on.")
    mask[k, j, i] = True


def _elsewhere(path: Path) -> InputError:
    return InputError(f"{path} lies on other voxels than the volume; open the series it was drawn on.")


def _segment(item: Any, mask: np.ndarray) -> Segment:
    """What a file says of a segment."""
    category, kind, region = (
        _concept(item, name)
        for name in (
            "SegmentedPropertyCategoryCodeSequence",
            "SegmentedPropertyTypeCodeSequence",
            "AnatomicRegionSequence",
        )
    )
    structure = TISSUE if category is None or kind is None else Structure(category, kind, region)
    about = next(iter(item.get("SegmentationAlgorithmIdentificationSequence", ())), None)
    stated = text_of(about, "AlgorithmParameters") if about is not None else ""
    pairs = (text.partition("=") for text in stated.split(","))
    algorithm = Algorithm(
        name=text_of(item, "SegmentAlgorithmName") or "unknown",
        version=(text_of(about, "AlgorithmVersion") if about is not None else "") or "unknown",
        parameters=tuple((name.strip(), value.strip()) for name, sign, value in pairs if sign),
        kind=text_of(item, "SegmentAlgorithmType") or "SEMIAUTOMATIC",
    )
    label, whole = text_of(item, "SegmentLabel"), text_of(item, "SegmentDescription")
    name = (whole if label and label_of(whole) == label else label) or f"Segment_{int(item.SegmentNumber)}"
    return Segment(name, mask, structure, _colour(item), algorithm)


def _concept(item: Any, keyword: str) -> Concept | None:
    code = next(iter(item.get(keyword) or ()), None)
    if code is None:
        return None
    words = [text_of(code, name) for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
    return Concept(*words) if all(words) else None


def _colour(item: Any) -> Colour:
    """RGB of the stated CIELab colour, where highdicom is there to convert it."""
    stated = numbers_of(item, "RecommendedDisplayCIELabValue")
    try:
        from highdicom.color import CIELabColor
    except ModuleNotFoundError:
        return COLOUR
    if len(stated) != 3:
        return COLOUR
    red, green, blue = CIELabColor.from_dicom_value([int(one) for one in stated]).to_rgb(clip=True)
    return (red / 255, green / 255, blue / 255)
