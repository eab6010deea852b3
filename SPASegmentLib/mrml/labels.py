"""What a segmentation node holds, as labels on the volume's own grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from SPASegmentLib.errors import InputError


def has_voxels(segmentation: Any) -> bool:
    """Whether any segment of a segmentation node holds a voxel."""
    if segmentation is None:
        return False
    whole = segmentation.GetSegmentation()
    return any(_extent_holds(whole.GetNthSegment(i)) for i in range(whole.GetNumberOfSegments()))


def check_labelmaps(segmentation: Any) -> None:
    """Make sure that a segmentation node is kept as voxels. Raises InputError where it is not."""
    whole = segmentation.GetSegmentation()
    if whole.GetNumberOfSegments() and not whole.IsSourceRepresentationImageData():
        raise InputError(
            "The segmentation is kept as contours or surfaces; make binary labelmaps its source in"
            " Segmentations."
        )


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
