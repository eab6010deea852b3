"""The headers of DICOM files: which of them hold images, and what is stated about each frame."""

from __future__ import annotations

import contextlib
import re
import struct
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.headers import Limits, check_header, damaged, is_bare_dicom
from SPASegmentLib.imaging.types import IntensityWindow

_NOT_SCANS = (
    *("4.2", "9", "11", "30", "66", "67", "88", "104"),
    *("481.2", "481.3", "481.4", "481.5", "481.6", "481.7", "481.8", "481.9"),
)
"""SOP classes, below the storage root, that hold no scan: segmentations, registrations, raw data, parametric
maps, doses, spectra, waveforms, presentation states, reports, documents, contours and plans."""
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_DEFERRED = 2**16
"""Larger values (pixels) stay in the file until they are asked for."""
_TIMES = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TemporalPositionTimeOffset",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "EchoNumbers",
    "EchoTime",
    "EffectiveEchoTime",
    "InversionTime",
    "DiffusionBValue",
    "FrameType",
    "ImageType",
    "ComplexImageComponent",
    "AcquisitionNumber",
)
"""What tells images of one place apart, the first that does so before the others."""
_QUANTITIES = ("CT", "MR", "PT", "NM")
"""Modalities whose values are quantities, whatever they look like on a screen."""
NM_VECTORS = ("EnergyWindow", "Detector", "Phase", "Rotation", "RRInterval", "TimeSlot", "AngularView")
"""What may change from frame to frame in NM beside the slice."""
_ROUGH = 0.1
"""Squared lengths and cosines of stated directions may be off by this much."""
_FRAME_TIME, _FRAME_TIMES = 0x00181063, 0x00181065


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of one file. position and axes (2, 3) in LPS, spacing (row, col) mm; None where not stated.

    index: of the frame in its file. size: (columns, rows). step: mm to the next frame of its file or series.
    times: what is stated of its time, phase, echo or kind, by keyword.
    """

    path: Path
    index: int
    instance: str
    series: str
    stack: str
    size: tuple[int, int]
    components: int
    position: np.ndarray | None
    axes: np.ndarray | None
    spacing: tuple[float, float] | None
    step: float | None
    number: int
    modality: str | None
    window: IntensityWindow | None
    about: str = ""
    is_multi_frame: bool = False
    times: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def warnings_off() -> Iterator[None]:
    """Without what pydicom thinks of values that are not as the standard wants them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def image_files(folder: Path, limits: Limits) -> tuple[list[tuple[Path, Any]], list[str]]:
    """Every DICOM image of a folder, or where none lies in it of those below, and what was left out, named.

    Raises InputError for a file that calls itself DICOM and is damaged.
    """
    left_out: list[str] = []
    for paths in (sorted(folder.iterdir()), sorted(folder.rglob("*/*"))):
        found = []
        for path in paths:
            if not path.is_file() or path.name.upper() == "DICOMDIR":
                continue
            if path.name.startswith("._"):
                if path.suffix.lower() in (".dcm", ".ima"):
                    left_out.append(f"{path.name} (made by macOS)")
                continue
            if not looks_like_dicom(path):
                continue
            header = _header_or_none(path, limits)
            if header is None:
                continue
            kind = not_an_image(header)
            if kind:
                left_out.append(f"{path.name} ({kind})")
            else:
                found.append((path, header))
        if found:
            return found, left_out
    return [], left_out


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes or its name."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:132] == b"DICM" or is_bare_dicom(start):
        return True
    return path.suffix.lower() in (".dcm", ".ima") and len(start) > 0


def not_an_image(header: Any) -> str:
    """What the file is, where it holds no scan; else an empty text."""
    name = text_of(header, "SOPClassUID") or text_of(header.file_meta, "MediaStorageSOPClassUID")
    part = name.removeprefix(_STORAGE) if name.startswith(_STORAGE) else ""
    kind = UID(name).name.removesuffix(" Storage") if UID(name).is_valid and name else "no image"
    kind = "private data" if kind == name else kind
    if any(part == one or part.startswith(f"{one}.") for one in _NOT_SCANS):
        return kind
    has_pixels = "PixelData" in header and "Rows" in header and "Columns" in header
    return "" if has_pixels else kind


