"""Volumes the viewer offers, and how they become nodes of the scene."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from vtk.util import numpy_support

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import ANY, Wanted
from SPASegmentLib.imaging.headers import OWN, Limits
from SPASegmentLib.imaging.types import Volume

Triple = tuple[float, float, float]
MODALITY = "DICOM.Modality"
"""Attribute of a volume node that states its modality."""


@dataclass(frozen=True)
class Landmark:
    """A point worth looking at. name: what lies there. ras: mm."""

    name: str
    ras: Triple


@dataclass(frozen=True, eq=False)
class Choice:
    """One entry of the list of volumes.

    key: stable between runs for samples and named files. path: of the file, None for a sample.
    is_upload: whether it is deleted at exit, and so not offered again. window: how a CT is shown at first.
    """

    key: str
    label: str
    load: Callable[[], Volume]
    path: Path | None = None
    places: tuple[Landmark, ...] = ()
    is_upload: bool = False
    window: str = "model"


@dataclass
class Library:
    """The list of volumes, in the order shown."""

    choices: dict[str, Choice] = field(default_factory=dict)

    def add(self, choice: Choice) -> Choice:
        """Add or replace an entry."""
        self.choices[choice.key] = choice
        return choice

    def items(self) -> list[dict[str, str]]:
        """For the page: value and title of every entry."""
        return [{"value": choice.key, "title": choice.label} for choice in self.choices.values()]


def built_in_samples() -> list[Choice]:
    """The made-up volumes that are always there."""
    from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds

    kinds = (
        ("sample", "Sample: chest CT", 0, False),
        ("sample-tilted", "Sample: chest CT, tilted patient", 0, True),
        ("sample-second", "Sample: second patient", 1, False),
    )
    choices = []
    for key, label, seed, rotated in kinds:
        places = tuple(Landmark(s.name, s.ras) for s in sample_seeds(seed, rotated=rotated))

        def load(seed: int = seed, rotated: bool = rotated) -> Volume:
            return make_sample_volume(seed, rotated=rotated)

        choices.append(Choice(key, label, load, places=places, window="lung"))
    return choices


def file_choice(
    path: Path,
    *,
    key: str | None = None,
    label: str | None = None,
    limits: Callable[[], Limits] | None = None,
    wanted: Wanted = ANY,
) -> Choice:
    """A file or DICOM folder as an entry; reading it raises InputError with the label for the path.

    label: None for the file's name. limits: asked before an upload is read; None for the user's own files.
    wanted: which series and time point.
    """
    from SPASegmentLib.imaging.files import read_volume

    label = label or path.name

    def load() -> Volume:
        try:
            volume = read_volume(path, OWN if limits is None else limits(), wanted)
        except InputError as error:
            raise InputError(_shown(str(error), path, label)) from error
        if volume.array.min() == volume.array.max():
            raise InputError(f"{label} has the same value in all its voxels; there is nothing to see in it.")
        return volume

    return Choice(key or f"file:{path.resolve()}", label, load, path, is_upload=limits is not None)


def _shown(sentence: str, path: Path, label: str) -> str:
    """A sentence about a file in the words of who sees the page, who need not know the server's folders."""
    return sentence.replace(str(path), label).replace(f"{path.parent}{os.sep}", "")


def add_volume_node(scene: Any, volume: Volume, name: str | None = None) -> Any:
    """A volume node with these voxels (shared, not copied where VTK can read them) and this geometry.

    name: part of the node's ID, so that the same volume has the same ID in another run; or None.
    """
    array = np.ascontiguousarray(_readable(volume.array))
    kind = "vtkMRMLVectorVolumeNode" if volume.is_rgb else "vtkMRMLScalarVolumeNode"
    node = add_node(scene, kind, volume.name, name)
    data = vtk.vtkImageData()
    data.SetDimensions(*array.shape[2::-1])
    flat = array.reshape(-1, 3) if volume.is_rgb else array.reshape(-1)
    scalars = numpy_support.numpy_to_vtk(flat, deep=False)
    scalars.SetName("ImageScalars")
    data.GetPointData().SetScalars(scalars)
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(volume.ijk_to_ras, float).ravel().tolist())
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveImageData(data)
    if volume.modality:
        node.SetAttribute(MODALITY, volume.modality)
    node.CreateDefaultDisplayNodes()
    return node


def add_segmentation_node(scene: Any, volume_node: Any, name: str | None = None) -> Any:
    """An empty segmentation on the volume's grid. name: part of the node's ID, or None."""
    node = add_node(scene, "vtkMRMLSegmentationNode", "Segmentation", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    return node


def add_node(scene: Any, kind: str, title: str, name: str | None) -> Any:
    """A node of this class, with an ID of its own where a name is given."""
    if name is None:
        return scene.AddNewNodeByClass(kind, title)
    return scene.AddNewNodeByClassWithID(kind, title, f"{kind}{name}")


def short_hash(text: str) -> str:
    """Ten hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _readable(array: np.ndarray) -> np.ndarray:
    """The voxels in a type that VTK has and draws: of 64-bit whole numbers it draws nothing."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        bounds = np.iinfo(np.int32)
        fits = array.size and bounds.min <= array.min() and array.max() <= bounds.max
        return array.astype(np.int32 if fits else np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def remove_node(scene: Any, node: Any) -> None:
    """Take a node and its display nodes out of the scene."""
    displays = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    for item in [*displays, node]:
        if item is not None:
            scene.RemoveNode(item)


def application() -> Any:
    """The parts of a Slicer application that views need: scene, logics, colours."""
    from trame_slicer.core import SlicerApp

    return SlicerApp()
