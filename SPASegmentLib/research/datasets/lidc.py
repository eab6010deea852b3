"""LIDC-IDRI lung nodules with four anonymous raters, as the three distributions there are."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files, Member
from SPASegmentLib.research.datasets.lazy import CaseEntry, LazyDataset
from SPASegmentLib.research.datasets.pictures import IMAGE, CaseFiles, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.safe_pickle import PickledArray, load_plain_pickle
from SPASegmentLib.research.datasets.splits import SPLITS, hashed_split, split_rule

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
        split_of = split_rule(files.paths, SPLITS_FILE, splits_file) if split != "all" else hashed_split
        if split_of is None:
            log.warning("No %s lies beside the data: a hash of the patient decides the split.", SPLITS_FILE)
            split_of = hashed_split
        self.select(split, subset, lambda entry: split_of(entry.patient))


def _recognise(name: str) -> Found | None:
    match = _PICTURE.search(name)
    if match is None:
        return None
    patient, nodule, rater, slice_name = match.groups()
    return Found(f"{patient}/{nodule}/{slice_name}", patient, IMAGE if rater is None else rater)


PIXEL_MM = 0.5

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
        super().__init__("lidc-probunet", files, collect(files, _recognise_probunet, RATERS))
        matches = (_IMAGE.search(member.name) for member in files.members)
        split_of = {match[2]: match[1] for match in matches if match}
        self.select(split, subset, lambda entry: split_of[entry.case_id])

    def read_spacing(self, entry: CaseEntry[CaseFiles]) -> tuple[float, float]:
        """(row, col) mm per pixel."""
        return (PIXEL_MM, PIXEL_MM)


def _recognise_probunet(name: str) -> Found | None:
    if match := _IMAGE.search(name):
        return Found(match[2], match[3], IMAGE)
    if match := _MASK.search(name):
        return Found(match[2], match[3], match[4])
    return None


HDF5_ENDINGS = (".hdf5", ".h5")
PICKLE_ENDINGS = (".pickle", ".pkl")

Groups = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class _Place:
    """Where a case is: its key in a pickle, or group and row in an HDF5 file. split: None by patient."""

    file: int
    group: str
    row: int = 0
    split: str | None = None


class LidcPhiseg(LazyDataset[_Place]):
    """`data_lidc.hdf5` with groups train, val, test (images, labels, uids), or `data_lidc.pickle`.

    The pickle holds {name: {"image": (128, 128) in [0, 1], "masks": 4 of (128, 128), "series_uid": text}};
    it is read without running anything it names. The HDF5 file holds images less 0.5 and labels as
    (n, 4, 128, 128) or (n, 128, 128, 4); reading it needs the package h5py. The raters are anonymous.
    Splits: the HDF5 file's own groups; for the pickle a stable hash of the series.
    """

    layout = "data_lidc.hdf5 with groups train, val and test, or data_lidc.pickle"
    modality = "CT"

    def __init__(self, paths: Iterable[Path | str], split: str = "all", subset: str | None = "any") -> None:
        """paths: the file itself, or a zip or folder with it. Raises DatasetError as every loader does."""
        endings = HDF5_ENDINGS + PICKLE_ENDINGS
        files = Files(paths, endings)
        members = [member for member in files.members if member.name.lower().endswith(endings)]
        self._stores = [_open_store(files, member) for member in members]
        super().__init__("lidc-phiseg", self._entries())
        self.select(split, subset, lambda entry: entry.source.split or hashed_split(entry.patient))

    def _entries(self) -> Iterator[CaseEntry[_Place]]:
        for number, store in enumerate(self._stores):
            yield from store.entries(number)

    def read_image(self, entry: CaseEntry[_Place]) -> np.ndarray:
        """(H, W) float32 in [0, 1]."""
        image = np.asarray(self._stores[entry.source.file].image(entry.source), np.float32)
        if image.ndim != 2 or not (image.min() >= -1e-3 and image.max() <= 1 + 1e-3):
            raise DatasetError(f"Case {entry.case_id}: its image is not one slice with values in [0, 1].")
        return np.clip(image, 0, 1)

    def read_masks(self, entry: CaseEntry[_Place]) -> np.ndarray:
        """(4, H, W) bool."""
        masks = [np.asarray(mask) for mask in self._stores[entry.source.file].masks(entry.source)]
        if len(masks) != len(RATERS) or len({mask.shape for mask in masks}) > 1 or masks[0].ndim != 2:
            raise DatasetError(f"Case {entry.case_id} has not four masks of one size.")
        return np.stack(masks) > 0

    def read_spacing(self, entry: CaseEntry[_Place]) -> tuple[float, float]:
        """(row, col) mm per pixel."""
        return (PIXEL_MM, PIXEL_MM)


class PickleStore:
    """The content of `data_lidc.pickle`."""

    def __init__(self, content: Any) -> None:
        """Raises DatasetError where the content is not of the documented form."""
        if not isinstance(content, dict):
            raise DatasetError("The LIDC pickle is not a dictionary of cases; fetch it again.")
        self._cases = {str(name): case for name, case in content.items()}
        for name, case in self._cases.items():
            if not isinstance(case, dict) or not {"image", "masks", "series_uid"} <= set(case):
                raise DatasetError(
                    f"Case {name} lacks its image, masks or series_uid; fetch the pickle again."
                )

    def entries(self, number: int) -> Iterator[CaseEntry[_Place]]:
        """All cases."""
        for name, case in self._cases.items():
            yield CaseEntry(name, str(case["series_uid"]), _Place(number, name))

    def image(self, place: _Place) -> np.ndarray:
        """(H, W), in [0, 1]."""
        return _array(self._cases[place.group]["image"])

    def masks(self, place: _Place) -> list[np.ndarray]:
        """Four of (H, W)."""
        masks = self._cases[place.group]["masks"]
        return [_array(mask) for mask in (masks if isinstance(masks, list | tuple) else _array(masks))]


def _array(value: object) -> np.ndarray:
    return value.array() if isinstance(value, PickledArray) else np.asarray(value)


class Hdf5Store:
    """The content of `data_lidc.hdf5`, or anything that maps group and name to arrays like it."""

    def __init__(self, groups: Groups) -> None:
        """Raises DatasetError where groups or arrays are missing."""
        self._groups = groups
        self._present = [name for name in SPLITS[1:] if name in groups]
        for name in self._present:
            if not {"images", "labels"} <= set(groups[name]):
                raise DatasetError(f"The group '{name}' of the LIDC HDF5 file lacks images or labels.")
            if len(groups[name]["images"]) != len(groups[name]["labels"]):
                raise DatasetError(f"The group '{name}' of the LIDC HDF5 file has not one label per image.")

    def entries(self, number: int) -> Iterator[CaseEntry[_Place]]:
        """All cases; the patient is the series, where the file names it."""
        for name in self._present:
            group = self._groups[name]
            uids = np.asarray(group["uids"]) if "uids" in group else None
            for row in range(len(group["images"])):
                case_id = f"{name}/{row:05d}"
                patient = case_id if uids is None else f"series-{uids[row]}"
                yield CaseEntry(case_id, patient, _Place(number, name, row, name))

    def image(self, place: _Place) -> np.ndarray:
        """(H, W), in [0, 1]: 0.5 was taken off when the file was made."""
        return np.asarray(self._groups[place.group]["images"][place.row], np.float32) + np.float32(0.5)

    def masks(self, place: _Place) -> np.ndarray:
        """(4, H, W)."""
        labels = np.asarray(self._groups[place.group]["labels"][place.row])
        return np.moveaxis(labels, -1, 0) if labels.ndim == 3 and labels.shape[-1] == len(RATERS) else labels


def _open_store(files: Files, member: Member) -> PickleStore | Hdf5Store:
    if member.name.lower().endswith(PICKLE_ENDINGS):
        with files.open(member, member.leaf) as stream:
            return PickleStore(load_plain_pickle(stream, member.leaf))
    try:
        import h5py
    except ImportError as error:
        raise DatasetError(
            "Reading HDF5 files needs the package h5py; install it with 'pip install h5py'."
        ) from error
    try:
        return Hdf5Store(h5py.File(files.path_of(member) or io.BytesIO(files.read(member, member.leaf)), "r"))
    except OSError as error:
        raise DatasetError(f"The HDF5 file '{member.leaf}' is damaged; fetch it again.") from error
