"""BU-BIL data set 1: cells in phase contrast, drawn by five persons with two tools each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.pictures import IMAGE, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.pixels import read_picture
from SPASegmentLib.research.datasets.splits import split_in_order

TRAIN, VAL = 20, 5

# The data set writes "seg_" and "Seg_", as one person or another saved it.
_IMAGE = re.compile(r"(?:^|/)RawImages/([^/]+)\.(?:png|tif)$", re.IGNORECASE)
_MASK = re.compile(r"(?:^|/)ExpertsAnnotations/([^/]+)/seg_([^/]+)\.(?:png|tif)$", re.IGNORECASE)


class BuBil(PictureDataset):
    """`RawImages/<image>.png` and `ExpertsAnnotations/<person>_<tool>/seg_<image>.png`, foreground black.

    case_id and patient: "<image>". raters: "<person>_<tool>", each with a stable style.
    Splits: the first 20 images train, the next 5 val, the other 10 test.
    """

    layout = "RawImages/<image>.png and ExpertsAnnotations/<person>_<tool>/seg_<image>.png"
    modality = "GM"
    grey = True

    def __init__(self, paths: Iterable[Path | str], split: str = "all", subset: str | None = "any") -> None:
        """Raises DatasetError for a wrong layout, a missing mask or an empty selection."""
        files = Files(paths)
        self.raters = tuple(
            sorted({match[1] for member in files.members if (match := _MASK.search(member.name))})
        )
        super().__init__("bu-bil", files, collect(files, _recognise, self.raters))
        split_of = split_in_order(self.patients(), TRAIN, VAL)
        self.select(split, subset, lambda entry: split_of[entry.patient])

    def foreground(self, data: bytes, case_id: str) -> np.ndarray:
        """(H, W) bool: what is darker than half of white."""
        picture = read_picture(data, case_id, "mask")
        return (picture if picture.ndim == 2 else picture.max(axis=2)) < 128


def _recognise(name: str) -> Found | None:
    if match := _IMAGE.search(name):
        return Found(match[1].upper(), match[1].upper(), IMAGE)
    if match := _MASK.search(name):
        return Found(match[2].upper(), match[2].upper(), match[1])
    return None
