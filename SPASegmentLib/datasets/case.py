"""One multi-rater case, whatever data set it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Case:
    """An image and what R raters drew on it.

    image: (H, W) or (H, W, 3) float32 in [0, 1].
    masks: (R, H, W) bool; a rater who drew nothing is an empty mask.
    case_id: unique in its data set and stable. patient: groups cases for splits and bootstrap.
    raters: names where raters are persons with a stable style, else empty.
    spacing: (row, col) mm. modality: DICOM word ("CT", "MR", "XC" for photographs, ...) or None.
    """

    dataset: str
    case_id: str
    patient: str
    image: np.ndarray
    masks: np.ndarray
    raters: tuple[str, ...] = ()
    spacing: tuple[float, float] = (1.0, 1.0)
    modality: str | None = None


class MultiRaterDataset(Protocol):
    """A list of cases in a fixed order (sorted by case id), read lazily from folders or zips."""

    name: str

    def __len__(self) -> int:
        """Number of cases."""

    def __getitem__(self, index: int) -> Case:
        """Read one case."""

    def case_ids(self) -> list[str]:
        """All ids in order, without reading images."""

    def __iter__(self) -> Iterator[Case]:
        """All cases in order."""
