"""A segmentation node as files: as Slicer keeps it, and as DICOM SEG; and what its segments are, in codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.terminology import Structure, parse_entry
from SPASegmentLib.imaging.types import DicomFrame, Volume
from SPASegmentLib.mrml.labels import check_labelmaps, has_voxels
from SPASegmentLib.mrml.volumes import volume_of_node


def write_slicer_segmentation(segmentation: Any, path: Path) -> None:
    """Write a segmentation node as .seg.nrrd. Raises InputError where it cannot be written."""
    storage = slicer.vtkMRMLSegmentationStorageNode()
    part = path.with_name(f".part-{path.name}")
    storage.SetFileName(str(part))
    storage.SetUseCompression(True)
    if not storage.WriteData(segmentation):
        part.unlink(missing_ok=True)
        raise InputError("The segmentation could not be written; make room on the disk and try again.")
    part.replace(path)


def read_slicer_segmentation(segmentation: Any, path: Path) -> None:
    """Read a .seg.nrrd into a segmentation node, in place of what it holds. Raises InputError."""
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    segmentation.GetSegmentation().RemoveAllSegments()
    if not storage.ReadData(segmentation):
        raise InputError("The slices approved last time cannot be read; going on without them.")


def dicom_writer(
    segmentation: Any, volume_node: Any, frames_of: Callable[[Volume], Sequence[DicomFrame]], folder: Path
) -> Callable[[Path], None]:
    """What writes a segmentation node as DICOM SEG on the frames its volume was read from.

    The scene is not asked any more then, so that it may be called on any thread: with the file, while
    `folder`, an empty one, is there. frames_of: the frame of each slice, asked for on that thread. Empty
    segments are left out, and what the others are is what their terminology says.
    Raises InputError where nothing is segmented, or not as voxels; what is returned raises it where the
    segmentation lies on other voxels and as `check_seg_source` does, and ModuleNotFoundError without a
    package of the extra dicom.
    """
    if segmentation is not None:
        check_labelmaps(segmentation)
    if not has_voxels(segmentation):
        raise InputError("Nothing is approved yet; approve a mask first.")
    volume = volume_of_node(volume_node)
    hollow = np.broadcast_to(np.uint8(0), volume.shape)  # its voxels belong to the scene
    volume = replace(volume, array=hollow)
    kept = folder / "segmentation.seg.nrrd"
    write_slicer_segmentation(segmentation, kept)

    def write(path: Path) -> None:
        from SPASegmentLib.imaging.dicom_seg import check_seg_source, write_dicom_seg
        from SPASegmentLib.imaging.segment_files import read_segments

        placed = replace(volume, frames=tuple(frames_of(volume)))
        check_seg_source(placed)
        try:
            found = read_segments(kept, placed)
        except InputError as error:
            raise InputError(str(error).replace(str(kept), "The segmentation")) from error
        write_dicom_seg(path, [one for one in found if one.mask.any()], placed)

    return write


def structure_of(segmentation: Any, name: str) -> Structure | None:
    """What the segment of that name is; None where there is none, or where it is not said in codes."""
    segment = _segment(segmentation, name)
    entry = vtk.reference("")
    if segment is None or not segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry):
        return None
    return parse_entry(str(entry))


def set_structure(segmentation: Any, name: str, structure: Structure) -> None:
    """Say what the segment of that name is. Raises InputError where there is none."""
    segment = _segment(segmentation, name)
    if segment is None:
        raise InputError(f"There is no segment {name} yet; approve a mask first.")
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), structure.entry)


def _segment(segmentation: Any, name: str) -> Any:
    if segmentation is None:
        return None
    whole = segmentation.GetSegmentation()
    return whole.GetSegment(whole.GetSegmentIdBySegmentName(name))
