"""One multi-rater case, whatever data set it comes from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from SPASegmentLib.errors import DatasetError


@dataclass(frozen=True, eq=False)
class Case:
    """An image and what R raters drew on it.

    image: (H, W) or (H, W, 3) float32 in [0, 1].
    masks: (R, H, W) bool; a rater who drew nothing is an empty mask.
    case_id: unique in its data set and stable. patient: groups cases for splits and bootstrap.
    raters: names where raters are persons with a stable style, else empty.
    spacing: (row, col) mm. modality: DICOM word ("CT", "MR", "XC" for photographs, ...) or None.
    structure: the name of what the masks show, where an image holds several structures, else "".
    others: the other structures of the image, name -> (H, W) bool, or integers that tell objects apart.
    neighbours: as `SliceImage.neighbours`, of a slice of a volume.
    spacing_known: whether the spacing is measured; where it is not it is (1, 1) and means pixels.
    """

    dataset: str
    case_id: str
    patient: str
    image: np.ndarray
    masks: np.ndarray
    raters: tuple[str, ...] = ()
    spacing: tuple[float, float] = (1.0, 1.0)
    modality: str | None = None
    structure: str = ""
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    neighbours: tuple[np.ndarray | None, ...] = ()
    spacing_known: bool = False


class MultiRaterDataset(Protocol):
    """A list of cases in a fixed order (sorted by case id), read lazily from folders or zips."""

    name: str

    @abstractmethod
    def __getitem__(self, index: int) -> Case:
        """Read one case."""

    @abstractmethod
    def case_ids(self) -> list[str]:
        """All ids in order, without reading images."""

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.case_ids())

    def __iter__(self) -> Iterator[Case]:
        """All cases in order."""
        return (self[index] for index in range(len(self)))


@runtime_checkable
class SetsOfCases(Protocol):
    """A data set of several sets, whose case is one of the structures of an image; ids are "<set>/<entry>".

    It is evaluated by set. sets: name -> the part it is reported in, of the sets that have a case.
    """

    sets: Mapping[str, str]

    def case(self, index: int, protocol_seed: int) -> Case:
        """Read one case; which of its structures it is depends on the seed."""


def set_of(case_id: str) -> str:
    """The set of a case of a `SetsOfCases`."""
    return case_id.partition("/")[0]


def read_case(dataset: MultiRaterDataset, index: int, protocol_seed: int) -> Case:
    """One case as the protocol's seed has it."""
    return dataset.case(index, protocol_seed) if isinstance(dataset, SetsOfCases) else dataset[index]


class WithoutRaters(MultiRaterDataset):
    """The same cases with fewer masks; a rater is named, or numbered from 0 where raters have no names."""

    def __init__(self, dataset: MultiRaterDataset, raters: Sequence[str]) -> None:
        """Raises DatasetError where a rater is not there or none would be left."""
        self.name = dataset.name
        self._dataset = dataset
        first = dataset[0]
        known = first.raters or tuple(map(str, range(len(first.masks))))
        for rater in raters:
            if rater not in known:
                raise DatasetError(f"There is no rater '{rater}' here; choose among {', '.join(known)}.")
        self._left = [number for number, name in enumerate(known) if name not in raters]
        if not self._left:
            raise DatasetError("All raters are left out; name fewer of them.")

    def __getitem__(self, index: int) -> Case:
        """Read one case."""
        case = self._dataset[index]
        masks = np.ascontiguousarray(case.masks[self._left])
        return replace(case, masks=masks, raters=tuple(case.raters[r] for r in self._left if case.raters))

    def case_ids(self) -> list[str]:
        """All ids in order."""
        return self._dataset.case_ids()
