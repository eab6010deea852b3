"""Whole objects as cases: consecutive slices, one target, and the distance between slices."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.any_cases import draw_structure, shown_window, thickest_slice
from SPASegmentLib.research.datasets.any_structure import AnySet, EntryFiles, open_any
from SPASegmentLib.research.datasets.draws import draw_subset, generator
from SPASegmentLib.research.datasets.lidc import LidcSlices
from SPASegmentLib.research.datasets.volume_sets import MsdHippocampus, SpleenCt
from SPASegmentLib.research.datasets.volumes import VolumeDataset, apply_window

FEWEST_SLICES = 4
"""An object on fewer slices is no case."""
SPACING_FILE = "lidc-spacing.json"


@dataclass(frozen=True, eq=False)
class ObjectCase:
    """One object in one stack of slices.

    pixels: (S, H, W) or (S, H, W, 3) float32 in [0, 1], all slices in one window. target: (S, H, W) bool.
    spacing: mm along slices, rows and columns. group: what results are also given for: a set, a modality.
    """

    case_id: str
    patient: str
    pixels: np.ndarray
    target: np.ndarray
    spacing: tuple[float, float, float]
    group: str
    modality: str | None = None


class ObjectCases:
    """A list of objects, read when they are asked for; whose target is one depends on the seed alone."""

    def __init__(self, name: str, readers: dict[str, Callable[[], ObjectCase | None]]) -> None:
        """readers: case -> what reads it; None for one whose object is on too few slices."""
        self.name, self._readers = name, dict(sorted(readers.items()))

    def case_ids(self) -> list[str]:
        """All ids in order."""
        return list(self._readers)

    def read(self, case_id: str) -> ObjectCase | None:
        """One case, or None where its object is on fewer than `FEWEST_SLICES` slices."""
        case = self._readers[case_id]()
        if case is None or case.target.any(axis=(1, 2)).sum() < FEWEST_SLICES:
            return None
        return case


def open_objects(name: str, paths: Iterable[Path | str], split: str, seed: int) -> ObjectCases:
    """The objects of a data set: lidc (nodules), any (its volumes), spleen or msd-hippocampus.

    Raises DatasetError for another data set and as the set itself does.
    """
    paths = list(paths)
    if name == "lidc":
        return ObjectCases(name, _lidc(paths, split, seed))
    if name == "any":
        return ObjectCases(name, _any(paths, split, seed))
    volumes: dict[str, Callable[..., VolumeDataset]] = {"spleen": SpleenCt, "msd-hippocampus": MsdHippocampus}
    if name not in volumes:
        raise DatasetError(
            f"The data set {name} holds no whole objects; choose lidc, any, spleen or msd-hippocampus."
        )
    return ObjectCases(name, _volumes(volumes[name](paths, split=split)))


def _lidc(paths: Sequence[Path | str], split: str, seed: int) -> dict[str, Callable[[], ObjectCase | None]]:
    """One subset of raters for the whole nodule, the same on all its slices."""
    dataset = LidcSlices(paths, split=split, subset=None)
    steps = _lidc_spacing(paths)
    nodules: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, case_id in enumerate(dataset.case_ids()):
        nodule, _, slice_name = case_id.rpartition("/")
        nodules[nodule].append((int(slice_name.removeprefix("slice-")), index))

    def read(nodule: str) -> ObjectCase | None:
        if len(nodules[nodule]) < FEWEST_SLICES:
            return None
        slices = [dataset[index] for _, index in sorted(nodules[nodule])]
        masks = np.stack([case.masks for case in slices], axis=1)
        flat = masks.reshape(len(masks), -1, masks.shape[-1])
        drawn = draw_subset(flat, tuple(range(len(masks))), generator("lidc", nodule, seed, "object"))
        if drawn is None:
            return None
        patient = slices[0].patient
        pixels = np.stack([case.image for case in slices])
        spacing = steps.get(patient, (1.0, 1.0, 1.0))
        return ObjectCase(
            nodule, patient, pixels, drawn.target.reshape(masks.shape[1:]), spacing, "lidc", "CT"
        )

    return {nodule: partial(read, nodule) for nodule in nodules}


def _lidc_spacing(paths: Sequence[Path | str]) -> dict[str, tuple[float, float, float]]:
    """Patient -> mm along slices, rows and columns (of the first series), from the file beside the data."""
    for folder in (Path(path).parent for path in paths):
        file = folder / SPACING_FILE
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            return {
                patient: (
                    float(series[0]["slice_distance_mm"] or series[0]["slice_thickness_mm"]),
                    float(series[0]["pixel_mm"]),
                    float(series[0]["pixel_mm"]),
                )
                for patient, series in content.items()
                if series
            }
    return {}


def _any(paths: Sequence[Path | str], split: str, seed: int) -> dict[str, Callable[[], ObjectCase | None]]:
    """The structure of each volume that the protocol draws, cut across its thickest voxels."""
    readers: dict[str, Callable[[], ObjectCase | None]] = {}
    for one in open_any(paths, split):
        if one.info.dims == 3 and not one.info.instances:
            for files in one.entries:
                readers[f"{one.name}/{files.name}"] = partial(_read_any, one, files, seed)
    if not readers:
        raise DatasetError("None of the given sets holds volumes; give a set whose dims are 3.")
    return readers


def _read_any(one: AnySet, files: EntryFiles, seed: int) -> ObjectCase:
    case_id = f"{one.name}/{files.name}"
    entry = one.read(files)
    if entry.raters:
        target = next(iter(entry.masks.values()))
    else:
        target = draw_structure(entry, generator("any", case_id, seed, "structure"))[1]
    axis, middle = thickest_slice(target, entry.spacing)
    assert axis is not None  # volumes have one
    image = np.moveaxis(entry.image, axis, 0)
    steps = [entry.spacing[axis], *(step for a, step in enumerate(entry.spacing) if a != axis)]
    several = "," in one.info.modality
    return ObjectCase(
        case_id,
        f"{one.name}/{files.patient}",
        apply_window(image, shown_window(image[middle])),
        np.moveaxis(target, axis, 0),
        (float(steps[0]), float(steps[1]), float(steps[2])),
        f"{one.name} {files.name.rpartition('__')[2]}" if several else one.name,
    )


def _volumes(dataset: VolumeDataset) -> dict[str, Callable[[], ObjectCase | None]]:
    """The first rater's mask of every volume."""

    def read(study: str) -> ObjectCase:
        pixels, masks, spacing = dataset.whole(study)
        return ObjectCase(study, study, pixels, masks[0], spacing, dataset.name, dataset.modality)

    studies = dict.fromkeys(case_id.rpartition("/")[0] for case_id in dataset.case_ids())
    return {study: partial(read, study) for study in studies}
