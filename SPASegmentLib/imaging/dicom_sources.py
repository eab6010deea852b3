"""Which frames of DICOM files the slices of a volume are, where another program read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.dicom_headers import (
    Frame,
    frames_of,
    not_an_image,
    open_header,
    text_of,
    warnings_off,
)
from SPASegmentLib.imaging.headers import OWN
from SPASegmentLib.imaging.types import DicomFrame, Volume

_OFF = (0.1, 0.1, 0.25)
"""How far, in voxels (i, j, k), a corner of a frame may lie off the slice's: positions are rounded."""
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def frames_of_slices(volume: Volume, paths: Sequence[Path]) -> tuple[DicomFrame, ...]:
    """The frame of each slice k of a volume, found by where it lies.

    Raises InputError where a slice lies on no frame of the files or on several, as it does where the volume
    was resampled or cropped within its slices, and where a file is damaged.
    """
    depth, height, width = volume.shape
    frames = [frame for path in paths for frame in _frames(path) if frame.size == (width, height)]
    if depth == len(frames) == 1 and frames[0].position is None:
        return (_slice_of(frames[0]),)
    placed = [(frame, corners) for frame in frames if (corners := _corners(frame)) is not None]
    to_voxel = np.linalg.inv(_TO_LPS @ volume.ijk_to_ras)
    at = np.array([corners for _, corners in placed]).reshape(-1, 3, 3) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    found = []
    for k in range(depth):
        corners = np.array([(0, 0, k), (width - 1, 0, k), (0, height - 1, k)])
        fits = np.flatnonzero((np.abs(at - corners) <= _OFF).all(axis=(1, 2)))
        if len(fits) != 1:
            what = "several" if len(fits) else "none"
            raise InputError(
                f"Slice {k} of the volume lies on {what} of the DICOM images it is said to come from; load "
                "the series again, and segment it as it is."
            )
        found.append(_slice_of(placed[fits[0]][0]))
    return tuple(found)


def check_frame_of_reference(path: Path, stated: str, volume: Volume) -> None:
    """Make sure that what a file holds lies in the volume's frame of reference.

    stated: UID of the file's own, or "". Raises InputError where both are known and are not the same.
    """
    if not stated or not volume.frames or not volume.frames[0].path.is_file():
        return
    own = text_of(open_header(volume.frames[0].path, OWN), "FrameOfReferenceUID")
    if own and own != stated:
        raise InputError(
            f"{path} was drawn in another frame of reference than the volume's; open the series it was drawn"
            " on."
        )


def _frames(path: Path) -> list[Frame]:
    header = open_header(path, OWN)
    with warnings_off():
        return [] if not_an_image(header) else frames_of(path, header)


def _corners(frame: Frame) -> np.ndarray | None:
    """(3, 3) mm in LPS: the first pixel, the last of its row and of its column; None where not stated."""
    if frame.position is None or frame.axes is None or frame.spacing is None:
        return None
    (columns, rows), (row, col) = frame.size, frame.spacing
    along = ((0, 0), ((columns - 1) * col, 0), (0, (rows - 1) * row))
    return frame.position + np.array(along) @ frame.axes


def _slice_of(frame: Frame) -> DicomFrame:
    return DicomFrame(frame.path, frame.index, frame.position)
