"""Sets of any structure and modality: one zip or folder a set, described by its set.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveFloat, ValidationError, ValidationInfo, field_validator

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files, Member
from SPASegmentLib.research.datasets.pictures import read_mask_values, read_stored_picture
from SPASegmentLib.research.datasets.splits import check_split, in_split
from SPASegmentLib.research.datasets.volumes import read_array

SET_FILE = "set.json"
SPLIT_WORDS = {"train": "train", "val": "val", "test": "test", "hidden": "test"}
"""What an entry's split may be called; entries kept apart for acceptance are evaluated as test."""

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_IMAGE = re.compile(r"image\.(?:jpe?g|png|nii(?:\.gz)?)")
_MASK = re.compile(r"rater-(.+?)\.(?:png|nii(?:\.gz)?)")


class SetInfo(BaseModel):
    """What set.json says.

    kind: "structures" (masks are of different things) or "raters" (of one thing by different persons).
    nested: (outer, inner) pairs. instances: whether mask values are ids of single objects. dims: 2 or 3.
    spacing: where the voxel size is from, in words or mm, or None. train: whether it may teach a model.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    modality: str
    kind: Literal["structures", "raters"]
    structures: tuple[str, ...]
    nested: tuple[tuple[str, ...], ...] = ()
    instances: bool = False
    dims: Literal[2, 3]
    spacing: str | tuple[PositiveFloat, ...] | None = None
    licence: str
    licence_evidence: Any = None
    source: str
    train: bool

    @field_validator("nested")
    @classmethod
    def _pairs(cls, chains: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        """Every (outer, inner) of chains from the outermost to the innermost."""
        return tuple(pair for chain in chains for pair in combinations(chain, 2))

    @field_validator("spacing")
    @classmethod
    def _one_for_each_axis(cls, value: Any, info: ValidationInfo) -> Any:
        dims = info.data.get("dims")
        if isinstance(value, tuple) and len(value) != dims:
            raise ValueError(f"give words or {dims} numbers above 0")
        return value

    @property
    def recalled(self) -> bool:
        """Whether the licence is remembered only, not read where it is stated."""
        return self.licence_evidence != "read" or "recalled" in self.licence

    @property
    def spacing_known(self) -> bool:
        """Whether the voxel size is measured, not made up where the source lost it."""
        if isinstance(self.spacing, str):
            return re.match(r"(?:lost|unknown|nominal)", self.spacing) is None
        return self.spacing is not None


@dataclass(frozen=True)
class EntryFiles:
    """One entry, unread. split: train, val or test. masks: structure or rater -> its file."""

    name: str
    patient: str
    split: str
    image: Member
    masks: Mapping[str, Member]


@dataclass(frozen=True, eq=False)
class AnyEntry:
    """One entry, read.

    image: (H, W), (H, W, 3) or (S, H, W) in stored intensities. masks: structure, or rater where `raters`, ->
    (H, W) or (S, H, W) bool, or int32 ids of single objects (0: none) where `instances`.
    spacing: mm along each axis of a mask; 1 where nothing is said. spacing_known: whether it is measured.
    """

    name: str
    patient: str
    image: np.ndarray
    masks: dict[str, np.ndarray]
    spacing: tuple[float, ...]
    spacing_known: bool
    raters: bool
    instances: bool


class AnySet:
    """One set; its entries, sorted by name, are read when asked for."""

    def __init__(self, name: str, info: SetInfo, entries: Sequence[EntryFiles], files: Files) -> None:
        self.name = name
        self.info = info
        self.entries = tuple(entries)
        self._files = files

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.entries)

    def read(self, entry: EntryFiles) -> AnyEntry:
        """Read one entry. Raises DatasetError naming it where a file is damaged or a mask misfits."""
        case_id = f"{self.name}/{entry.name}"
        image, zooms = self._pixels(entry.image, case_id, mask=False)
        size = image.shape if self.info.dims == 3 else image.shape[:2]
        masks = {}
        for rater, member in entry.masks.items():
            values, _ = self._pixels(member, case_id, mask=True)
            if values.shape != size:
                raise DatasetError(
                    f"Case {case_id}: its mask '{rater}' is of another size than its image "
                    f"({_times(values.shape)} and {_times(size)})."
                )
            masks[rater] = values.astype(np.int32) if self.info.instances else values > 0
        spacing = self.info.spacing if isinstance(self.info.spacing, tuple) else zooms
        known = self.info.spacing_known and spacing is not None
        return AnyEntry(
            entry.name,
            entry.patient,
            image,
            masks,
            spacing or (1.0,) * len(size),
            known,
            self.info.kind == "raters",
            self.info.instances,
        )

    def _pixels(
        self, member: Member, case_id: str, *, mask: bool
    ) -> tuple[np.ndarray, tuple[float, ...] | None]:
        """The stored array and, of a volume, its mm along each axis."""
        data = self._files.read(member, case_id)
        if ".nii" not in member.leaf:
            if self.info.dims == 3:
                raise DatasetError(
                    f"Case {case_id}: '{member.leaf}' is no volume, unlike the rest of its set."
                )
            reader = read_mask_values if mask else read_stored_picture
            return reader(data, case_id), None
        array, ijk_to_ras = read_array(data, member.name, case_id)
        while array.ndim > self.info.dims and 1 in array.shape:
            array = array.squeeze(axis=array.shape.index(1))
        if array.ndim != self.info.dims:
            raise DatasetError(
                f"Case {case_id}: '{member.leaf}' has {array.ndim} axes, but its set is of {self.info.dims}."
            )
        steps = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)[::-1]
        return array, tuple(float(step) for step in steps[-array.ndim :])


def open_any(
    paths: Iterable[Path | str] | Path | str,
    split: str = "all",
    teach_only: bool = False,
    include_recalled: bool = False,
) -> list[AnySet]:
    """Open sets, sorted by name, each from its zip or folder, or all in a folder of such.

    split: "train", "val", "test", "held-out" (val and test) or "all"; sets without an entry in it
    are left out.
    teach_only: only sets that may teach a model, and only their train entries (split must be "train" or
    "all"); sets whose licence is recalled, not read, are left out unless `include_recalled`.
    Raises DatasetError where a set.json is missing or malformed, or files do not fit it.
    """
    check_split(split)
    if teach_only and split not in ("train", "all"):
        raise DatasetError(f"A model learns from train entries only, so the split cannot be '{split}'.")
    wanted = "train" if teach_only else split
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: dict[str, AnySet] = {}
    for path in _each_source(given):
        for opened in _sets_of(Files([path]), path):
            if opened.name in found:
                raise DatasetError(f"The set {opened.name} is found twice in the given paths; give it once.")
            found[opened.name] = opened
    sets = [found[name] for name in sorted(found)]
    if teach_only:
        sets = [one for one in sets if one.info.train and (include_recalled or not one.info.recalled)]
    chosen = [_of_split(one, wanted) for one in sets]
    left = [one for one in chosen if one.entries]
    if not left:
        what = "may teach a model" if teach_only else f"has an entry in the split '{split}'"
        raise DatasetError(f"None of the given sets {what}; choose other sets or another split.")
    return left


def manifest(sets: Iterable[AnySet]) -> list[dict[str, Any]]:
    """What a model learnt from, for its checkpoint's header: set, licence, source and entries of each set."""
    return [
        {
            "set": one.name,
            "licence": one.info.licence + (" (recalled)" if one.info.recalled else ""),
            "source": one.info.source,
            "entries": [entry.name for entry in one.entries],
        }
        for one in sets
    ]


