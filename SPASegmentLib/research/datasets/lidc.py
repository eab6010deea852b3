"""LIDC-IDRI lung nodules as 128x128 8-bit CT crops with four anonymous raters."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.pictures import IMAGE, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.splits import find_splits_file, hashed_split, read_splits

SPLITS_FILE = "lidc-splits.json"
RATERS = ("0", "1", "2", "3")

_PICTURE = re.compile(r"(?:^|/)([^/]+)/(nodule-[^/]+)/(?:images|mask-([0-3]))/(slice-[^/]+)\.png$")
log = logging.getLogger(__name__)


class LidcSlices(PictureDataset):
    """`<patient>/nodule-<n>/{images,mask-0..3}/slice-<s>.png` in zips or folders, at any depth.

    case_id: "<patient>/nodule-<n>/slice-<s>". mask-k is not the same person throughout, so raters have no
    names. Each crop was stretched from its own minimum and maximum to 0..255, and carries no pixel size:
    spacing is (1, 1).
    """

    layout = "<patient>/nodule-<n>/{images,mask-0..3}/slice-<s>.png"
    modality = "CT"
    grey = True

    def __init__(
        self,
        paths: Iterable[Path | str],
        split: str = "all",
        subset: str | None = "any",
        splits_file: Path | str | None = None,
    ) -> None:
        """Open zips and folders together.

        split: by patient, from `splits_file` or else `lidc-splits.json` beside any of the paths; a patient
        that file does not name was kept apart from training and counts as test. Without a file, a stable
        hash of the patient decides. subset: "any", "all4", or None for every slice.
        Raises DatasetError for a wrong layout, a missing mask or an empty selection.
        """
        files = Files(paths)
        super().__init__("lidc", files, collect(files, _recognise, RATERS))
        split_of = _split_rule(files.paths, splits_file) if split != "all" else hashed_split
        self.select(split, subset, lambda entry: split_of(entry.patient))


def _recognise(name: str) -> Found | None:
    match = _PICTURE.search(name)
    if match is None:
        return None
    patient, nodule, rater, slice_name = match.groups()
    return Found(f"{patient}/{nodule}/{slice_name}", patient, IMAGE if rater is None else rater)


def _split_rule(paths: tuple[Path, ...], splits_file: Path | str | None) -> Callable[[str], str]:
    found = Path(splits_file) if splits_file is not None else find_splits_file(paths, SPLITS_FILE)
    if found is None:
        log.warning("No %s lies beside the data: a hash of the patient decides the split.", SPLITS_FILE)
        return hashed_split
    split_of = read_splits(found)
    return lambda patient: split_of.get(patient, "test")
