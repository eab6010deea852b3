"""What is recorded of each image: numbers and a mask under a user's code; no names, no dates, no paths."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.study.plan import StudyPlan

MASKS = "masks"


class StudyRecord(BaseModel):
    """One image as one user segmented it.

    position: in the user's order, from 1. seconds: active ones, pauses excluded. paused: seconds of pauses.
    attempts: how often it was begun; more than once where the program was stopped in between. keys, clicks:
    that were pressed. picks, points, rejections ("none of these"), keeps: steps of the interaction, undone
    ones too; points are those the user placed, the first click included. iterations: proposals seen.
    gave_up: the user went on without approving. mask: name of its file, mask_hash: SHA-256 of its voxels,
    None where nothing was approved. model: name and hash of the one that answered.
    Of simulated users only: dice with what they wanted; looks: masks looked at; by_hand: seconds of drawing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    position: int = Field(ge=1)
    user: str
    case: str
    condition: str
    practice: bool = False
    seconds: float = Field(ge=0, allow_inf_nan=False)
    paused: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    attempts: int = Field(default=1, ge=1)
    keys: int = Field(default=0, ge=0)
    clicks: int = Field(default=0, ge=0)
    picks: int = Field(default=0, ge=0)
    points: int = Field(default=0, ge=0)
    rejections: int = Field(default=0, ge=0)
    keeps: int = Field(default=0, ge=0)
    iterations: int = Field(default=0, ge=0)
    gave_up: bool = False
    mask: str | None = None
    mask_hash: str | None = None
    model: str = ""
    dice: float | None = None
    looks: int | None = None
    by_hand: float | None = None


class UserRecords:
    """One user's file: a line for the plan, then one when an image is begun and one when it is finished.

    Each line is on the disk before the next image; a line cut short by a kill is dropped.
    """

    def __init__(self, folder: Path, plan: StudyPlan, user: str) -> None:
        """Open or begin. Raises InputError where the file is of another plan or cannot be written."""
        self.folder, self.path = folder, folder / f"{user}.jsonl"
        self.records: list[StudyRecord] = []
        self.begun: list[int] = []
        self._head = {"format": "spasegment-study-records", "version": 1, "plan": plan.digest, "user": user}
        if self.path.exists():
            self._read()
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self._write_all([])

    def _read(self) -> None:
        try:
            head, *lines = self.path.read_text(encoding="utf-8").split("\n")
            if json.loads(head) != self._head:
                raise InputError(
                    f"{self.path} was recorded with another plan; keep each plan's records in a folder."
                )
            whole = [json.loads(line) for line in lines[:-1]]
            self.begun = [line["begun"] for line in whole if "begun" in line]
            self.records = [StudyRecord.model_validate(line) for line in whole if "begun" not in line]
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise InputError(f"The records {self.path} are damaged; mend or move them first.") from error
        if lines[-1]:
            self._write_all(lines[:-1])

    def _write_all(self, lines: list[str]) -> None:
        with atomic_file(self.path, refusal=_cannot_write) as file:
            file.write("".join(f"{line}\n" for line in [json.dumps(self._head), *lines]).encode())

    def masks(self) -> Path:
        """The folder of the masks. Raises InputError where it cannot be made."""
        folder = self.folder / MASKS
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise _cannot_write(folder, error) from error
        return folder

    def begin(self, position: int) -> None:
        """An image is begun."""
        self._append(json.dumps({"begun": position}))
        self.begun.append(position)

    def append(self, record: StudyRecord) -> None:
        """An image is finished. Raises InputError where that cannot be written; then it is not."""
        self._append(record.model_dump_json(exclude_none=True))
        self.records.append(record)

    def extend(self, records: list[StudyRecord]) -> None:
        """Many at once."""
        known = [record.model_dump_json(exclude_none=True) for record in (*self.records, *records)]
        self._write_all(known)
        self.records += records

    def _append(self, line: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                before = file.tell()
                try:
                    file.write(line + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, before)
                    raise
        except OSError as error:
            raise _cannot_write(self.path, error) from error


def records_folder(plan_path: Path) -> Path:
    """Where the records of a plan lie: beside it."""
    return plan_path.resolve().with_name(f"{plan_path.stem}-records")


def read_records(folder: Path, plan: StudyPlan) -> list[StudyRecord]:
    """What all users of a plan have recorded so far. Raises InputError where there is nothing."""
    found = []
    for user in plan.users:
        if (folder / f"{user}.jsonl").exists():
            found += UserRecords(folder, plan, user).records
    if not found:
        raise InputError(f"There are no records of this plan in {folder}; run it first.")
    return found


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = (error.strerror or "output error").lower()
    return InputError(f"The study's records {path} cannot be written ({reason}); make room and try again.")