def _of_split(one: AnySet, split: str) -> AnySet:
    entries = [entry for entry in one.entries if in_split(entry.split, split)]
    return AnySet(one.name, one.info, entries, one._files)


def _each_source(paths: Sequence[Path | str]) -> Iterator[Path]:
    """Every zip and every set's folder among the paths and directly in them."""
    if not paths:
        raise DatasetError("No data set path was given; give at least one zip file or folder.")
    for path in map(Path, paths):
        if not path.is_dir() or (path / SET_FILE).is_file():
            yield path
            continue
        inside = [
            child
            for child in sorted(path.iterdir())
            if child.suffix.lower() == ".zip" or (child / SET_FILE).is_file()
        ]
        if not inside:
            raise DatasetError(
                f"The folder '{path.name}' holds no {SET_FILE} and no zip; give a set's folder."
            )
        yield from inside


def _sets_of(files: Files, path: Path) -> Iterator[AnySet]:
    """All sets of one zip or folder."""
    seen: set[str] = set()
    for member in files.members:
        _check_path(member.inner, path)
        if member.inner in seen:
            raise DatasetError(f"'{path.name}' holds '{member.inner}' twice; fetch it again.")
        seen.add(member.inner)
    described = [member for member in files.members if member.leaf == SET_FILE]
    if not described:
        raise DatasetError(
            f"The given paths hold no case of the data set any; expected a {SET_FILE} in '{path.name}'."
        )
    for member in described:
        yield _open_set(files, member)


