"""What a network for any structure learns from, in memory: single images and stacks of slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.research.datasets.any_structure import AnyEntry, AnySet, manifest, open_any
from SPASegmentLib.research.datasets.lidc import LidcSlices

LEAST_PIXELS = 12
"""A target smaller than this on a slice teaches nothing."""
LEAST_SIDE = 16
"""Slices shorter than this, across a thin volume, are left out."""
PERCENTILES = (0.5, 99.5)


@dataclass(eq=False)
class Stack:
    """One image or volume with its masks.

    pixels: (S, H, W) or (S, H, W, 3) uint8. masks: (R, S, H, W) bool, of structures or raters; or int32 ids
    of single objects where `instances`. spacing: (S, row, col) step in units of the finest. axes: directions
    it may be cut along. shown: (axis, mask) -> indices of slices on which the mask is large enough.
    """

    name: str
    pixels: np.ndarray
    masks: np.ndarray
    raters: bool = False
    instances: bool = False
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    axes: tuple[int, ...] = (0,)
    shown: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for axis in self.axes:
            others = tuple(other for other in range(3) if other != axis)
            for index, mask in enumerate(self.masks):
                found = np.flatnonzero((mask != 0).sum(axis=others) >= LEAST_PIXELS)
                if len(found):
                    self.shown[axis, index] = found

    def slice(self, axis: int, index: int) -> np.ndarray:
        """(H, W) or (H, W, 3) uint8."""
        return np.moveaxis(self.pixels, axis, 0)[index]

    def depth(self, axis: int) -> int:
        """Slices along an axis."""
        return int(self.masks.shape[1 + axis])

    def mask(self, number: int, axis: int, index: int) -> np.ndarray:
        """(H, W) bool or ids."""
        return np.moveaxis(self.masks[number], axis, 0)[index]

    def steps(self, axis: int) -> tuple[float, float]:
        """(row, col) steps of the slices along an axis."""
        rest = [step for other, step in enumerate(self.spacing) if other != axis]
        return rest[0], rest[1]


def read_sets(paths: Sequence[Path | str]) -> tuple[dict[str, list[Stack]], list[dict[str, Any]]]:
    """Train entries of all sets that may teach a model, by set, and their manifest for the checkpoint.

    Raises DatasetError where none of them may.
    """
    sets = open_any(paths, teach_only=True)
    return {one.name: _stacks(one) for one in sets}, manifest(sets)


def read_choosing_sets(paths: Sequence[Path | str]) -> dict[str, list[Stack]]:
    """Val entries of the sets that may teach, on which checkpoints are chosen; empty where there are none."""
    sets = (one for one in open_any(paths) if one.info.train and not one.info.recalled)
    chosen = {one.name: [one.read(entry) for entry in one.entries if entry.split == "val"] for one in sets}
    return {
        name: [stack for entry in entries if (stack := _stack(name, entry)).shown]
        for name, entries in chosen.items()
    }


def _stacks(one: AnySet) -> list[Stack]:
    read = (_stack(one.name, one.read(entry)) for entry in one.entries)
    return [stack for stack in read if stack.shown]


def _stack(name: str, entry: AnyEntry) -> Stack:
    masks = np.stack(list(entry.masks.values()))
    volume = masks.ndim == 4
    pixels = as_bytes(entry.image)
    if not volume:
        return Stack(name, pixels[None], masks[:, None], entry.raters, entry.instances)
    finest = min(entry.spacing)
    spacing = tuple(step / finest for step in entry.spacing)
    sides = masks.shape[1:]
    axes = tuple(a for a in range(3) if min(s for b, s in enumerate(sides) if b != a) >= LEAST_SIDE)
    return Stack(name, pixels, masks, entry.raters, entry.instances, spacing, axes)  # type: ignore[arg-type]


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Stored intensities -> uint8: colours as they are, others stretched between their percentiles."""
    if image.ndim == 3 and image.shape[-1] == 3 and image.dtype == np.uint8:
        return image
    values = image.reshape(-1)[:: max(1, image.size // 2**20)]
    low, high = np.percentile(values, PERCENTILES)
    if high <= low:
        low, high = float(image.min()), max(float(image.max()), float(image.min()) + 1)
    scaled = (image.astype(np.float32) - low) * (255 / (high - low))
    return np.asarray(np.round(np.clip(scaled, 0, 255)).astype(np.uint8))


def read_lidc(paths: Iterable[Path | str], split: str) -> list[Stack]:
    """The nodules of LIDC-IDRI as stacks of consecutive slices with four raters; none that nobody drew."""
    dataset = LidcSlices(paths, split=split, subset=None)
    nodules: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, case_id in enumerate(dataset.case_ids()):
        nodule, _, name = case_id.rpartition("/")
        nodules[nodule].append((int(name.removeprefix("slice-")), index))
    stacks = []
    for nodule in sorted(nodules):
        cases = [dataset[index] for _, index in sorted(nodules[nodule])]
        pixels = np.stack([np.round(case.image * 255).astype(np.uint8) for case in cases])
        stacks.append(Stack("lidc", pixels, np.stack([case.masks for case in cases], axis=1), raters=True))
    return [stack for stack in stacks if stack.shown]
