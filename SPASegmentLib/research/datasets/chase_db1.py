"""CHASE_DB1: retinal vessels of 14 children, both eyes, drawn by two observers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.pictures import IMAGE, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.splits import split_in_order

TRAIN, VAL = 8, 2

_PICTURE = re.compile(r"(?:^|/)Image_(\d+)([LR])(?:_(1stHO|2ndHO))?\.(?:jpg|png)$", re.IGNORECASE)


class ChaseDb1(PictureDataset):
    """`Image_<patient><L|R>.jpg` with `Image_<patient><L|R>_{1stHO,2ndHO}.png`, in any folders.

    case_id: "<patient><L|R>". raters: "1stHO" and "2ndHO". Splits by child, as usual in the literature:
    the first 20 images train (the last 4 of them val), the other 8 test.
    """

    layout = "Image_<patient><L|R>.jpg, Image_<patient><L|R>_1stHO.png and Image_<patient><L|R>_2ndHO.png"
    modality = "OP"
    raters = ("1stHO", "2ndHO")

    def __init__(self, paths: Iterable[Path | str], split: str = "all", subset: str | None = "any") -> None:
        """Raises DatasetError for a wrong layout, a missing mask or an empty selection."""
        files = Files(paths)
        super().__init__("chase-db1", files, collect(files, _recognise, self.raters))
        split_of = split_in_order(self.patients(), TRAIN, VAL)
        self.select(split, subset, lambda entry: split_of[entry.patient])


def _recognise(name: str) -> Found | None:
    match = _PICTURE.search(name)
    if match is None:
        return None
    patient, eye, observer = match.groups()
    return Found(f"{patient}{eye.upper()}", patient, observer or IMAGE)
