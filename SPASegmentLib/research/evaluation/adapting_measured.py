"""What adapting brings on a structure new to the model: Dice after the click by objects it learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.network.checkpoint import load_checkpoint
from SPASegmentLib.profiles.approvals import SUFFIX, ApprovalFolder, ApprovedObject, crop_object
from SPASegmentLib.research.datasets.any_cases import shown_window
from SPASegmentLib.research.datasets.any_structure import AnySet, open_any
from SPASegmentLib.research.datasets.draws import generator
from SPASegmentLib.research.datasets.volumes import apply_window
from SPASegmentLib.research.evaluation.adapting import dice_after_click
from SPASegmentLib.research.training.adapting import Recipe, adapted_state

LEAST_AREA = 100
"""Pixels of an object that is approved or judged."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Measured:
    """objects: that taught the model. dice: mean after the click. low, high: 95% interval of what it gained.

    lidc: mean on LIDC-IDRI's val split, or None where it was not measured.
    """

    objects: int
    dice: float
    low: float
    high: float
    lidc: float | None


def measure(
    start: Path,
    path: Path,
    structure: str,
    counts: Sequence[int],
    limit: int,
    recipe: Recipe,
    console: Console,
    lidc: Sequence[ApprovedObject] = (),
) -> Iterator[Measured]:
    """Of a set of 2-D pictures, for each number of objects; the first patients teach, others are judged.

    limit: so many are judged at most, one a patient. lidc: judged at the first and the last count.
    Raises DatasetError where the set has no such structure or too few patients.
    """
    teachers, judged = split(path, structure, max(counts), limit)
    state, header = load_checkpoint(start)
    before = dice_after_click(state, header, judged)
    rng = np.random.default_rng(0)
    for count in counts:
        taught = state if count == 0 else adapted_state(start, teachers[:count], recipe, console)
        after = before if count == 0 else dice_after_click(taught, header, judged)
        draws = rng.integers(len(judged), size=(RESAMPLES, len(judged)))
        low, high = np.quantile((after - before)[draws].mean(axis=1), [0.025, 0.975])
        check = bool(lidc) and count in (counts[0], counts[-1])
        nodules = float(dice_after_click(taught, header, lidc).mean()) if check else None
        yield Measured(count, float(after.mean()), float(low), float(high), nodules)


def split(
    path: Path, structure: str, most: int, limit: int
) -> tuple[list[ApprovedObject], list[ApprovedObject]]:
    """Who teaches, cropped as it would have been kept, and who is judged, on whole slices.

    Raises DatasetError where the set has no such structure or too few patients.
    """
    (one,) = open_any(path)
    every = list(objects_of(one, structure, most + limit))
    if len(every) <= most:
        raise DatasetError(f"{one.name} has {len(every)} patients with {structure}; {most} are to teach.")
    return [_cropped(one) for one in every[:most]], every[most:]


def keep(objects: Sequence[ApprovedObject], folder: Path) -> None:
    """Keep objects as approvals are kept, but under their numbers, so that each run adapts equally.

    Raises InputError where the folder cannot be written.
    """
    for number, one in enumerate(objects):
        ApprovalFolder(folder).keep(one).replace(folder / f"{number:03}{SUFFIX}")


def objects_of(one: AnySet, structure: str, most: int) -> Iterator[ApprovedObject]:
    """The structure on one picture of each patient, whole slices, with the protocol's click; at most `most`.

    Raises DatasetError for a structure the set does not have.
    """
    if structure not in one.info.structures or one.info.dims != 2:
        raise DatasetError(f"{one.name} has no 2-D structure {structure}; it has {one.info.structures}.")
    seen: set[str] = set()
    for files in sorted(one.entries, key=lambda files: (files.split == "test", files.name)):
        if files.patient in seen or len(seen) == most:
            continue
        entry = one.read(files)
        mask = entry.masks.get(structure)
        if mask is None or mask.sum() < LEAST_AREA:
            continue
        seen.add(files.patient)
        spots = np.argwhere(mask)
        draw = generator("any", f"{one.name}/{files.name}", 0, "click")
        row, col = spots[draw.integers(len(spots))]
        pixels = apply_window(entry.image, shown_window(entry.image))
        image = SliceImage(pixels, (float(entry.spacing[0]), float(entry.spacing[1])))
        yield ApprovedObject(image, mask.astype(bool), (int(row), int(col)), files.patient)


def _cropped(one: ApprovedObject) -> ApprovedObject:
    """As it would have been kept."""
    return crop_object(one.image, one.mask, (float(one.click[0]), float(one.click[1])), one.group)
