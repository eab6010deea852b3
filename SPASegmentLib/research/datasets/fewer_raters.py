"""A data set some of whose raters are left out, as if they had never been asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset


class WithoutRaters:
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

    def __len__(self) -> int:
        """Number of cases."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> Case:
        """Read one case."""
        case = self._dataset[index]
        masks = np.ascontiguousarray(case.masks[self._left])
        return replace(case, masks=masks, raters=tuple(case.raters[r] for r in self._left if case.raters))

    def __iter__(self) -> Iterator[Case]:
        """All cases in order."""
        for index in range(len(self)):
            yield self[index]

    def case_ids(self) -> list[str]:
        """All ids in order."""
        return self._dataset.case_ids()
