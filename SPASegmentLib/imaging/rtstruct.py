"""Contours of a DICOM RT structure set (RTSTRUCT) as segments on the voxels of a volume.

A pixel belongs to a contour if its centre lies inside, by the even-odd rule. rt-utils, platipy and
dcmrtstruct2nii round the corners to whole pixels before they fill (OpenCV, scikit-image), need the folder of
the series instead of a volume, and do not tell where a contour lies between its slices.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.filereader import read_partial

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.dicom_headers import numbers_of, open_header, text_of, warnings_off
from SPASegmentLib.imaging.dicom_sources import check_frame_of_reference
from SPASegmentLib.imaging.headers import OWN, damaged
from SPASegmentLib.imaging.segments import COLOUR, Algorithm, Colour, Segment
from SPASegmentLib.imaging.types import Volume

_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
"""SOP class of RT structure sets."""
_SOP_CLASS = 0x00080016
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_KINDS = ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL")
_OFF = 0.25
"""How far, in slices, a point of a contour may lie off the slice it is drawn on."""
_BESIDE = 1.0
"""How far, in voxels, a contour may reach beyond the centres of the outermost voxels."""
_MOST_ROIS = 1000
_MOST_POINTS = 20_000_000
"""In one file; plans of a whole body have a few 100,000."""
_AT_ONCE = 2**21
"""Crossings of edges with rows of pixels that are computed in one go."""
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

logger = logging.getLogger(__name__)


def is_rtstruct(path: Path) -> bool:
    """Whether a DICOM file is an RT structure set, by its first elements alone; False for a damaged one."""
    try:
        with warnings_off(), path.open("rb") as file:
            start = read_partial(file, lambda tag, vr, length: tag > _SOP_CLASS, force=True)
    except OSError:
        raise
    except Exception:  # pydicom raises many kinds for damaged files; who reads all of it says so
        return False
    return text_of(start, "SOPClassUID") == _RTSTRUCT


def read_rtstruct(path: str | Path, volume: Volume) -> list[Segment]:
    """The regions (ROIs) of an RT structure set that have closed contours, on a volume's voxels.

    Contours of a region on one slice are combined by exclusive or, so that one inside another is a hole.
    Slices between contours stay empty; the log says which. Raises InputError with one sentence where the
    file is none, is damaged, or its contours do not lie on the volume's slices.
    """
    path = Path(path)
    header = open_header(path, OWN)
    if text_of(header, "SOPClassUID") != _RTSTRUCT:
        raise InputError(f"{path} is no RT structure set; give an RTSTRUCT or SEG file.")
    with warnings_off():
        try:
            found = list(_segments(path, header, volume))
        except (OSError, MemoryError, InputError):
            raise
        except Exception as error:  # pydicom raises many kinds for damaged files
            raise damaged(path, "DICOM") from error
    if not found:
        raise InputError(f"{path} holds no closed contour; there is nothing to go on from.")
    return found


def _segments(path: Path, header: Any, volume: Volume) -> Iterator[Segment]:
    rois = list(header.StructureSetROISequence or ())
    drawn = {int(one.ReferencedROINumber): one for one in header.ROIContourSequence or ()}
    if max(len(rois), len(drawn)) > _MOST_ROIS:
        raise InputError(f"{path} holds more than {_MOST_ROIS} regions; export those that are needed.")
    to_voxel = np.linalg.inv(_TO_LPS @ volume.ijk_to_ras)
    left = _MOST_POINTS
    known: set[str] = set()
    for roi in rois:
        item = drawn.get(int(roi.ROINumber))
        contours = [] if item is None else list(_closed(item))
        if not contours:
            continue
        left -= sum(len(points) for points in contours)
        if left < 0:
            raise InputError(f"{path} holds more than {_MOST_POINTS} points; export fewer regions.")
        own = text_of(roi, "ReferencedFrameOfReferenceUID") or text_of(header, "FrameOfReferenceUID")
        if own not in known:
            check_frame_of_reference(path, own, volume)
            known.add(own)
        name = text_of(roi, "ROIName") or f"ROI_{int(roi.ROINumber)}"
        mask = _mask(path, name, contours, to_voxel, volume.shape)
        kind = text_of(roi, "ROIGenerationAlgorithm")
        drawn_by = Algorithm(kind=kind) if kind in _KINDS else Algorithm()
        yield Segment(name, mask, colour=_colour(item), algorithm=drawn_by)


def _closed(item: Any) -> Iterator[np.ndarray]:
    """(n, 3) mm in LPS of each closed contour of a region. Raises ValueError for one that is damaged."""
    for contour in item.get("ContourSequence") or ():
        if text_of(contour, "ContourGeometricType") in _CLOSED:
            points = _coordinates(contour).reshape(-1, 3)
            if not len(points) or not np.isfinite(points).all():
                raise ValueError("contour data")
            yield points


def _coordinates(contour: Any) -> np.ndarray:
    """The numbers of a contour, from its bytes; long ones are marked as of type UN in explicit files.

    pydicom would make and check an object for each of them, which takes about ten times as long.
    """
    value = contour.get_item("ContourData").value
    words = value.strip(b" \0").split(b"\\") if isinstance(value, bytes) else value
    return np.array([float(word) for word in words])


def _mask(
    path: Path, name: str, contours: list[np.ndarray], to_voxel: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """(K, J, I) bool of what lies in an odd number of contours. to_voxel: (4, 4) mm in LPS -> (i, j, k)."""
    mask = np.zeros(shape, dtype=bool)
    slices = set()
    for points in contours:
        ijk = points @ to_voxel[:3, :3].T + to_voxel[:3, 3]
        k = round(float(np.median(ijk[:, 2])))
        if np.abs(ijk[:, 2] - k).max() > _OFF:
            raise InputError(
                f'{path} has a contour of "{name}" that lies between the slices of the volume or across '
                "them; open the series it was drawn on."
            )
        inside = (ijk[:, :2] >= -_BESIDE) & (ijk[:, :2] <= np.array(shape[:0:-1]) - 1 + _BESIDE)
        if not 0 <= k < shape[0] or not inside.all():
            raise InputError(
                f'{path} has a contour of "{name}" that reaches beyond the volume; open the series it was '
                "drawn on."
            )
        mask[k] ^= polygon_mask(ijk[:, 1::-1], shape[1:])
        slices.add(k)
    gaps = sorted(set(range(min(slices), max(slices))) - slices)
    if gaps:
        listed = ", ".join(str(k) for k in gaps)
        logger.warning('%s has no contour of "%s" on slices %s, which stay empty.', path, name, listed)
    return mask


def polygon_mask(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centres lie inside a closed polygon, by the even-odd rule.

    Args:
        corners: (n, 2) row and column, pixel centres at whole numbers; the last is joined to the first.
        shape: (J, I) of the image.

    Returns:
        (J, I) bool. Of centres on an edge, those with the polygon to their right or below belong to it.
    """
    height, width = shape
    starts, ends = corners, np.roll(corners, -1, axis=0)
    # The rows an edge crosses: of its two ends the upper one counts, the lower does not.
    first = np.clip(np.ceil(np.minimum(starts[:, 0], ends[:, 0])), 0, height).astype(int)
    last = np.clip(np.ceil(np.maximum(starts[:, 0], ends[:, 0])), 0, height).astype(int)
    # Crossings are counted modulo 256, which keeps whether they are odd.
    turns = np.zeros((height, width + 1), dtype=np.uint8)
    per_go = max(1, _AT_ONCE // max(height, 1))
    for at in range(0, len(corners), per_go):
        part = slice(at, at + per_go)
        counts = last[part] - first[part]
        edge = np.repeat(np.arange(at, at + len(counts)), counts)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        (r0, c0), (r1, c1) = starts[edge].T, ends[edge].T
        column = np.ceil(c0 + (row - r0) * (c1 - c0) / (r1 - r0))
        np.add.at(turns, (row, np.clip(column, 0, width).astype(int)), 1)
    return np.asarray(np.cumsum(turns, axis=1, dtype=np.uint8)[:, :width] % 2 == 1)


def _colour(item: Any) -> Colour:
    stated = numbers_of(item, "ROIDisplayColor")
    if len(stated) != 3:
        return COLOUR
    red, green, blue = (min(max(value / 255, 0.0), 1.0) for value in stated)
    return (red, green, blue)
