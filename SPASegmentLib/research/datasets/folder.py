"""A researcher's own data: one folder per case, one mask per rater."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.lazy import CaseEntry, LazyDataset
from SPASegmentLib.research.datasets.pictures import IMAGE, CaseFiles, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.splits import hashed_split, split_rule
from SPASegmentLib.research.datasets.volumes import (
    VOLUME_ENDINGS,
    Study,
    StudySlice,
    VolumeDataset,
    given_window,
)

SPLITS_FILE = "splits.json"
LAYOUT = "<case>/image.{png,jpg,tif,nii.gz,nrrd} and <case>/rater-<name>.{png,tif,nii.gz,nrrd}"

_FILE = re.compile(
    r"(?:^|/)([^/]+)/(image|rater-([^/]+?))\.(png|jpe?g|tiff?|nii|nii\.gz|nrrd)$", re.IGNORECASE
)


class FolderPictures(PictureDataset):
    """The `folder` data set where images are pictures: each case is one picture."""

    layout = LAYOUT


class FolderVolumes(VolumeDataset):
    """The `folder` data set where images are volumes: each axial slice somebody drew on is a case."""

    layout = LAYOUT

    def foreground(self, labels: np.ndarray) -> np.ndarray:
        """Voxels that are not 0."""
        return labels > 0


def open_folder(
    paths: Iterable[Path | str],
    split: str = "all",
    subset: str | None = "any",
    modality: str | None = None,
    window: Sequence[float] | None = None,
    splits_file: Path | str | None = None,
) -> LazyDataset[CaseFiles] | LazyDataset[StudySlice]:
    """Open `<root>/<case>/image.<ending>` with `<root>/<case>/rater-<name>.<ending>`.

    Pictures: png, jpg or tif, grey (8 or 16 bits) or colour; masks are foreground where they are bright.
    Volumes: nii, nii.gz or nrrd, scalar; masks lie on the image's voxel grid and are foreground where not 0.
    A data set is all pictures or all volumes. Every case has a mask of every rater: save an empty one for
    a rater who drew nothing. <name> is the rater's name, the same person throughout.

    The patient of a case is its folder's name up to the first "__" ("p01__slice-3" belongs to "p01").
    Splits by patient come from `splits_file` or `splits.json` inside or beside a path
    (`{"train": [patients], "val": [...], "test": [...]}`), else from a stable hash of the patient.
    modality: DICOM word. window: (LOW, HIGH) of a volume's intensities, else robust percentiles.
    Raises DatasetError for a wrong layout, a missing mask, masks of another size, or an empty selection.
    """
    files = Files(paths)
    matches = [match for member in files.members if (match := _FILE.search(member.name))]
    volumes = {("." + match[4].lower()) in VOLUME_ENDINGS for match in matches}
    if len(volumes) > 1:
        raise DatasetError("The folder holds pictures and volumes; give a data set of one kind.")
    raters = tuple(sorted({match[3] for match in matches if match[3]}))
    if matches and not raters:
        raise DatasetError(f"The folder holds images but no masks; expected {LAYOUT}.")
    entries = list(collect(files, _recognise, raters))
    split_of = split_rule(files.paths, SPLITS_FILE, splits_file) or hashed_split
    if volumes == {True}:
        return _open_volumes(files, entries, raters, modality, window, split, subset, split_of)
    pictures = FolderPictures("folder", files, entries)
    pictures.raters, pictures.modality = raters, modality
    pictures.select(split, subset, lambda entry: split_of(entry.patient))
    return pictures


def _open_volumes(
    files: Files,
    entries: list[CaseEntry[CaseFiles]],
    raters: tuple[str, ...],
    modality: str | None,
    window: Sequence[float] | None,
    split: str,
    subset: str | None,
    split_of: Callable[[str], str],
) -> FolderVolumes:
    volumes = FolderVolumes("folder", files, map(Study.of, entries))
    volumes.raters, volumes.modality, volumes.window = raters, modality, given_window(window)
    volumes.select(split, subset, lambda entry: split_of(entry.patient))
    return volumes


def _recognise(name: str) -> Found | None:
    match = _FILE.search(name)
    if match is None:
        return None
    return Found(match[1], match[1].split("__")[0], match[3] or IMAGE)
