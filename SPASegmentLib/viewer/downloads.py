"""The segmentation as files, as Slicer keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from SPASegmentLib.errors import InputError

KINDS = {"seg.nrrd": "application/octet-stream", "nii.gz": "application/gzip"}


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
