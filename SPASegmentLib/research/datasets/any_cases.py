"""The protocol's cases on sets of any structure: one target of each entry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.imaging.types import IntensityWindow
from SPASegmentLib.imaging.window import NEIGHBOURS
from SPASegmentLib.research.datasets.any_structure import AnyEntry, AnySet, open_any
from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset
from SPASegmentLib.research.datasets.draws import generator
from SPASegmentLib.research.datasets.volumes import apply_window, percentile_window

TRAINED, UNSEEN = "may teach", "unseen"
"""Parts sets are reported in: those that may teach a model, and those that never do."""
SMALLEST = 12
"""Pixels a target has at least; below, a click hardly says what is meant."""
THICK = 1.5
"""Slices are cut across an axis whose voxels are so many times as long as the shortest ones."""


class AnyCases(MultiRaterDataset):
    """A case per entry, "<set>/<entry>": one of its structures, an object where sets hold objects, or raters.

    raters: the names of the raters, where all sets are of raters and every entry has the same ones, else ().
    Which one is a pure function of (set, entry, protocol seed). A volume gives the slice, across the axis of
    its thickest voxels, on which the structure is largest. Sizes are (1, 1) mm where a set does not say.
    """

    name = "any"

    def __init__(
        self, paths: Iterable[Path | str], split: str = "held-out", subset: str | None = "any"
    ) -> None:
        """Raises DatasetError as `open_any` does, and for a subset other than "any" or None."""
        if subset not in ("any", None):
            raise DatasetError(f"The data set any has no subset '{subset}'; leave it out.")
        opened = open_any(paths, split)
        self.sets: Mapping[str, str] = {one.name: TRAINED if one.info.train else UNSEEN for one in opened}
        self.raters = _shared_raters(opened)
        every = [(f"{one.name}/{entry.name}", one, entry) for one in opened for entry in one.entries]
        self._entries = sorted(every, key=lambda row: row[0])

    def case_ids(self) -> list[str]:
        """All ids in order, without reading images."""
        return [case_id for case_id, _, _ in self._entries]

    def __getitem__(self, index: int) -> Case:
        """One case as protocol seed 0 has it."""
        return self.case(index, 0)

    def case(self, index: int, protocol_seed: int) -> Case:
        """Read one case. Its one mask is empty where nothing in the entry is large enough for a target."""
        case_id, one, files = self._entries[index]
        entry = one.read(files)
        rng = generator(self.name, case_id, protocol_seed, "structure")
        drawn = next(iter(entry.masks.values())) if entry.raters else None
        name = ""
        if drawn is None:
            name, drawn = draw_structure(entry, rng)
        axis, k = thickest_slice(drawn, entry.spacing)
        masks = {key: _cut(mask, axis, k) for key, mask in entry.masks.items()}
        here = np.stack(list(masks.values())) if entry.raters else _cut(drawn, axis, k)[None]
        structure = name.partition("#")[0]
        others = {} if entry.raters else {key: mask for key, mask in masks.items() if key != structure}
        pixels, around = _shown(entry.image, axis, k)
        spacing = np.delete(entry.spacing, axis) if axis is not None else np.array(entry.spacing)
        return Case(
            self.name,
            case_id,
            f"{one.name}/{files.patient}",
            pixels,
            here,
            tuple(entry.masks) if entry.raters else (),
            spacing=(float(spacing[0]), float(spacing[1])),
            modality=_modality(one, files.name),
            structure=name or one.info.structures[0],
            others=others,
            neighbours=around,
            spacing_known=entry.spacing_known,
        )


def _shared_raters(sets: Iterable[AnySet]) -> tuple[str, ...]:
    """Who drew every entry of all sets; () where they differ or a set is of structures."""
    found = {tuple(entry.masks) if one.info.kind == "raters" else () for one in sets for entry in one.entries}
    return found.pop() if len(found) == 1 else ()


def draw_structure(entry: AnyEntry, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """One structure, uniformly from those large enough: its name and (...) bool mask.

    Of a structure's objects one of the larger half by area, "<structure>#<id>", and of that its largest
    connected part. An empty mask where nothing is large enough.
    """
    for name in rng.permutation(sorted(entry.masks)):
        mask = entry.masks[name]
        if not entry.instances:
            if mask.sum() >= SMALLEST:
                return str(name), mask
            continue
        found = _larger_half(mask)
        if found:
            chosen = found[int(rng.integers(len(found)))]
            part = _largest_part(mask == chosen)
            if part.sum() >= SMALLEST:
                return f"{name}#{chosen}", part
    name, mask = next(iter(entry.masks.items()))
    return str(name), np.zeros(mask.shape, bool)


def _larger_half(ids: np.ndarray) -> list[int]:
    """Ids of the objects in the larger half by area, at least one where there is any; largest first."""
    values, areas = np.unique(ids[ids != 0], return_counts=True)
    order = np.argsort(-areas, kind="stable")[: max(1, len(values) // 2)]
    return [int(value) for value in values[order]]


def _largest_part(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    return mask if count < 2 else labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))


def thickest_slice(mask: np.ndarray, spacing: tuple[float, ...]) -> tuple[int | None, int]:
    """The axis to cut a volume's mask across and the index of its largest slice; (None, 0) for a picture.

    spacing: mm along each axis. Where voxels are about as long on all sides the axis is the first.
    """
    if mask.ndim == 2:
        return None, 0
    axis = int(np.argmax(spacing)) if max(spacing) > THICK * min(spacing) else 0
    return axis, int(np.moveaxis(mask, axis, 0).sum(axis=(1, 2)).argmax())


def _cut(array: np.ndarray, axis: int | None, k: int) -> np.ndarray:
    return array if axis is None else np.take(array, k, axis)


def _shown(image: np.ndarray, axis: int | None, k: int) -> tuple[np.ndarray, tuple[np.ndarray | None, ...]]:
    """A slice and its neighbours, float32 in [0, 1] as users get them: colours from 0 to 255, grey between
    the slice's robust percentiles."""
    pixels = _cut(image, axis, k)
    window = shown_window(pixels)
    around: list[np.ndarray | None] = []
    if axis is not None:
        for at in (*range(k - NEIGHBOURS, k), *range(k + 1, k + NEIGHBOURS + 1)):
            there = 0 <= at < image.shape[axis]
            around.append(apply_window(_cut(image, axis, at), window) if there else None)
    return apply_window(pixels, window), tuple(around)


def shown_window(pixels: np.ndarray) -> IntensityWindow:
    """What a slice is shown in: colours from 0 to 255, grey between its robust percentiles."""
    colour = pixels.ndim == 3 and pixels.dtype == np.uint8
    window = IntensityWindow(0.0, 255.0) if colour else percentile_window(pixels)
    if window.high > window.low:
        return window
    return IntensityWindow(float(pixels.min()), float(pixels.max()))


def _modality(one: AnySet, entry: str) -> str | None:
    """The DICOM word of a set's modality, or of the entry's own name in sets of several; None for others."""
    words = entry.rpartition("__")[2] if "," in one.info.modality else one.info.modality
    match = re.match(r"(CT|MR|US|PET)\b", words)
    return None if match is None else match[1].replace("PET", "PT")
