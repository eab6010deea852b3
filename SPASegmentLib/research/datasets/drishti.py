"""Drishti-GS: optic disc and cup in fundus images, as the votes of four experts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.lazy import CaseEntry
from SPASegmentLib.research.datasets.pictures import IMAGE, CaseFiles, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.pixels import read_picture
from SPASegmentLib.research.datasets.splits import split_in_order

EXPERTS = 4
TRAIN, VAL = 28, 7

_PICTURE = re.compile(r"(?:^|/)([^/]+)/(?:image\.(?:jpg|png)|(cup|disc)_votes\.png)$")


class Drishti(PictureDataset):
    """`<id>/image.jpg`, `<id>/cup_votes.png`, `<id>/disc_votes.png`; votes 0..4 as 0, 64, 128, 191, 255.

    The experts' own outlines are not distributed. Mask r is where at least r + 1 experts voted: the masks are
    nested, four readings from the most inclusive to the most cautious, and no persons.
    Splits: of the sorted ids the first 28 train, the next 7 val, the other 15 test.
    """

    layout = "<id>/image.jpg, <id>/cup_votes.png and <id>/disc_votes.png"
    modality = "OP"

    def __init__(
        self,
        paths: Iterable[Path | str],
        split: str = "all",
        subset: str | None = "any",
        structure: str = "cup",
    ) -> None:
        """structure: "cup" or "disc". Raises DatasetError for a wrong layout or an empty selection."""
        if structure not in ("cup", "disc"):
            raise DatasetError(f"Drishti-GS has no structure '{structure}'; choose cup or disc.")
        files = Files(paths)
        super().__init__(f"drishti-{structure}", files, collect(files, _recogniser(structure), [structure]))
        split_of = split_in_order(self.patients(), TRAIN, VAL)
        self.select(split, subset, lambda entry: split_of[entry.patient])

    def _each_mask(self, entry: CaseEntry[CaseFiles]) -> Iterator[np.ndarray]:
        """The four nested masks of the one vote map."""
        data = self._files.read(entry.source.masks[0], entry.case_id)
        shares = read_picture(data, entry.case_id, "vote map")
        votes = shares.astype(np.float32) * (EXPERTS / 255)
        if votes.ndim != 2 or np.abs(votes - np.rint(votes)).max(initial=0) > 0.1:
            raise DatasetError(
                f"Case {entry.case_id}: its vote map holds values other than 0, 64, 128, 191, 255."
            )
        for needed in range(1, EXPERTS + 1):
            yield np.rint(votes) >= needed


def _recogniser(structure: str) -> Callable[[str], Found | None]:
    def recognise(name: str) -> Found | None:
        match = _PICTURE.search(name)
        if match is None or match[2] not in (None, structure):
            return None
        return Found(match[1], match[1], match[2] or IMAGE)

    return recognise
