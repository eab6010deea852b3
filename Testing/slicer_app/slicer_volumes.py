"""Volumes for tests: made up, small, in every position."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from SPASegmentLib.imaging.types import Volume


def rotation(degrees: float, axis: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> np.ndarray:
    """(3, 3) rotation about an axis."""
    a = np.array(axis) / np.linalg.norm(axis)
    k = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def matrix_of(
    spacing: tuple[float, float, float] = (0.7, 0.9, 3.0),
    degrees: float = 12.0,
    flip: tuple[int, int, int] = (-1, -1, 1),
    order: tuple[int, int, int] = (0, 1, 2),
    origin: tuple[float, float, float] = (13.0, -7.5, 41.25),
) -> np.ndarray:
    """(4, 4) IJK to RAS: spacing (i, j, k) in mm, rotated, with axes flipped and reordered."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees) @ np.eye(3)[:, list(order)] @ np.diag(np.multiply(spacing, flip))
    matrix[:3, 3] = origin
    return matrix


def small_volume(
    random: np.random.Generator,
    shape: tuple[int, int, int] = (24, 40, 36),
    matrix: np.ndarray | None = None,
    *,
    rgb: bool = False,
) -> Volume:
    """A bright ball in noise, in Hounsfield-like units (or 8-bit colours), rotated by 12 degrees."""
    matrix = matrix_of() if matrix is None else matrix
    kji = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    mm = (kji - (np.array(shape) - 1) / 2) * np.linalg.norm(matrix[:3, 2::-1], axis=0)
    ball = np.linalg.norm(mm, axis=-1) < 8
    array = np.where(ball, 40, -800) + random.normal(0, 25, shape)
    if rgb:
        grey = np.interp(array, (-900, 150), (0, 255))
        array = np.stack([grey, np.roll(grey, 1, axis=1), 255 - grey], axis=-1).astype(np.uint8)
    else:
        array = np.clip(np.rint(array), -1024, 3071).astype(np.int16)
    return Volume(array, matrix, name="ball")


def vtk_matrix(matrix: np.ndarray) -> vtk.vtkMatrix4x4:
    """(4, 4) array -> vtkMatrix4x4."""
    made = vtk.vtkMatrix4x4()
    made.DeepCopy(np.asarray(matrix, dtype=float).ravel())
    return made


def add_volume_node(scene: Any, volume: Volume) -> Any:
    """A volume as a node with a display node: vtkMRMLScalarVolumeNode, or a vector volume for colours."""
    kind = "vtkMRMLVectorVolumeNode" if volume.is_rgb else "vtkMRMLScalarVolumeNode"
    node = scene.AddNewNodeByClass(kind, volume.name)
    image = vtk.vtkImageData()
    image.SetDimensions(*volume.shape[::-1])
    flat = np.ascontiguousarray(volume.array).reshape(-1, *volume.array.shape[3:])
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(vtk_matrix(volume.ijk_to_ras))
    if volume.is_rgb:
        node.SetVoxelVectorType(slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGB)
    if volume.modality:
        node.SetAttribute("DICOM.Modality", volume.modality)
    node.CreateDefaultDisplayNodes()
    return node


def add_transform(scene: Any, matrix: np.ndarray) -> Any:
    """A linear transform node."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    return node


def voxels_of(segmentation_node: Any, segment_id: str, volume: Volume) -> np.ndarray:
    """(K, J, I) bool of a segment on a volume's own grid, read from its binary labelmap without resampling.

    The segmentation's labelmap must have the volume's geometry; voxels outside the volume make it fail.
    """
    from vtk.util.numpy_support import vtk_to_numpy

    image = slicer.vtkOrientedImageData()
    full = np.zeros(volume.shape, dtype=bool)
    assert segmentation_node.GetBinaryLabelmapRepresentation(segment_id, image)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    if i1 < i0 or j1 < j0 or k1 < k0:
        return full
    found = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(found)
    stated = np.array([[found.GetElement(r, c) for c in range(4)] for r in range(4)])
    np.testing.assert_allclose(stated, volume.ijk_to_ras, atol=1e-6)
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    k, j, i = np.nonzero(values)
    full[k + k0, j + j0, i + i0] = True
    assert full.sum() == np.count_nonzero(values)
    return full


def blob(shape, centre=(0.5, 0.45), size=0.22):
    """A lopsided disc, so that flips and transposes show."""
    rows, cols = np.indices(shape)
    y, x = (rows / shape[0] - centre[0]) / size, (cols / shape[1] - centre[1]) / size
    return (y**2 + (x * (1.6 if size > 0.1 else 1)) ** 2 < 1) & ~((y > 0.2) & (x > 0.1))


def fill(segmentation, segment_id, voxels, volume_node):
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        voxels.astype(np.uint8), segmentation, segment_id, volume_node
    )


def all_voxels(segmentation, volume):
    ids = segmentation.GetSegmentation().GetSegmentIDs()
    return {name: voxels_of(segmentation, name, volume) for name in ids}
