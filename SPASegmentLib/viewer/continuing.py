"""Segments of a file that the viewer goes on from."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from SPASegmentLib.imaging.geometry import ijk_to_ras
from SPASegmentLib.imaging.masks import write_segments
from SPASegmentLib.imaging.segments import Segment
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.mrml.segmentation_files import read_slicer_segmentation


def put_segments(segmentation: Any, segments: list[Segment], volume: Volume) -> None:
    """Put segments into a segmentation node, in place of what it holds, as if Slicer had opened their file.

    Raises InputError where that cannot be.
    """
    with TemporaryDirectory(prefix="spasegment-") as folder:
        path = Path(folder) / "continued.seg.nrrd"
        write_segments(path, segments, volume)
        read_slicer_segmentation(segmentation, path)


def middle_of(segment: Segment, volume: Volume) -> tuple[float, float, float] | None:
    """RAS in mm of a voxel of the segment near its middle, or None where it is empty."""
    voxels = np.argwhere(segment.mask)
    if not len(voxels):
        return None
    k, j, i = voxels[np.linalg.norm(voxels - voxels.mean(axis=0), axis=1).argmin()]
    r, a, s = ijk_to_ras(volume, (float(i), float(j), float(k)))
    return (float(r), float(a), float(s))
