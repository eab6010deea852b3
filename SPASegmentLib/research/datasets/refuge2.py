"""REFUGE2: optic cup and disc in fundus images, drawn by seven ophthalmologists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.pictures import IMAGE, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.splits import held_out

RATERS = tuple(str(number) for number in range(1, 8))

_PICTURE = re.compile(
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
            f"refuge2-{structure}", files, collect(files, _recogniser(structure, cropped), RATERS)
        )
        part_of = _official_parts(files)
        val = held_out(case_id for case_id, part in part_of.items() if part == "train")
        self.select(split, subset, lambda entry: "val" if entry.case_id in val else part_of[entry.case_id])


def _recogniser(structure: str, cropped: bool) -> Callable[[str], Found | None]:
    def recognise(name: str) -> Found | None:
        match = _PICTURE.search(name)
        if match is None or bool(match[5]) != cropped:
            return None
        if match[3] is not None and match[3].lower() != structure:
            return None
        return Found(match[2], match[2], match[4] or IMAGE)

    return recognise


def _official_parts(files: Files) -> dict[str, str]:
    parts = {"training": "train", "validation": "val", "test": "test"}
    matches = (_PICTURE.search(member.name) for member in files.members)
    return {match[2]: parts[match[1].lower()] for match in matches if match}