def _check_path(inner: str, path: Path) -> None:
    parts = PurePosixPath(inner).parts
    if ".." in parts or inner.startswith("/") or "\\" in inner or re.match(r"[A-Za-z]:", inner):
        raise DatasetError(f"'{path.name}' holds a file with the unsafe path '{inner}'.")


def _open_set(files: Files, described: Member) -> AnySet:
    folder = PurePosixPath(described.inner).parent
    fallback = folder.name or PurePosixPath(described.name).parent.name
    data = files.read(described, fallback)
    content = _parse(data, fallback)
    name = content.get("set", fallback)
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise DatasetError(f"The {SET_FILE} of '{fallback}' names its set with unusual characters.")
    found: dict[str, dict[str, Member]] = {}
    for member in files.members:
        place = PurePosixPath(member.inner)
        if place.parent.parent == folder and place.parent != folder:
            found.setdefault(place.parent.name, {})[place.name] = member
    return AnySet(name, _info(data, name), _entries(content, found, name), files)


def _parse(data: bytes, name: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except ValueError as error:
        raise DatasetError(f"The {SET_FILE} of '{name}' is not valid JSON.") from error
    if not isinstance(content, dict):
        raise DatasetError(f"The {SET_FILE} of '{name}' is not a JSON object.")
    return content


def _info(data: bytes, name: str) -> SetInfo:
    try:
        return SetInfo.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise DatasetError(
            f"The {SET_FILE} of '{name}' has no proper '{first['loc'][0]}': {first['msg']}."
        ) from error


def _entries(
    content: Mapping[str, Any], found: Mapping[str, Mapping[str, Member]], name: str
) -> list[EntryFiles]:
    splits = content.get("entries")
    if not isinstance(splits, dict) or not splits:
        raise DatasetError(f"The {SET_FILE} of '{name}' lists no 'entries' with their splits.")
    split_of_patient: dict[str, str] = {}
    entries = []
    for entry in sorted({*splits, *found}):
        split = SPLIT_WORDS.get(str(splits.get(entry)))
        if split is None:
            raise DatasetError(f"Case {name}/{entry} has no split train, val or test in its {SET_FILE}.")
        patient = entry.split("__")[0]
        if split_of_patient.setdefault(patient, split) != split:
            raise DatasetError(f"The set {name} puts the patient {patient} into two splits.")
        entries.append(_entry(name, entry, patient, split, found.get(entry, {})))
    return entries


def _entry(set_name: str, entry: str, patient: str, split: str, files: Mapping[str, Member]) -> EntryFiles:
    images = [member for leaf, member in files.items() if _IMAGE.fullmatch(leaf)]
    masks = {match[1]: files[leaf] for leaf in sorted(files) if (match := _MASK.fullmatch(leaf))}
    if len(images) != 1 or not masks:
        raise DatasetError(
            f"Case {set_name}/{entry} needs one image and at least one mask rater-<name>; fetch it again."
        )
    return EntryFiles(entry, patient, split, images[0], masks)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
