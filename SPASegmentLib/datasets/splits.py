"""Train, validation and test, always by patient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from SPASegmentLib.errors import DatasetError

SPLITS = ("all", "train", "val", "test")


def check_split(split: str) -> None:
    """Raises DatasetError for an unknown split."""
    if split not in SPLITS:
        raise DatasetError(f"There is no split '{split}'; choose one of {', '.join(SPLITS)}.")


def hashed_split(patient: str) -> str:
    """The split of a patient no list names: 70% train, 10% val, 20% test, the same on every machine."""
    share = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.7 else "val" if share < 0.8 else "test"


def find_splits_file(paths: Iterable[Path], name: str) -> Path | None:
    """The splits file `name` inside or beside any of the given paths."""
    for path in paths:
        for folder in (path, path.parent) if path.is_dir() else (path.parent,):
            if (folder / name).is_file():
                return folder / name
    return None


def read_splits(path: Path) -> dict[str, str]:
    """Patient -> split from `{"train": [...], "val": [...], "test": [...]}`.

    Raises DatasetError where the file is not of that form or puts a patient into two splits.
    """
    broken = DatasetError(f"The splits file '{path.name}' is not of the form {{\"train\": [patients], ...}}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise broken from error
    if not isinstance(content, dict) or not set(content) <= {"train", "val", "test"}:
        raise broken
    split_of: dict[str, str] = {}
    for split, patients in content.items():
        if not isinstance(patients, list):
            raise broken
        for patient in patients:
            if not isinstance(patient, str):
                raise broken
            if split_of.setdefault(patient, split) != split:
                raise DatasetError(
                    f"The splits file '{path.name}' puts the patient {patient} into two splits."
                )
    return split_of
