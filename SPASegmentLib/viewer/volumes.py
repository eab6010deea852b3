"""Volumes the viewer offers, and how they become nodes of the scene."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from vtk.util import numpy_support

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import ANY, Wanted, listed
from SPASegmentLib.imaging.headers import OWN, Limits
from SPASegmentLib.imaging.types import Volume

Triple = tuple[float, float, float]
PART = "#part:"
"""Between the key of a file and the numbers that say which part of it an entry is."""
MODALITY = "DICOM.Modality"
"""Attribute of a volume node that states its modality."""


class PartNeededError(InputError):
    """A file or folder holds several volumes, and one is to be chosen. what: in words. labels: of each."""

    def __init__(self, what: str, labels: Sequence[str]) -> None:
        super().__init__(f"{what}; choose one of them: {listed(labels)}.")
        self.what, self.labels = what, tuple(labels)


@dataclass(frozen=True)
class Landmark:
    """A point worth looking at. name: what lies there. ras: mm. across: mm around it that show it."""

    name: str
    ras: Triple
    across: float


@dataclass(frozen=True, eq=False)
class Choice:
    """One entry of the list of volumes.

    key: stable between runs for samples and named files. path: of the file, None for a sample.
    is_upload: whether it is deleted at exit, and so not offered again. window: how a CT is shown at first.
    segment: what the first structure is called.
    part_of: makes the entry of a part, by what was answered to each `PartNeededError`, from 0; or None.
    """

    key: str
    label: str
    load: Callable[[], Volume]
    path: Path | None = None
    places: tuple[Landmark, ...] = ()
    is_upload: bool = False
    window: str = "model"
    segment: str = "Segment"
    part_of: Callable[[tuple[int, ...]], Choice] | None = None

    @property
    def parts(self) -> tuple[int, ...]:
        """Which part of its file it is; empty for the whole of it."""
        numbers = self.key.partition(PART)[2].split(".")
        return tuple(int(number) for number in numbers if number.isdigit())

    def part(self, index: int, label: str) -> Choice:
        """The entry of one of several parts. label: what it is called there."""
        assert self.part_of is not None
        return replace(self.part_of((*self.parts, index)), label=f"{self.label}: {label}")


@dataclass
class Library:
    """The list of volumes, in the order shown."""

    choices: dict[str, Choice] = field(default_factory=dict)

    def add(self, choice: Choice) -> Choice:
        """Add or replace an entry."""
        self.choices[choice.key] = choice
        return choice

    def find(self, key: str) -> Choice | None:
        """An entry, or that of a part of one, which is added again."""
        whole, part, numbers = key.partition(PART)
        found = self.choices.get(key)
        if found is not None or not part or whole not in self.choices:
            return found
        make, indices = self.choices[whole].part_of, numbers.split(".")
        if make is None or not all(index.isdigit() for index in indices):
            return None
        return self.add(make(tuple(map(int, indices))))

    def items(self) -> list[dict[str, str]]:
        """For the page: value and title of every entry."""
        return [{"value": choice.key, "title": choice.label} for choice in self.choices.values()]


def built_in_samples() -> list[Choice]:
    """The made-up volumes that are always there."""
    from SPASegmentLib.imaging.samples import KINDS, make_sample, sample_places

    kinds = (
        ("sample", f"Sample: {KINDS['chest']}", "chest", 0, False, "lung", "Nodule"),
        ("sample-abdomen", f"Sample: {KINDS['abdomen']}", "abdomen", 0, False, "soft", "Metastasis"),
        ("sample-brain", f"Sample: {KINDS['brain']}", "brain", 0, False, "auto", "Tumour"),
        ("sample-tilted", "Sample: chest CT, tilted patient", "chest", 0, True, "lung", "Nodule"),
        ("sample-second", "Sample: chest CT, second patient", "chest", 1, False, "lung", "Nodule"),
    )
    choices = []
    for key, label, kind, seed, rotated, window, segment in kinds:
        places = tuple(Landmark(s.name, s.ras, s.across) for s in sample_places(kind, seed, rotated=rotated))
        load = partial(make_sample, kind, seed, rotated=rotated)
        choices.append(Choice(key, label, load, places=places, window=window, segment=segment))
    return choices


def file_choice(
    path: Path,
    *,
    key: str | None = None,
    label: str | None = None,
    limits: Callable[[], Limits] | None = None,
    wanted: Wanted = ANY,
    parts: tuple[int, ...] = (),
) -> Choice:
    """A file or DICOM folder as an entry; reading it raises InputError with the label for the path.

    label: None for the file's name. limits: asked before an upload is read; None for the user's own files.
    wanted: which series and time point. parts: what is answered where there is a choice, from 0; reading
    raises PartNeededError for what has no answer.
    """
    from SPASegmentLib.imaging.files import read_volume

    label = label or path.name
    key = key or f"file:{path.resolve()}"

    def load() -> Volume:
        answers = iter(parts)

        def choose(what: str, labels: Sequence[str]) -> int:
            answer = next(answers, None)
            if answer is None:
                raise PartNeededError(_shown(what, path, label), labels)
            if answer >= len(labels):
                raise InputError(f"{label} has changed since; open it again.")
            return answer

        try:
            volume = read_volume(path, OWN if limits is None else limits(), replace(wanted, choose=choose))
        except PartNeededError:
            raise
        except InputError as error:
            raise InputError(_shown(str(error), path, label)) from error
        if volume.array.min() == volume.array.max():
            raise InputError(f"{label} has the same value in all its voxels; there is nothing to see in it.")
        return volume

    def part_of(chosen: tuple[int, ...]) -> Choice:
        return file_choice(path, key=key, label=label, limits=limits, wanted=wanted, parts=chosen)

    own = f"{key}{PART}{'.'.join(map(str, parts))}" if parts else key
    return Choice(own, label, load, path, is_upload=limits is not None, part_of=part_of)


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