def open_header(path: Path, limits: Limits) -> Any:
    """The header as pydicom reads it, pixels left in the file. Raises InputError for a damaged one."""
    check_header(path, "DICOM", limits)
    try:
        with warnings_off():
            header = pydicom.dcmread(path, defer_size=_DEFERRED, force=True)
            if len(header) == 0:
                raise ValueError("no element")
            if "TransferSyntaxUID" not in header.file_meta:
                is_implicit = header.original_encoding[0]
                header.file_meta.TransferSyntaxUID = (
                    ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
                )
    except OSError:
        raise
    except Exception as error:  # pydicom raises many kinds for damaged files
        raise damaged(path, "DICOM") from error
    return header


def _header_or_none(path: Path, limits: Limits) -> Any:
    """The header; None for a file that only looked like DICOM."""
    try:
        return open_header(path, limits)
    except InputError:
        with path.open("rb") as file:
            named = path.suffix.lower() in (".dcm", ".ima") or file.read(132)[128:] == b"DICM"
        if named:
            raise
        return None


def numbers_of(header: Any, keyword: str) -> list[float]:
    """The finite numbers of an element, empty where it is missing or holds anything else."""
    try:
        value = header.get(keyword)
        if value is None or isinstance(value, str | bytes):
            return []
        values = [float(one) for one in value] if isinstance(value, Iterable) else [float(value)]
    except (ValueError, TypeError, OverflowError):
        return []
    return values if all(np.isfinite(values)) else []


def text_of(header: Any, keyword: str) -> str:
    """The text of an element on one line, empty where it is missing or cannot be read."""
    try:
        value = header.get(keyword)
    except (ValueError, TypeError):
        return ""
    return "" if value is None else re.sub(r"\s+", " ", str(value)).strip(" \0")


def frames_of(path: Path, header: Any) -> list[Frame]:
    """Every frame of a file with what is stated about it. Raises InputError where that cannot be."""
    with warnings_off():
        try:
            return list(_frames(path, header))
        except (AttributeError, IndexError, ValueError, TypeError, struct.error, RecursionError) as error:
            raise damaged(path, "DICOM") from error


def _frames(path: Path, header: Any) -> Iterator[Frame]:
    count = int(next(iter(numbers_of(header, "NumberOfFrames")), 1))
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if count < 1 or (groups is not None and len(groups) not in (0, count)):
        raise ValueError("number of frames")
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    for index in range(count):
        items = [*(_parts([groups[index]]) if groups else ()), *_parts(shared)]
        if groups or shared:
            yield _frame(path, header, items, index, count)
        else:
            yield _frame(path, header, _classic_parts(header), index, count)


def _parts(groups: Iterable[Any]) -> Iterator[Any]:
    """The macros of functional groups, each a data set of its own."""
    for group in groups:
        for element in group:
            if element.VR == "SQ" and len(element.value):
                yield element.value[0]


def _classic_parts(header: Any) -> list[Any]:
    """Where a file without functional groups states its geometry beside the header itself: in NM."""
    return list(header.get("DetectorInformationSequence") or [])[:1]


