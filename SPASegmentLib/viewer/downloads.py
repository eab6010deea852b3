"""The segmentation as files: as Slicer keeps it, and as a labelmap on the volume's own grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from SPASegmentLib.errors import InputError

KINDS = {"seg.nrrd": "application/octet-stream", "nii.gz": "application/gzip"}


def has_voxels(segmentation: Any) -> bool:
    """Whether any segment of a segmentation node holds a voxel."""
    if segmentation is None:
        return False
    whole = segmentation.GetSegmentation()
    return any(_extent_holds(whole.GetNthSegment(i)) for i in range(whole.GetNumberOfSegments()))


def _extent_holds(segment: Any) -> bool:
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(name)
    return image is not None and not image.IsEmpty()


def change_of(segmentation: Any) -> tuple[int, ...]:
    """Another value after each change of a segmentation node: of its segments, or of their voxels."""
    whole = segmentation.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    images = [
        whole.GetNthSegment(index).GetRepresentation(name) for index in range(whole.GetNumberOfSegments())
    ]
    return (whole.GetMTime(), *(0 if image is None else image.GetMTime() for image in images))


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


def labels_of(segmentation: Any, volume: Any) -> np.ndarray:
    """(K, J, I) uint8 on the volume node's grid: 1 for the first segment and so on; later ones win."""
    whole = segmentation.GetSegmentation()
    i, j, k = volume.GetImageData().GetDimensions()
    labels = np.zeros((k, j, i), np.uint8)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    grid = slicer.vtkOrientedImageData()
    grid.SetExtent(0, i - 1, 0, j - 1, 0, k - 1)
    grid.SetGeometryFromImageToWorldMatrix(matrix)
    resampled = slicer.vtkOrientedImageData()
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    for index in range(min(whole.GetNumberOfSegments(), 255)):
        own = slicer.vtkOrientedImageData()
        if not segmentation.GetBinaryLabelmapRepresentation(whole.GetNthSegmentID(index), own):
            continue
        if own.IsEmpty() or not resample(own, grid, resampled):
            continue
        mask = vtk_to_numpy(resampled.GetPointData().GetScalars()).reshape(k, j, i)
        labels[mask > 0] = index + 1
    return labels
