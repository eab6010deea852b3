"""LIDC-IDRI lung nodules as 128x128 8-bit CT crops with four anonymous raters."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from SPASegmentLib.datasets.files import Files, Member
from SPASegmentLib.datasets.lazy import Entry, LazyDataset
from SPASegmentLib.datasets.pixels import read_mask, read_picture
from SPASegmentLib.datasets.splits import check_split, find_splits_file, hashed_split, read_splits
from SPASegmentLib.errors import DatasetError

SPLITS_FILE = "lidc-splits.json"
RATERS = 4

_PICTURE = re.compile(r"(?:^|/)([^/]+)/(nodule-[^/]+)/(images|mask-[0-3])/(slice-[^/]+)\.png$")

_Pictures = dict[str, Member]
log = logging.getLogger(__name__)


class LidcSlices(LazyDataset[_Pictures]):
    """`<patient>/nodule-<n>/{images,mask-0..3}/slice-<s>.png` in zips or folders, at any depth.

    case_id: "<patient>/nodule-<n>/slice-<s>". mask-k is not the same person throughout, so raters have no
    names. The crops carry no pixel size: spacing is (1, 1).
    """

    modality = "CT"

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
        check_split(split)
        self._files = Files(paths)
        super().__init__("lidc", _entries(self._files))
        if split != "all":
            split_of = _split_rule(self._files.paths, splits_file)
            self.keep(lambda entry: split_of(entry.patient) == split, f"the split '{split}'")
        if subset is not None:
            self.keep_subset(subset)

    def read_image(self, entry: Entry[_Pictures]) -> np.ndarray:
        """(H, W) uint8."""
        image = read_picture(self._files.read(entry.source["images"], entry.case_id), entry.case_id)
        if image.ndim != 2 or image.dtype != np.uint8:
            raise DatasetError(f"Case {entry.case_id}: its image is not 8-bit grey.")
        return image

    def read_masks(self, entry: Entry[_Pictures]) -> np.ndarray:
        """(4, H, W) bool."""
        names = [f"mask-{rater}" for rater in range(RATERS)]
        masks = [
            read_mask(self._files.read(entry.source[name], entry.case_id), entry.case_id, name)
            for name in names
        ]
        if len({mask.shape for mask in masks}) > 1:
            raise DatasetError(f"Case {entry.case_id}: its masks differ in size.")
        return np.stack(masks)


def _entries(files: Files) -> Iterator[Entry[_Pictures]]:
    cases: dict[str, tuple[str, _Pictures]] = {}
    for member in files.members:
        match = _PICTURE.search(member.name)
        if match is None:
            continue
        patient, nodule, kind, slice_name = match.groups()
        case_id = f"{patient}/{nodule}/{slice_name}"
        _, pictures = cases.setdefault(case_id, (patient, {}))
        if kind in pictures:
            raise DatasetError(f"Case {case_id} is found twice in the given paths; give each file once.")
        pictures[kind] = member
    for case_id, (patient, pictures) in cases.items():
        for kind in ("images", *(f"mask-{rater}" for rater in range(RATERS))):
            if kind not in pictures:
                raise DatasetError(
                    f"Case {case_id} has no {kind} picture; the data set is incomplete, fetch it again."
                )
        yield Entry(case_id, patient, pictures)


def _split_rule(paths: tuple[Path, ...], splits_file: Path | str | None) -> Callable[[str], str]:
    found = Path(splits_file) if splits_file is not None else find_splits_file(paths, SPLITS_FILE)
    if found is None:
        log.warning("No %s lies beside the data: a hash of the patient decides the split.", SPLITS_FILE)
        return hashed_split
    split_of = read_splits(found)
    return lambda patient: split_of.get(patient, "test")
