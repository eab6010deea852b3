"""LIDC-IDRI as distributed for the (Hierarchical) Probabilistic U-Net: 180x180 PNG crops."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.lazy import CaseEntry
from SPASegmentLib.research.datasets.pictures import IMAGE, CaseFiles, Found, PictureDataset, collect

PIXEL_MM = 0.5
RATERS = ("0", "1", "2", "3")

_IMAGE = re.compile(r"(?:^|/)(?:[^/]*_)?(train|val|test)/images/(([^/]+)/(?:[^/]+/)*[^/]+)\.png$")
_MASK = re.compile(r"(?:^|/)(?:[^/]*_)?(train|val|test)/gt/(([^/]+)/(?:[^/]+/)*[^/]+)_l([0-3])\.png$")


class LidcProbUnet(PictureDataset):
    """`<split>/images/<patient>/<name>.png` with `<split>/gt/<patient>/<name>_l0..l3.png`.

    case_id: "<patient>/<name>". The crops were resampled to 0.5 mm per pixel and the raters are anonymous.
    The split is the folder the case lies in (`train`, `val`, `test`, or `..._train` and so on).
    """

    layout = (
        "<train|val|test>/images/<patient>/<name>.png and <train|val|test>/gt/<patient>/<name>_l0..l3.png"
    )
    modality = "CT"
    grey = True

    def __init__(self, paths: Iterable[Path | str], split: str = "all", subset: str | None = "any") -> None:
        """Raises DatasetError for a wrong layout, a missing mask or an empty selection."""
        files = Files(paths)
        super().__init__("lidc-probunet", files, collect(files, _recognise, RATERS))
        matches = (_IMAGE.search(member.name) for member in files.members)
        split_of = {match[2]: match[1] for match in matches if match}
        self.select(split, subset, lambda entry: split_of[entry.case_id])

    def read_spacing(self, entry: CaseEntry[CaseFiles]) -> tuple[float, float]:
        """(row, col) mm per pixel."""
        return (PIXEL_MM, PIXEL_MM)


def _recognise(name: str) -> Found | None:
    if match := _IMAGE.search(name):
        return Found(match[2], match[3], IMAGE)
    if match := _MASK.search(name):
        return Found(match[2], match[3], match[4])
    return None
