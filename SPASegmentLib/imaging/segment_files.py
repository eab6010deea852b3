"""Segments from files, on the voxels of a volume: Slicer's .seg.nrrd, label files, DICOM SEG, RTSTRUCT."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.decoding import without_warnings
from SPASegmentLib.imaging.files import read_volume, volume_of
from SPASegmentLib.imaging.headers import OWN, damaged, kind_of
from SPASegmentLib.imaging.segments import ALGORITHM_TAG, COLOUR, Colour, Segment, parse_algorithm
from SPASegmentLib.imaging.terminology import TISSUE, parse_entry
from SPASegmentLib.imaging.types import Volume

_OFF = 1e-2
"""How far, in voxels, a label file's grid may lie off the volume's."""
_MOST = 1000
"""Different values of a labelling; more of them are grey values of an image."""
_HEADER = 2**22


def read_segments(path: str | Path, volume: Volume) -> list[Segment]:
    """The segments of a file on a volume's voxels; those of a plain label file are named by their values.

    The file may cover a part of the volume, as a segmentation that Slicer cropped does. Raises InputError
    with one sentence for a file that cannot be read, is no labelling, or lies on another grid.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path}; check the path.")
    if kind_of(path) == "DICOM":
        from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
        from SPASegmentLib.imaging.rtstruct import is_rtstruct, read_rtstruct

        return read_rtstruct(path, volume) if is_rtstruct(path) else read_dicom_seg(path, volume)
    keys = _nrrd_keys(path) if path.name.lower().endswith(".seg.nrrd") else {}
    layers = _layers(path, keys)
    start = first_voxel(path, layers[0], volume)
    box = tuple(slice(first, first + n) for first, n in zip(start, layers[0].shape, strict=True))

    def placed(at: np.ndarray) -> np.ndarray:
        mask = np.zeros(volume.shape, dtype=bool)
        mask[box] = at
        return mask

    if not keys:
        return [Segment(f"{value:g}", placed(layers[0].array == value)) for value in _values(path, layers[0])]
    found = []
    for number in range(sum(bool(re.fullmatch(r"Segment\d+_ID", key)) for key in keys)):
        own = {
            name: keys.get(f"Segment{number}_{name}", "") for name in ("Name", "LabelValue", "Layer", "Tags")
        }
        layer = layers[_number(path, own["Layer"], 0)].array
        entry, drawn = (
            re.search(rf"{re.escape(tag)}:([^|]*)", own["Tags"])
            for tag in ("TerminologyEntry", ALGORITHM_TAG)
        )
        found.append(
            Segment(
                own["Name"] or f"Segment_{number + 1}",
                placed(layer == _number(path, own["LabelValue"], 1)),
                (parse_entry(entry[1]) if entry else None) or TISSUE,
                _colour(keys.get(f"Segment{number}_Color", "")),
                parse_algorithm(drawn[1] if drawn else ""),
            )
        )
    return found


def _number(path: Path, text: str, default: int) -> int:
    """The number in a header's key. Raises InputError where it is none."""
    if text and not text.isdigit():
        raise damaged(path, "NRRD")
    return int(text or default)


def _values(path: Path, labels: Volume) -> np.ndarray:
    """The values of a labelling other than 0, in order. Raises InputError where it is none."""
    values = np.unique(labels.array)
    if labels.is_rgb or len(values) > _MOST:
        raise InputError(f"{path} is an image, no labelling; give a file with one number per segment.")
    return values[values != 0]


def _layers(path: Path, keys: dict[str, str]) -> list[Volume]:
    """The labelmaps of a file: one, or where its segments overlap several."""
    last = max(
        (_number(path, text, 0) for key, text in keys.items() if re.fullmatch(r"Segment\d+_Layer", key)),
        default=0,
    )
    if not last:
        return [read_volume(path, OWN)]
    try:
        with without_warnings():
            image = sitk.ReadImage(str(path), imageIO="NrrdImageIO")
        if image.GetNumberOfComponentsPerPixel() <= last:
            raise damaged(path, "NRRD")
        return [volume_of(sitk.VectorIndexSelectionCast(image, at)) for at in range(last + 1)]
    except RuntimeError as error:
        raise damaged(path, "NRRD") from error


def _nrrd_keys(path: Path) -> dict[str, str]:
    """The key := value lines of a NRRD header."""
    with path.open("rb") as file:
        header = file.read(_HEADER).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    pairs = (line.partition(":=") for line in header.decode("utf-8", "replace").split("\n"))
    return {key: value.replace("\\n", "\n").replace("\\\\", "\\") for key, sign, value in pairs if sign}


def _colour(text: str) -> Colour:
    try:
        red, green, blue = (min(max(float(word), 0.0), 1.0) for word in text.split())
    except ValueError:
        return COLOUR
    return (red, green, blue)


def first_voxel(path: str | Path, given: Volume, volume: Volume) -> tuple[int, int, int]:
    """(k, j, i) of the volume's voxel that a label file's first voxel is.

    Raises InputError where it lies on another grid or reaches beyond the volume.
    """
    steps = np.linalg.norm(volume.ijk_to_ras[:3, :3], axis=0)
    reach = np.array(given.shape[::-1]) * np.abs(given.ijk_to_ras[:3, :3] - volume.ijk_to_ras[:3, :3]) / steps
    first = np.linalg.solve(volume.ijk_to_ras, given.ijk_to_ras[:, 3])[:3]
    start = np.round(first)
    if reach.max() > _OFF or np.abs(first - start).max() > _OFF:
        raise InputError(
            f"{path} lies on another voxel grid than the volume; draw or resample it on its grid."
        )
    size, last = np.array(volume.shape[::-1]), start + np.array(given.shape[::-1])
    if (start < 0).any() or (last > size).any():
        raise InputError(f"{path} reaches beyond the volume; crop it to the volume.")
    i, j, k = (int(value) for value in start)
    return (k, j, i)
