"""Train, validation and test, always by patient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from SPASegmentLib.errors import DatasetError

SPLITS = ("all", "train", "val", "test")
HELD_OUT = "held-out"
"""Val and test together: what no model learns from."""


def check_split(split: str) -> None:
    """Raises DatasetError for an unknown split."""
    if split not in (*SPLITS, HELD_OUT):
        raise DatasetError(f"There is no split '{split}'; choose one of {', '.join(SPLITS)}, {HELD_OUT}.")


def in_split(split: str, wanted: str) -> bool:
    """Whether what is train, val or test belongs to the wanted split."""
    return wanted in ("all", split) or (wanted == HELD_OUT and split in ("val", "test"))


def hashed_share(patient: str) -> float:
    """A number in [0, 1) that depends on nothing but the patient, the same on every machine."""
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") / 2**64


def hashed_split(patient: str) -> str:
    """The split of a patient no list names: 70% train, 10% val, 20% test."""
    share = hashed_share(patient)
    return "train" if share < 0.7 else "val" if share < 0.8 else "test"


def held_out(patients: Iterable[str], share: float = 0.1) -> set[str]:
    """The patients of an official training set that become val: a tenth, but at least one of two or more."""
    ordered = sorted(set(patients), key=hashed_share)
    return set(ordered[: max(round(share * len(ordered)), min(1, len(ordered) - 1))])


def split_in_order(patients: Iterable[str], train: int, val: int) -> dict[str, str]:
    """The first `train` patients in sorted order are train, the next `val` are val, all others test."""
    ordered = sorted(set(patients))
    names = ["train"] * train + ["val"] * val
    return {patient: names[index] if index < len(names) else "test" for index, patient in enumerate(ordered)}


def find_splits_file(paths: Iterable[Path], name: str) -> Path | None:
    """The splits file `name` inside or beside any of the given paths."""
    for path in paths:
        for folder in (path, path.absolute().parent):
            if (folder / name).is_file():
                return folder / name
    return None


def split_rule(
    paths: Iterable[Path], name: str, given: Path | str | None = None
) -> Callable[[str], str] | None:
    """The split of a patient by the file `given` or `name` beside the data; None where there is no such file.

    Who is not named was kept apart from training and counts as test. Raises DatasetError as `read_splits`.
    """
    found = find_splits_file(paths, name) if given is None else Path(given)
    if found is None:
        return None
    split_of = read_splits(found)
    return lambda patient: split_of.get(patient, "test")


def read_splits(path: Path) -> dict[str, str]:
    """Patient -> split from `{"train": [...], "val": [...], "test": [...]}`.

    Raises DatasetError where the file is not of that form or puts a patient into two splits.
    """
    broken = DatasetError(f"The splits file '{path.name}' is not of the form {{\"train\": [patients], ...}}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"The splits file '{path.name}' could not be read; check the path.") from error
    except ValueError as error:
        raise broken from error
    if not isinstance(content, dict) or not set(content) <= set(SPLITS[1:]):
        raise broken
    split_of: dict[str, str] = {}
    for split, patients in content.items():
        if not isinstance(patients, list) or not all(isinstance(patient, str) for patient in patients):
            raise broken
        for patient in patients:
            if split_of.setdefault(patient, split) != split:
                raise DatasetError(f"The splits file '{path.name}' puts one patient into two splits.")
    return split_of
