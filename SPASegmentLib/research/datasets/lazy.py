"""A data set as a sorted list of entries that are read when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset
from SPASegmentLib.research.datasets.splits import check_split, in_split

Source = TypeVar("Source")

SUBSETS = ("any", "all4")


@dataclass(frozen=True)
class CaseEntry(Generic[Source]):
    """What is known of a case before it is read. source: where its loader finds it."""

    case_id: str
    patient: str
    source: Source


class LazyDataset(MultiRaterDataset, ABC, Generic[Source]):
    """Cases in the order of their ids; images and masks are read on access."""

    layout: str = ""
    raters: tuple[str, ...] = ()
    modality: str | None = None

    def __init__(self, name: str, entries: Iterable[CaseEntry[Source]]) -> None:
        """Raises DatasetError where there is no entry or two entries share an id."""
        self.name = name
        self.entries: Sequence[CaseEntry[Source]] = sorted(entries, key=lambda entry: entry.case_id)
        if not self.entries:
            raise DatasetError(
                f"The given paths hold no case of the data set {name}; expected {self.layout}."
            )
        for before, after in zip(self.entries, self.entries[1:], strict=False):
            if before.case_id == after.case_id:
                raise DatasetError(
                    f"Case {after.case_id} is found twice in the given paths; give each file once."
                )

    @abstractmethod
    def read_image(self, entry: CaseEntry[Source]) -> np.ndarray:
        """(H, W) or (H, W, 3): uint8, or float32 in [0, 1]."""

    @abstractmethod
    def read_masks(self, entry: CaseEntry[Source]) -> np.ndarray:
        """(R, H, W) bool."""

    def read_spacing(self, entry: CaseEntry[Source]) -> tuple[float, float] | None:
        """(row, col) mm per pixel, None where the data set does not say."""
        return None

    def __getitem__(self, index: int) -> Case:
        """Read one case. Raises DatasetError naming the case where a file is missing, damaged or misfits."""
        entry = self.entries[index]
        image = self.read_image(entry)
        masks = self.read_masks(entry)
        _check_size(entry.case_id, image, masks)
        if image.dtype == np.uint8:
            image = image.astype(np.float32) / np.float32(255)
        spacing = self.read_spacing(entry)
        return Case(
            self.name,
            entry.case_id,
            entry.patient,
            image,
            masks,
            self.raters,
            spacing or (1.0, 1.0),
            self.modality,
            spacing_known=spacing is not None,
        )

    def case_ids(self) -> list[str]:
        """All ids in order, without reading images."""
        return [entry.case_id for entry in self.entries]

    def patients(self) -> list[str]:
        """The patient of each case, in order."""
        return [entry.patient for entry in self.entries]

    def keep(self, wanted: Callable[[CaseEntry[Source]], bool], what: str) -> None:
        """Drop all entries that are not wanted. Raises DatasetError naming `what` where none is left."""
        self.entries = [entry for entry in self.entries if wanted(entry)]
        if not self.entries:
            raise DatasetError(f"The data set {self.name} has no case in {what}; choose another.")

    def select(self, split: str, subset: str | None, split_of: Callable[[CaseEntry[Source]], str]) -> None:
        """Keep the split ("all": every case) and the subset (None: also cases nobody drew anything on)."""
        check_split(split)
        if split != "all":
            self.keep(lambda entry: in_split(split_of(entry), split), f"the split '{split}'")
        if subset is not None:
            self.keep_subset(subset)

    def keep_subset(self, subset: str) -> None:
        """Keep cases where any rater (`any`) or every rater (`all4`) drew something."""
        if subset not in SUBSETS:
            raise DatasetError(f"There is no subset '{subset}'; choose one of {', '.join(SUBSETS)}.")
        enough = any if subset == "any" else all
        self.keep(lambda entry: enough(self.drawn(entry)), f"the subset '{subset}'")

    def drawn(self, entry: CaseEntry[Source]) -> Iterable[bool]:
        """Whether each rater drew anything; lazy where masks are files, so that `any` reads few of them."""
        return [bool(mask.any()) for mask in self.read_masks(entry)]


def _check_size(case_id: str, image: np.ndarray, masks: np.ndarray) -> None:
    if masks.shape[1:] != image.shape[:2]:
        have, want = "x".join(map(str, masks.shape[1:])), "x".join(map(str, image.shape[:2]))
        raise DatasetError(f"Case {case_id}: the masks are {have} pixels but the image is {want}.")