def _frame(path: Path, header: Any, parts: list[Any], index: int, count: int) -> Frame:
    sources = [*parts, header]

    def first(*keywords: str) -> list[float]:
        found = (numbers_of(part, keyword) for keyword in keywords for part in sources)
        return next((one for one in found if one), [])

    position, axes = first("ImagePositionPatient"), first("ImageOrientationPatient")
    spacing = first("PixelSpacing") or first("ImagerPixelSpacing", "NominalScannedPixelSpacing")
    if spacing and (len(spacing) < 2 or min(spacing) <= 0):
        raise InputError(f"{path} states a pixel size that is not positive; correct its tags.")
    in_groups = "PerFrameFunctionalGroupsSequence" in header or "SharedFunctionalGroupsSequence" in header
    is_cine = count > 1 and not in_groups and _is_cine(header)
    step = _step(first, count, in_groups)
    place = np.array(position[:3]) if len(position) == 3 else None
    directions = np.reshape(axes, (2, 3)) if _are_directions(axes) else None
    ordinal = int(next(iter(first("InstanceNumber")), 0)) if count == 1 else index
    times = {} if is_cine else _times(sources)
    if count > 1 and not in_groups:
        slices = numbers_of(header, "SliceVector")
        along = int(slices[index]) - 1 if len(slices) == count else index
        if is_cine:
            times["frame"] = float(index + 1)
        elif place is not None and directions is not None:
            place = place + np.cross(*directions) * along * (step or 1.0)
        ordinal = along if not is_cine else index
        times |= _vectors(header, index, count)
    return Frame(
        path=path,
        index=index,
        instance=text_of(header, "SOPInstanceUID") or str(path),
        series=text_of(header, "SeriesInstanceUID"),
        stack=next((text_of(part, "StackID") for part in parts if "StackID" in part), ""),
        size=(int(header.Columns), int(header.Rows)),
        components=_components(header),
        position=place,
        axes=directions,
        spacing=(spacing[0], spacing[1]) if spacing else None,
        step=abs(step) if step else None,
        number=ordinal,
        modality=text_of(header, "Modality") or None,
        window=None if is_inverted(header) else _window(first("WindowCenter"), first("WindowWidth")),
        about=_about(header),
        is_multi_frame=count > 1,
        times=times,
    )


def _are_directions(axes: list[float]) -> bool:
    """Whether six numbers are two directions at right angles, however roughly they are rounded."""
    if len(axes) != 6:
        return False
    products = np.reshape(axes, (2, 3)) @ np.reshape(axes, (2, 3)).T
    return bool(np.abs(products - np.eye(2)).max() < _ROUGH)


def is_inverted(header: Any) -> bool:
    """Whether grey values are turned over, as they are meant to be seen; quantities such as HU never are."""
    is_quantity = text_of(header, "Modality") in _QUANTITIES
    return not is_quantity and text_of(header, "PhotometricInterpretation") == "MONOCHROME1"


def _components(header: Any) -> int:
    if text_of(header, "PhotometricInterpretation") == "PALETTE COLOR":
        return 3
    return int(next(iter(numbers_of(header, "SamplesPerPixel")), 1))


def _step(first: Any, count: int, in_groups: bool) -> float | None:
    """mm from one frame to the next: signed in files that state one position for all of them."""
    between, thick = first("SpacingBetweenSlices"), first("SliceThickness")
    preferred = (between, thick) if count > 1 or in_groups else (thick, between)
    return next((one[0] for one in preferred if one and one[0] != 0), None)


def _is_cine(header: Any) -> bool:
    """Whether the frames of a file without functional groups follow each other in time."""
    pointer = header.get("FrameIncrementPointer")
    tags = [int(tag) for tag in (pointer if isinstance(pointer, Iterable) else [pointer])] if pointer else []
    timed = any(tag in (_FRAME_TIME, _FRAME_TIMES) for tag in tags)
    return timed or (not tags and ("FrameTime" in header or "CineRate" in header))


def _vectors(header: Any, index: int, count: int) -> dict[str, Any]:
    """What else of an NM file changes from frame to frame: window, detector, phase, time slot, angle."""
    found = {}
    for kind in NM_VECTORS:
        values = numbers_of(header, f"{kind}Vector")
        if len(values) == count:
            found[kind] = values[index]
    return found


def _times(sources: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for keyword in _TIMES:
        for part in sources:
            numbers = numbers_of(part, keyword)
            value = numbers[0] if len(numbers) == 1 else text_of(part, keyword)
            if value != "":
                found[keyword] = value
                break
    return found


def _window(centre: list[float], width: list[float]) -> IntensityWindow | None:
    """Display window (centre -+ width / 2, the first one stated)."""
    if not centre or not width or width[0] <= 0:
        return None
    return IntensityWindow(centre[0] - width[0] / 2, centre[0] + width[0] / 2)


def _about(header: Any) -> str:
    """A series in words: its modality, description and number."""
    words = [text_of(header, "Modality") or "images", f'"{text_of(header, "SeriesDescription")}"']
    number = text_of(header, "SeriesNumber")
    words.append(f"(series {number})" if number and number != "None" else "")
    return " ".join(word for word in words if word not in ("", '""'))
