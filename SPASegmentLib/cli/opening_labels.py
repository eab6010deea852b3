"""From a volume and a rough labelling of it to one slice of both, and back into a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging.choice import ANY, Wanted
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.geometry import orientation_axis, to_display
from SPASegmentLib.imaging.headers import OWN
from SPASegmentLib.imaging.masks import COLOUR, write_labels
from SPASegmentLib.imaging.slicing import OpenedSlice, cut_slice
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.research.systems.partial.labels import BACKGROUND, FOREGROUND, read_labels

SEGMENTS = {FOREGROUND: ("Object", COLOUR), BACKGROUND: ("Background", (0.27, 0.43, 0.67))}


@dataclass(frozen=True, eq=False)
class OpenedLabels:
    """A slice, its rough labels (H, W) uint8 as shown, and all the labels there are, (K, J, I) uint8."""

    slice: OpenedSlice
    labels: np.ndarray
    everywhere: np.ndarray

    def words(self) -> list[str]:
        """What was opened, for the user."""
        height, width = self.labels.shape
        row, col = self.slice.image.spacing
        given = self.counts(self.labels)
        lines = [
            f"Slice {self.slice.plane.index}: {height} x {width} pixels of {row:.3g} x {col:.3g} mm; "
            f"given: {given['foreground']} pixels of the object, {given['background']} of background"
        ]
        others = np.count_nonzero(self.everywhere) - np.count_nonzero(self.labels)
        return [*lines, "Labels on other slices are kept as they are."] if others else lines

    def counts(self, labels: np.ndarray) -> dict[str, int]:
        """Pixels of each kind."""
        return {
            "foreground": int((labels == FOREGROUND).sum()),
            "background": int((labels == BACKGROUND).sum()),
            "unknown": int((labels == 0).sum()),
        }

    def write(self, path: Path, labels: np.ndarray) -> None:
        """Write the labels of this slice, (H, W) uint8 as shown, and those of all others."""
        written = self.everywhere.copy()
        index: list[slice | int] = [slice(None)] * 3
        index[self.slice.plane.axis or 0] = self.slice.plane.index or 0
        written[tuple(index)] = 0
        for value in SEGMENTS:
            written[self.slice.on_grid(labels == value)] = value
        write_labels(path, written, self.slice.volume, SEGMENTS)


def open_labels(
    path: Path,
    labels_path: Path,
    *,
    values: tuple[int, int],
    orientation: str,
    index: int | None,
    window: tuple[float, float] | None,
    wanted: Wanted = ANY,
    model_window: tuple[float, float] | None,
) -> OpenedLabels:
    """Read a volume and its rough labelling, and cut the slice that has most of the object, or slice `index`.

    values: of foreground and background in the file. Raises InputError and SeedError, one sentence each.
    """
    volume = read_volume(path, OWN, wanted)
    everywhere = read_labels(labels_path, volume, *values)
    axis = orientation_axis(volume, orientation)
    chosen = _slice(volume, everywhere, axis, index)
    rows, cols = (a for a in (0, 1, 2) if a != axis)
    on_slice = everywhere.take(chosen, axis=axis)
    row, col = np.argwhere(on_slice == FOREGROUND)[0]
    at = np.zeros(3)
    at[axis], at[rows], at[cols] = chosen, row, col
    opened = cut_slice(
        volume,
        seed_ras=None,
        seed_ijk=(float(at[2]), float(at[1]), float(at[0])),
        orientation=orientation,
        window=window,
        model_window=model_window,
    )
    turned = np.ascontiguousarray(to_display(on_slice, opened.plane))
    return OpenedLabels(opened, turned, everywhere)


def _slice(volume: Volume, labels: np.ndarray, axis: int, index: int | None) -> int:
    """The slice to grow. Raises InputError or SeedError where it has no foreground."""
    others = tuple(a for a in (0, 1, 2) if a != axis)
    counts = (labels == FOREGROUND).sum(axis=others)
    if not counts.any():
        raise SeedError("The labels have no foreground; mark a part of the object first.")
    if index is None:
        return int(counts.argmax())
    if index >= volume.shape[axis]:
        raise InputError(
            f"The volume has no slice {index} in that orientation; choose 0 to {volume.shape[axis] - 1}."
        )
    if not counts[index]:
        raise SeedError(
            f"Slice {index} has no foreground label; the one with most is slice {int(counts.argmax())}."
        )
    return index
