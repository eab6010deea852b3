"""Pictures from bytes, and data sets in which a case is one picture and one mask picture per rater."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files, Member
from SPASegmentLib.research.datasets.lazy import CaseEntry, LazyDataset


def read_picture(data: bytes, case_id: str, what: str = "image") -> np.ndarray:
    """Decode a picture: (H, W) grey or (H, W, 3) RGB uint8, or (H, W) float32 in [0, 1] for 16-bit grey.

    Raises DatasetError naming the case where the bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return _pixels(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"Case {case_id}: its {what} is not a readable picture.") from error


def _pixels(picture: Image.Image) -> np.ndarray:
    if picture.mode in ("L", "RGB"):
        return np.asarray(picture)
    if picture.mode in ("1", "LA"):
        return np.asarray(picture.convert("L"))
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        return np.clip(np.asarray(picture), 0, 65535).astype(np.float32) / np.float32(65535)
    rgb = np.asarray(picture.convert("RGB"))
    return rgb[..., 0] if picture.mode == "P" and _is_grey(rgb) else rgb


def _is_grey(rgb: np.ndarray) -> bool:
    return bool((rgb == rgb[..., :1]).all())


def read_mask(data: bytes, case_id: str) -> np.ndarray:
    """Decode a mask picture: (H, W) bool, foreground where the brightest channel is at least half of white.

    A mask whose values stay below half of white and are not all 0 (0/1 or label masks) is foreground
    wherever it is not 0.
    """
    mask = read_picture(data, case_id, "mask")
    if mask.ndim == 3:
        mask = mask.max(axis=2)
    half = 127 if mask.dtype == np.uint8 else 0.5
    return mask > half if mask.max(initial=0) > half else mask > 0


def read_stored_picture(data: bytes, case_id: str) -> np.ndarray:
    """Decode a picture in its stored intensities: (H, W), or (H, W, 3) where it is in colour.

    Raises DatasetError naming the case where the bytes are no picture.
    """
    return _stored(data, case_id, "image", palette=False)


def read_mask_values(data: bytes, case_id: str) -> np.ndarray:
    """Decode a mask in its stored values, such as ids: (H, W) integers. Of a palette picture its indices.

    Raises DatasetError naming the case where the bytes are no picture or its channels differ.
    """
    mask = _stored(data, case_id, "mask", palette=True)
    if mask.ndim == 2:
        return mask
    if not _is_grey(mask):
        raise DatasetError(f"Case {case_id}: its mask is in colour; masks hold one value a pixel.")
    return mask[..., 0]


def _stored(data: bytes, case_id: str, what: str, *, palette: bool) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.mode == "P":
                return np.asarray(picture) if palette else _pixels(picture)
            if picture.mode == "F" or picture.mode.startswith("I"):
                return np.asarray(picture)
            return _pixels(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"Case {case_id}: its {what} is not a readable picture.") from error


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
