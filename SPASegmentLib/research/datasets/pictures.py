"""Data sets in which a case is one picture and one mask picture per rater."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files, Member
from SPASegmentLib.research.datasets.lazy import CaseEntry, LazyDataset
from SPASegmentLib.research.datasets.pixels import read_mask, read_picture

IMAGE = ""
"""The role of the image; raters have names."""


class Found(NamedTuple):
    """What a file is, told from its name. role: IMAGE or the rater who drew it."""

    case_id: str
    patient: str
    role: str


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case. masks: in the order of the raters."""

    image: Member
    masks: tuple[Member, ...]


def collect(
    files: Files, recognise: Callable[[str], Found | None], raters: Sequence[str] | None = None
) -> Iterator[CaseEntry[CaseFiles]]:
    """Put the files `recognise` knows into cases.

    raters: the roles each case must have; None: all roles seen anywhere, sorted.
    Raises DatasetError where a case has a file twice or lacks one.
    """
    cases: dict[str, tuple[str, dict[str, Member]]] = {}
    seen: set[str] = set()
    for member in files.members:
        found = recognise(member.name)
        if found is None:
            continue
        roles = cases.setdefault(found.case_id, (found.patient, {}))[1]
        if found.role in roles:
            raise DatasetError(
                f"Case {found.case_id} is found twice in the given paths; give each file once."
            )
        roles[found.role] = member
        seen.add(found.role)
    wanted = sorted(seen - {IMAGE}) if raters is None else list(raters)
    for case_id, (patient, roles) in cases.items():
        yield CaseEntry(case_id, patient, _complete(case_id, roles, wanted))


def _complete(case_id: str, roles: dict[str, Member], raters: Iterable[str]) -> CaseFiles:
    masks = []
    for role in (IMAGE, *raters):
        if role not in roles:
            what = "image" if role == IMAGE else f"mask of rater {role}"
            raise DatasetError(f"Case {case_id} has no {what}; the data set is incomplete, fetch it again.")
        masks.append(roles[role])
    return CaseFiles(masks[0], tuple(masks[1:]))


class PictureDataset(LazyDataset[CaseFiles]):
    """Reads PNG, JPEG and the like; masks are white on black unless `foreground` says otherwise."""

    grey: bool = False

    def __init__(self, name: str, files: Files, entries: Iterable[CaseEntry[CaseFiles]]) -> None:
        super().__init__(name, entries)
        self._files = files

    def foreground(self, data: bytes, case_id: str) -> np.ndarray:
        """(H, W) bool from a mask file."""
        return read_mask(data, case_id)

    def read_image(self, entry: CaseEntry[CaseFiles]) -> np.ndarray:
        """(H, W) or (H, W, 3) uint8, or float32 in [0, 1] where the file is deeper than 8 bits."""
        image = read_picture(self._files.read(entry.source.image, entry.case_id), entry.case_id)
        if self.grey and image.ndim == 3:
            raise DatasetError(f"Case {entry.case_id}: its image is in colour, but {self.name} is grey.")
        return image

    def read_masks(self, entry: CaseEntry[CaseFiles]) -> np.ndarray:
        """(R, H, W) bool. Raises DatasetError where masks differ in size."""
        masks = list(self._each_mask(entry))
        if len({mask.shape for mask in masks}) > 1:
            raise DatasetError(f"Case {entry.case_id}: its masks differ in size.")
        return np.stack(masks)

    def drawn(self, entry: CaseEntry[CaseFiles]) -> Iterator[bool]:
        """Whether each rater drew anything, reading one mask after the other."""
        return (bool(mask.any()) for mask in self._each_mask(entry))

    def _each_mask(self, entry: CaseEntry[CaseFiles]) -> Iterator[np.ndarray]:
        for member in entry.source.masks:
            yield self.foreground(self._files.read(member, entry.case_id), entry.case_id)
