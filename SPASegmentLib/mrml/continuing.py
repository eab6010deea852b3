"""Segments that a file has on a volume, put into the scene to go on from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.geometry import ijk_to_ras
from SPASegmentLib.imaging.segments import ALGORITHM_TAG, Segment, entry_of
from SPASegmentLib.imaging.types import DicomFrame, Volume
from SPASegmentLib.mrml.grid import Grid, change_box
from SPASegmentLib.mrml.segments import add_segmentation
from SPASegmentLib.mrml.volumes import to_world_of, volume_of_node

Place = tuple[float, float, float]


def voxels_of(volume_node: Any, files: Sequence[Path] = ()) -> Volume:
    """The voxel grid of a volume node, without its voxels: a value for other threads.

    files: the DICOM files it was loaded from, which state its frame of reference. Raises InputError where the
    volume cannot be used.
    """
    volume = volume_of_node(volume_node)
    to_world_of(volume_node)
    hollow = np.broadcast_to(np.uint8(0), volume.shape)
    return replace(
        volume, array=hollow, frames=tuple(DicomFrame(path, 0, None) for path in files[:1]) or None
    )


def add_segments(volume_node: Any, name: str, segments: Sequence[Segment]) -> Any:
    """A new segmentation node beside a volume node, under its transforms, with these segments.

    Raises InputError where Slicer refuses; there is no new node then.
    """
    node = add_segmentation(volume_node.GetScene(), volume_node, name)
    try:
        put_segments(node, segments, volume_node)
    except InputError:
        volume_node.GetScene().RemoveNode(node)
        raise
    return node


def put_segments(segmentation: Any, segments: Sequence[Segment], volume_node: Any) -> None:
    """Put segments on a volume node's voxels into a segmentation node, in place of what it holds.

    Names, colours, what they are and which model drew them stay. Raises InputError where Slicer refuses.
    """
    whole = segmentation.GetSegmentation()
    whole.RemoveAllSegments()
    for one in segments:
        identity = str(whole.AddEmptySegment("", one.name, one.colour))
        segment = whole.GetSegment(identity)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), one.structure.entry)
        if entry_of(one.algorithm):
            segment.SetTag(ALGORITHM_TAG, entry_of(one.algorithm))
        grid = Grid.of(segmentation, identity, volume_node)
        change_box(segmentation, identity, grid, (0, 0, 0), one.mask, np.zeros((1, 1, 1), dtype=bool))


def world_place(volume_node: Any, ras: Place) -> Place:
    """World RAS in mm of a place in a volume node's own frame. Raises InputError as `to_world_of` does."""
    r, a, s = (to_world_of(volume_node) @ (*ras, 1.0))[:3]
    return (float(r), float(a), float(s))


def middle_of(segments: Sequence[Segment], volume: Volume) -> tuple[int, Place] | None:
    """The first segment with a voxel, and RAS in mm of one near its middle; None where all are empty."""
    for number, segment in enumerate(segments):
        voxels = np.argwhere(segment.mask)
        if len(voxels):
            k, j, i = voxels[np.linalg.norm(voxels - voxels.mean(axis=0), axis=1).argmin()]
            r, a, s = ijk_to_ras(volume, (float(i), float(j), float(k)))
            return number, (float(r), float(a), float(s))
    return None
