"""Segments as DICOM segmentations (SEG), on the frames of the series they were drawn on.

highdicom makes the data set. It takes either one multi-frame image or single images of one series, while a
volume may be some frames of one or several files: so each frame is handed over as a single image of its own,
and every reference is given its file's name and the frame's number afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from SPASegmentLib import __version__
from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.imaging.dicom_headers import open_header, text_of, warnings_off
from SPASegmentLib.imaging.headers import OWN
from SPASegmentLib.imaging.segments import Segment, label_of
from SPASegmentLib.imaging.terminology import Concept
from SPASegmentLib.imaging.types import Volume

_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_COPIED = (0x0008, 0x0010, 0x0012, 0x0020)
"""Groups of elements that say whose images these are, of which study and series."""
_NEEDED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
"""Elements that a segmentation has even where the images leave them out; empty then."""
_MAKER = "SPASegment"
_SERIES_NUMBER = 1000
"""Added to the number of the images' series, so that the segmentation is listed behind it."""
_LARGEST_NUMBER = 2**31 - 1
_LONGEST_DESCRIPTION = 1024


def check_seg_source(volume: Volume) -> None:
    """Make sure that segments of a volume can be written as DICOM SEG, before anything is computed.

    Raises InputError with one sentence where it did not come from DICOM frames as they are, and
    ModuleNotFoundError where highdicom is missing.
    """
    import highdicom  # noqa: F401

    if volume.frames is None:
        raise InputError(
            "A DICOM segmentation refers to the DICOM series it was drawn on, and this volume is none; give "
            "the series, or write .seg.nrrd."
        )
    if not volume.frames:
        raise InputError(
            "A DICOM segmentation lies on the images of its series, and these were resampled to another "
            "grid; write .seg.nrrd."
        )
    with warnings_off():
        header = open_header(volume.frames[0].path, OWN)
    missing = [name for name in ("StudyInstanceUID", "SeriesInstanceUID") if not text_of(header, name)]
    if missing:
        raise InputError(f"The images state no {missing[0]}, which DICOM SEG must name; write .seg.nrrd.")
    if len(volume.frames) > 1 and not _is_placed(volume, header):
        raise InputError(
            "The images state no position in the patient or no frame of reference, which DICOM SEG needs for "
            "more than one slice; write .seg.nrrd."
        )


def write_dicom_seg(
    path: str | Path, segments: Sequence[Segment], volume: Volume, *, labelmap: bool = False
) -> None:
    """Write segments on the DICOM series a volume was read from; what was at `path` stays until then.

    labelmap: as the newer LABELMAP type, one number per voxel, instead of BINARY, which any reader knows.
    Raises InputError for segments of another shape, overlapping ones in a labelmap, and as
    `check_seg_source` does.
    """
    check_seg_source(volume)
    for one in segments:
        if one.mask.shape != volume.shape:
            raise InputError(f"A mask of {one.mask.shape} voxels does not fit a volume of {volume.shape}.")
    masks = np.stack([one.mask for one in segments], axis=-1).astype(np.uint8)
    if labelmap and (masks.sum(axis=-1, dtype=np.uint16) > 1).any():
        raise InputError("Segments overlap, which a labelmap cannot hold; write --seg-type binary.")
    with warnings_off():
        made = _made(masks, segments, volume, labelmap=labelmap)
    with atomic_file(Path(path)) as file:
        made.save_as(file, enforce_file_format=True)


def _made(masks: np.ndarray, segments: Sequence[Segment], volume: Volume, *, labelmap: bool) -> Dataset:
    """The data set of (K, J, I, S) masks."""
    import highdicom as hd

    images, names = _images_of(volume)
    stated = text_of(images[0], "SeriesNumber")
    number = int(stated) if stated.isdigit() else 0
    made = hd.seg.Segmentation(
        source_images=images,
        pixel_array=masks,
        segmentation_type="LABELMAP" if labelmap else "BINARY",
        segment_descriptions=[_description(at, one) for at, one in enumerate(segments, start=1)],
        series_instance_uid=generate_uid(),
        series_number=min(_SERIES_NUMBER + number, _LARGEST_NUMBER),
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=_MAKER,
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description="Segmentation of one or more structures",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=f"{_MAKER} segmentation",
        specific_character_set="ISO_IR 192",  # UTF-8, whatever the images are in
    )
    _name_references(made, names)
    return made


