"""The plan of a study: which user segments which image how, in which order. A JSON file."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
UserCode = Annotated[str, Field(pattern=r"^[A-Z]{1,3}[0-9]{1,4}$")]
"""A letter and a number: a user's name has no place in a study's files."""
Design = Literal["crossed", "split"]
_MAX_BYTES = 64 * 2**20


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StudyCase(_Written):
    """An image and the object in it.

    file, reference: relative to the plan's folder, or absolute. seed_ras: a point of the object, world R, A,
    S in mm, where the user is shown to, or None. structure: what is to be segmented, in words. reference: a
    mask to compare with, or None. group: the same for images of one patient, "" for one of its own.
    """

    id: Code
    file: str
    seed_ras: tuple[float, float, float] | None = None
    structure: str = Field(default="", max_length=80)
    reference: str | None = None
    group: str = ""

    @property
    def cluster(self) -> str:
        """What is resampled as one: its patient, or itself."""
        return self.group or self.id


class Assignment(_Written):
    """One image for one user. practice: to get used to the condition, left out of the report."""

    case: Code
    condition: Code
    practice: bool = False


class StudyPlan(_Written):
    """A whole study.

    seed: of all orders. design: "crossed" (every user segments every image under every condition, in blocks)
    or "split" (every image once, under one condition). users: by code what each does, in order.
    """

    format: Literal["spasegment-study"] = "spasegment-study"
    version: Literal[1] = 1
    title: str = Field(default="", max_length=200)
    seed: int = Field(default=0, ge=0)
    design: Design = "crossed"
    conditions: tuple[Code, ...] = Field(min_length=1)
    cases: tuple[StudyCase, ...] = Field(min_length=1)
    users: dict[UserCode, tuple[Assignment, ...]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known = [case.id for case in self.cases]
        if len(set(known)) < len(known) or len(set(self.conditions)) < len(self.conditions):
            raise ValueError("a case or a condition stands twice in it")
        for order in self.users.values():
            for one in order:
                if one.case not in known or one.condition not in self.conditions:
                    raise ValueError(f"{one.case} under {one.condition} is asked for and not described")
        return self

    @property
    def digest(self) -> str:
        """The same for equal plans."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def case(self, case_id: str) -> StudyCase:
        """The case of that id."""
        return next(case for case in self.cases if case.id == case_id)

    def order_of(self, user: str) -> tuple[Assignment, ...]:
        """What a user does. Raises InputError for a user the plan does not have."""
        if user not in self.users:
            raise InputError(f"The plan has no user {user}; choose among {', '.join(self.users)}.")
        return self.users[user]


def balanced_sequences(count: int) -> list[tuple[int, ...]]:
    """Williams' design: orders of 0..count-1 in which each stands equally often at every place, and follows
    every other equally often. `count` of them where that is even, else twice as many.
    """
    first = [0]
    for step in range(1, count):
        first.append((first[-1] + (step if step % 2 else -step)) % count)
    rows = [tuple((value + shift) % count for value in first) for shift in range(count)]
    return rows if count % 2 == 0 or count == 1 else rows + [row[::-1] for row in rows]


def make_plan(
    cases: Sequence[StudyCase],
    conditions: Sequence[str],
    users: int,
    *,
    seed: int = 0,
    design: Design = "crossed",
    practice: int = 0,
    title: str = "",
) -> StudyPlan:
    """Give every user an order: conditions in blocks by Williams' design, images within a block at random.

    users: how many; they are called U01, U02, ... practice: so many of the first cases are for practice at
    the beginning of every block, and for nothing else. In a split design images go round the conditions from
    user to user. The same arguments give the same plan. Raises InputError where too few cases are left.
    """
    rows = balanced_sequences(len(conditions))
    trained, kept = cases[:practice], [case.id for case in cases[practice:]]
    if len(kept) < (len(conditions) if design == "split" else 1):
        raise InputError("There are too few images for this plan; give more of them, or less practice.")
    random.Random(f"{seed}/cases").shuffle(kept)
    orders = {}
    for number in range(users):
        order: list[Assignment] = []
        shift = number + number // len(rows)
        for which in rows[number % len(rows)]:
            condition = conditions[which]
            order += [Assignment(case=case.id, condition=condition, practice=True) for case in trained]
            block = list(kept)
            if design == "split":
                block = kept[(which + shift) % len(conditions) :: len(conditions)]
            random.Random(f"{seed}/{number}/{condition}").shuffle(block)
            order += [Assignment(case=case, condition=condition) for case in block]
        orders[f"U{number + 1:02d}"] = tuple(order)
    return StudyPlan(
        title=title,
        seed=seed,
        design=design,
        conditions=tuple(conditions),
        cases=tuple(cases),
        users=orders,
    )


def write_plan(path: Path, plan: StudyPlan) -> None:
    """Write it whole. Raises InputError where it cannot be."""
    with atomic_file(path) as file:
        file.write((plan.model_dump_json(indent=1) + "\n").encode())


def read_plan(path: Path) -> StudyPlan:
    """Raises InputError for what is no plan."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(
                f"{path} is too large for a plan; choose the file `spasegment study plan` wrote."
            )
        return StudyPlan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"The plan {path} cannot be read; check the path.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path} is no plan of a study, see {place}: {first['msg']}.") from error


def located(plan_path: Path, file: str) -> Path:
    """Where a file of a plan lies."""
    return plan_path.resolve().parent / file


def relative_to_plan(plan_path: Path, file: Path) -> str:
    """How a plan names a file: so that folder and plan can move together, where they are on one drive."""
    try:
        return Path(os.path.relpath(file.resolve(), plan_path.resolve().parent)).as_posix()
    except ValueError:  # another drive
        return str(file.resolve())


_COLUMNS = ("file", "id", "r", "a", "s", "structure", "reference", "group")


def read_cases(table: Path, plan_path: Path) -> list[StudyCase]:
    """Cases of a CSV file with a header: file, and any of id, r, a, s, structure, reference, group.

    Files are relative to the table. Raises InputError for a table or a file that is not there.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The list of cases {table} cannot be read; save it as CSV in UTF-8.") from error
    unknown = sorted({str(name) for row in rows for name in row} - set(_COLUMNS))
    if not rows or unknown or any(not row.get("file") for row in rows):
        raise InputError(
            f"{table} is no list of cases: it needs a line of names and a `file` in each line; it may have "
            f"{', '.join(_COLUMNS[1:])}."
        )
    return [_case(row, number, table, plan_path) for number, row in enumerate(rows, 1)]


def _case(row: dict[str, str], number: int, table: Path, plan_path: Path) -> StudyCase:
    try:
        at = tuple(float(row[axis]) for axis in "ras") if row.get("r") else None
        return StudyCase(
            id=row.get("id") or f"C{number:02d}",
            file=_existing(row["file"], table, plan_path),
            seed_ras=at,  # type: ignore[arg-type]
            structure=row.get("structure") or "",
            reference=_existing(row["reference"], table, plan_path) if row.get("reference") else None,
            group=row.get("group") or "",
        )
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"Line {number + 1} of {table} is no case; check its id and its numbers.") from error


def _existing(name: str, table: Path, plan_path: Path) -> str:
    path = table.resolve().parent / name
    if not path.exists():
        raise InputError(f"{table} names {name}, which is not there; give paths relative to the table.")
    return relative_to_plan(plan_path, path)
