"""Data sets of pictures: cells (BU-BIL), vessels (CHASE_DB1), optic disc and cup (Drishti-GS, REFUGE2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.lazy import CaseEntry
from SPASegmentLib.research.datasets.pictures import (
    IMAGE,
    CaseFiles,
    Found,
    PictureDataset,
    collect,
    read_picture,
)
from SPASegmentLib.research.datasets.splits import held_out, split_in_order

CELLS_TRAIN, CELLS_VAL = 20, 5

# The data set writes "seg_" and "Seg_", as one person or another saved it.
_CELLS = re.compile(r"(?:^|/)RawImages/([^/]+)\.(?:png|tif)$", re.IGNORECASE)
_CELLS_DRAWN = re.compile(r"(?:^|/)ExpertsAnnotations/([^/]+)/seg_([^/]+)\.(?:png|tif)$", re.IGNORECASE)


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
            sorted({match[1] for member in files.members if (match := _CELLS_DRAWN.search(member.name))})
        )
        super().__init__("bu-bil", files, collect(files, _recognise_cells, self.raters))
        split_of = split_in_order(self.patients(), CELLS_TRAIN, CELLS_VAL)
        self.select(split, subset, lambda entry: split_of[entry.patient])

    def foreground(self, data: bytes, case_id: str) -> np.ndarray:
        """(H, W) bool: what is darker than half of white."""
        picture = read_picture(data, case_id, "mask")
        return (picture if picture.ndim == 2 else picture.max(axis=2)) < 128


def _recognise_cells(name: str) -> Found | None:
    if match := _CELLS.search(name):
        return Found(match[1].upper(), match[1].upper(), IMAGE)
    if match := _CELLS_DRAWN.search(name):
        return Found(match[2].upper(), match[2].upper(), match[1])
    return None


CHILDREN_TRAIN, CHILDREN_VAL = 8, 2

_VESSELS = re.compile(r"(?:^|/)Image_(\d+)([LR])(?:_(1stHO|2ndHO))?\.(?:jpg|png)$", re.IGNORECASE)


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
        super().__init__("chase-db1", files, collect(files, _recognise_vessels, self.raters))
        split_of = split_in_order(self.patients(), CHILDREN_TRAIN, CHILDREN_VAL)
        self.select(split, subset, lambda entry: split_of[entry.patient])


def _recognise_vessels(name: str) -> Found | None:
    match = _VESSELS.search(name)
    if match is None:
        return None
    patient, eye, observer = match.groups()
    return Found(f"{patient}{eye.upper()}", patient, observer or IMAGE)


EXPERTS = 4
VOTES_TRAIN, VOTES_VAL = 28, 7

_VOTES = re.compile(r"(?:^|/)([^/]+)/(?:image\.(?:jpg|png)|(cup|disc)_votes\.png)$")


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
        super().__init__(
            f"drishti-{structure}", files, collect(files, _votes_recogniser(structure), [structure])
        )
        split_of = split_in_order(self.patients(), VOTES_TRAIN, VOTES_VAL)
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


def _votes_recogniser(structure: str) -> Callable[[str], Found | None]:
    def recognise(name: str) -> Found | None:
        match = _VOTES.search(name)
        if match is None or match[2] not in (None, structure):
            return None
        return Found(match[1], match[1], match[2] or IMAGE)

    return recognise


RATERS = tuple(str(number) for number in range(1, 8))

_FUNDUS = re.compile(
    r"(?:^|/)(Training|Validation|Test)[^/]*/([^/]+)/\2(?:_seg_(cup|disc)_(\d+))?(_cropped)?\.(?:jpg|png)$",
    re.IGNORECASE,
)


class Refuge2(PictureDataset):
    """`<Training|Test>-400/<id>/<id>.jpg` and `<id>_seg_<cup|disc>_<1..7>.png`.

    case_id and patient: "<id>". raters: "1" to "7", the seven ophthalmologists.
    Splits: Test-400 is test; of Training-400 a tenth, chosen by a hash of the id, is val, and Validation-400
    is val where it is present.
    """

    layout = "<Training-400|Test-400>/<id>/<id>.jpg and <id>_seg_<cup|disc>_<1..7>.png"
    modality = "OP"
    raters = RATERS

    def __init__(
        self,
        paths: Iterable[Path | str],
        split: str = "all",
        subset: str | None = "any",
        structure: str = "cup",
        cropped: bool = False,
    ) -> None:
        """structure: "cup" or "disc". cropped: read the `_cropped` pictures some distributions add.

        Raises DatasetError for a wrong layout, a missing mask or an empty selection.
        """
        if structure not in ("cup", "disc"):
            raise DatasetError(f"REFUGE2 has no structure '{structure}'; choose cup or disc.")
        files = Files(paths)
        super().__init__(
            f"refuge2-{structure}", files, collect(files, _fundus_recogniser(structure, cropped), RATERS)
        )
        part_of = _official_parts(files)
        val = held_out(case_id for case_id, part in part_of.items() if part == "train")
        self.select(split, subset, lambda entry: "val" if entry.case_id in val else part_of[entry.case_id])


def _fundus_recogniser(structure: str, cropped: bool) -> Callable[[str], Found | None]:
    def recognise(name: str) -> Found | None:
        match = _FUNDUS.search(name)
        if match is None or bool(match[5]) != cropped:
            return None
        if match[3] is not None and match[3].lower() != structure:
            return None
        return Found(match[2], match[2], match[4] or IMAGE)

    return recognise


def _official_parts(files: Files) -> dict[str, str]:
    parts = {"training": "train", "validation": "val", "test": "test"}
    matches = (_FUNDUS.search(member.name) for member in files.members)
    return {match[2]: parts[match[1].lower()] for match in matches if match}