def _description(number: int, segment: Segment) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    structure, algorithm = segment.structure, segment.algorithm
    name = label_of(segment.name) or f"Segment_{number}"
    made = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=_coded(structure.category),
        segmented_property_type=_coded(structure.type),
        algorithm_type=algorithm.kind,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=codes.cid7162.ArtificialIntelligence,
            version=algorithm.version,
            parameters=dict(algorithm.parameters) or None,
        ),
        tracking_uid=generate_uid(),
        tracking_id=name,
        anatomic_regions=[_coded(structure.region)] if structure.region else None,
        display_color=hd.color.CIELabColor.from_rgb(*(round(255 * part) for part in segment.colour)),
    )
    whole = re.sub(r"[\x00-\x1f\x7f]", " ", segment.name).strip()
    if whole != name and label_of(whole):
        made.SegmentDescription = whole[:_LONGEST_DESCRIPTION]
    return made


def _coded(concept: Concept) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(concept.value, concept.scheme, concept.meaning)


def _images_of(volume: Volume) -> tuple[list[Dataset], dict[str, tuple[str, str, int | None]]]:
    """A single image for each slice, without pixels, and what its instance UID stands for.

    That is the class and instance UID of the frame's file, and the frame's number from 1 in one of several.
    """
    headers: dict[Path, Any] = {}
    images: list[Dataset] = []
    names: dict[str, tuple[str, str, int | None]] = {}
    for frame in volume.frames or ():
        if frame.path not in headers:
            headers[frame.path] = open_header(frame.path, OWN)
        header = headers[frame.path]
        uid = generate_uid()
        images.append(_image_of(volume, len(images), images[0] if images else header))
        images[-1].SOPInstanceUID = uid
        number = frame.index + 1 if "NumberOfFrames" in header else None
        names[uid] = (text_of(header, "SOPClassUID"), text_of(header, "SOPInstanceUID"), number)
    return images, names


def _image_of(volume: Volume, index: int, header: Any) -> Dataset:
    """Slice `index` as an image of the series of a header."""
    image = Dataset()
    for element in header:
        if element.tag.group in _COPIED and element.VR != "SQ":
            image.add_new(element.tag, element.VR, element.value)
    for keyword in _NEEDED:
        if keyword not in image:
            setattr(image, keyword, None)
    image.SOPClassUID = SecondaryCaptureImageStorage
    image.Rows, image.Columns = volume.shape[1:]
    matrix = _TO_LPS @ volume.ijk_to_ras
    col, row, thick = (float(mm) for mm in np.linalg.norm(matrix[:3, :3], axis=0))
    image.PixelSpacing = _decimals((row, col))
    image.SliceThickness = image.SpacingBetweenSlices = _decimals((thick,))[0]
    if _is_placed(volume, image):
        assert volume.frames is not None
        axes = matrix[:3, :2] / (col, row)
        image.ImageOrientationPatient = _decimals(axes.T.ravel())
        image.ImagePositionPatient = _decimals(volume.frames[index].position)
    else:
        for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"):
            if keyword in image:
                delattr(image, keyword)
    return image


def _is_placed(volume: Volume, header: Any) -> bool:
    """Whether every slice has its place in the patient."""
    has_positions = all(frame.position is not None for frame in volume.frames or ())
    return has_positions and bool(text_of(header, "FrameOfReferenceUID"))


def _decimals(values: Any) -> list[str]:
    return [format_number_as_ds(float(value) + 0.0) for value in values]


def _name_references(made: Dataset, names: dict[str, tuple[str, str, int | None]]) -> None:
    """Let every reference to a slice's image name the slice's file, and its frame where it has several."""
    for holder, keyword, has_frames in _reference_lists(made):
        kept: dict[str, Dataset] = {}
        for item in getattr(holder, keyword):
            if item.ReferencedSOPInstanceUID in names:  # else the item stands in another list, too
                item.ReferencedSOPClassUID, instance, number = names[item.ReferencedSOPInstanceUID]
                item.ReferencedSOPInstanceUID = instance
                if has_frames and number is not None:
                    item.ReferencedFrameNumber = number
            kept.setdefault(item.ReferencedSOPInstanceUID, item)
        setattr(holder, keyword, list(kept.values()))


def _reference_lists(made: Dataset) -> Iterator[tuple[Dataset, str, bool]]:
    """Every data set with references to images, the sequence they are in, and whether they name frames."""
    if "SourceImageSequence" in made:
        yield made, "SourceImageSequence", False
    for series in made.get("ReferencedSeriesSequence", ()):
        yield series, "ReferencedInstanceSequence", False
    for group in made.PerFrameFunctionalGroupsSequence:
        for derivation in group.get("DerivationImageSequence", ()):
            yield derivation, "SourceImageSequence", True
