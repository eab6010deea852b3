"""Volume nodes as imaging volumes: the same voxels without a copy, and where they lie in the world."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import IntensityWindow, Volume

_KEPT = 3
"""Volumes remembered: their voxels belong to the scene, their extremes are costly to find again."""
_SHEAR = 1e-3
"""The largest cosine between voxel axes that still counts as a right angle."""


@dataclass(frozen=True)
class _State:
    """What a cached volume depends on."""

    changed: int
    matrix: tuple[float, ...]
    modality: str | None
    window: IntensityWindow | None


_cache: OrderedDict[str, tuple[_State, Volume, Any]] = OrderedDict()


def volume_of_node(node: Any) -> Volume:
    """The volume of a scalar or colour volume node, in the node's own frame (before its transforms).

    The array is a view of the node's voxels; the value is kept until voxels, geometry or window change.
    `window` is the display node's where the user (or DICOM) set it, so that it goes before percentiles.
    Raises InputError for a missing or empty node, other numbers of components and voxel axes that are not at
    right angles.
    """
    _forget_dead()
    if node is None or node.GetScene() is None:
        raise InputError("There is no volume; load or choose one.")
    image = node.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        raise InputError(f"The volume {node.GetName()} has no voxels; load it again.")
    matrix = ijk_to_ras_of(node)
    state = _State(
        max(image.GetMTime(), image.GetPointData().GetMTime(), scalars.GetMTime()),
        tuple(matrix.ravel()),
        modality_of(node),
        _chosen_window(node),
    )
    address = scalars.GetAddressAsString("")
    if address in _cache and _cache[address][0] == state:
        _cache.move_to_end(address)
        return _cache[address][1]
    volume = _read(node, image, scalars, matrix, state)
    living = vtk.vtkWeakReference()
    living.Set(node)
    _cache[address] = (state, volume, living)
    while len(_cache) > _KEPT:
        _cache.popitem(last=False)
    return volume


def ijk_to_ras_of(node: Any) -> np.ndarray:
    """(4, 4) voxel (i, j, k, 1) -> RAS in the node's own frame. Raises InputError for sheared axes."""
    made = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(made)
    matrix = array_of(made)
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or lengths.min() <= 0:
        raise InputError(
            f"The volume {node.GetName()} has voxels without a size; set its spacing in Volumes."
        )
    unit = matrix[:3, :3] / lengths
    if np.abs(unit.T @ unit - np.eye(3)).max() > _SHEAR:
        raise InputError(
            f"The volume {node.GetName()} is sheared: its voxel axes do not meet at right angles; resample it"
            " to a rectangular grid."
        )
    return matrix


def to_world_of(node: Any) -> np.ndarray:
    """(4, 4) the node's own frame -> world, through its parent transforms.

    Raises InputError for a transform that bends space, or that squeezes it flat.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            f"{node.GetName()} is under a transform that is not linear; harden the transform or take it out."
        )
    made = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(made)
    matrix = array_of(made)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise InputError(f"The transform of {node.GetName()} cannot be inverted; reset it.")
    return matrix


def modality_of(node: Any) -> str | None:
    """The DICOM modality where the node, or its item in the subject hierarchy, states one."""
    stated = node.GetAttribute("DICOM.Modality")
    hierarchy = node.GetScene().GetSubjectHierarchyNode()
    if not stated and hierarchy is not None:
        item = hierarchy.GetItemByDataNode(node)
        if item:
            stated = hierarchy.GetItemAttribute(item, "DICOM.Modality")
    return stated or None


def array_of(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """vtkMatrix4x4 -> (4, 4) float64."""
    return np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])


def matrix_of(array: np.ndarray) -> vtk.vtkMatrix4x4:
    """(4, 4) -> vtkMatrix4x4."""
    made = vtk.vtkMatrix4x4()
    made.DeepCopy(np.asarray(array, dtype=np.float64).ravel())
    return made


def _read(node: Any, image: Any, scalars: Any, matrix: np.ndarray, state: _State) -> Volume:
    components = scalars.GetNumberOfComponents()
    colours = components in (3, 4) and node.IsA("vtkMRMLVectorVolumeNode")
    if components != 1 and not colours:
        raise InputError(
            f"The volume {node.GetName()} has {components} values per voxel; choose one with one value or"
            " with colours."
        )
    i, j, k = image.GetDimensions()
    array = vtk_to_numpy(scalars).reshape((k, j, i) if components == 1 else (k, j, i, components))
    warnings: tuple[str, ...] = ()
    if components == 4:
        array = array[..., :3]
        warnings = ("The image has a transparency channel: it was ignored.",)
    return Volume(array, matrix, state.modality, state.window, node.GetName() or "volume", warnings)


def _chosen_window(node: Any) -> IntensityWindow | None:
    """The display node's window, where it is not Slicer's automatic one."""
    display = node.GetScalarVolumeDisplayNode() if hasattr(node, "GetScalarVolumeDisplayNode") else None
    if display is None or display.IsA("vtkMRMLVectorVolumeDisplayNode") or display.GetAutoWindowLevel():
        return None
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    return IntensityWindow(low, high) if np.isfinite([low, high]).all() and low < high else None


def _forget_dead() -> None:
    """Let go of the voxels of nodes that are no more."""
    for address, (_, _, living) in list(_cache.items()):
        node = living.Get()
        if node is None or node.GetScene() is None:
            del _cache[address]
