"""The table of `spasegment segment --seeds`: one object of the volume in each row."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from SPASegmentLib.cli.dialogue import parse_picks
from SPASegmentLib.cli.shared import Orientation, Triple
from SPASegmentLib.errors import InputError

NAME, ORIENTATION, PICKS, WHOLE_OBJECT = "name", "orientation", "picks", "whole_object"
IJK, RAS = ("i", "j", "k"), ("r", "a", "s")
YES, NO = ("yes", "y", "true", "1"), ("no", "n", "false", "0")


@dataclass(frozen=True)
class SeedRow:
    """One object. line: of the file, from 1. at: the seed in IJK voxels, or in RAS mm where in_ras."""

    line: int
    name: str
    at: Triple
    in_ras: bool
    orientation: str
    picks: tuple[str, ...]
    whole_object: bool


def read_seeds(path: Path, orientation: str, picks: tuple[str, ...], whole_object: bool) -> list[SeedRow]:
    """The rows of a table in CSV, with commas, semicolons or tabs between the columns.

    Columns: name; i, j, k or r, a, s; and, if wanted, orientation, picks ("2,1" or "2 1") and whole_object
    (yes or no), which stand for the arguments of the same name where a cell is empty.
    Raises InputError with the line for what cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table; give a CSV file in UTF-8.") from error
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count), skipinitialspace=True)
    columns = [column.strip().lower() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    in_ras = _in_ras(path, columns)
    rows: list[SeedRow] = []
    try:
        for cells in reader:
            given = {column: (cells[column] or "").strip() for column in columns}
            if not any(given.values()):
                continue
            line = reader.line_num
            try:
                if cells.get(None) or None in cells.values():
                    raise InputError(f"this row has not as many cells as the header, {len(columns)}.")
                row = _row(line, given, in_ras, orientation, picks, whole_object)
                first = next((one.line for one in rows if one.name == row.name), None)
                if first is not None:
                    raise InputError(f'"{row.name}" stands in line {first} already; give it another name.')
            except InputError as error:
                raise InputError(f"{path.name}, line {line}: {error}") from error
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num}: this is no row of a CSV table.") from error
    if not rows:
        raise InputError(f"{path} has no rows; write one object in each line below the header.")
    return rows


def _in_ras(path: Path, columns: list[str]) -> bool:
    """Whether coordinates are in RAS mm. Raises InputError for columns that say nothing or are unknown."""
    known = (NAME, *IJK, *RAS, ORIENTATION, PICKS, WHOLE_OBJECT)
    for column in columns:
        if column not in known:
            raise InputError(f'{path.name}, line 1: there is no column "{column}"; use {", ".join(known)}.')
        if columns.count(column) > 1:
            raise InputError(f'{path.name}, line 1: the column "{column}" is there twice.')
    given = [letters for letters in (IJK, RAS) if any(letter in columns for letter in letters)]
    if NAME not in columns or len(given) != 1 or not set(given[0]) <= set(columns):
        raise InputError(
            f"{path.name}, line 1: the header needs name and either i, j, k (voxels) or r, a, s (mm)."
        )
    return given[0] == RAS


def _row(
    line: int,
    cells: dict[str, str],
    in_ras: bool,
    orientation: str,
    picks: tuple[str, ...],
    whole_object: bool,
) -> SeedRow:
    """Raises InputError for a cell that cannot be."""
    if not cells[NAME]:
        raise InputError("the name is missing.")
    first, second, third = (_number(letter, cells[letter]) for letter in (RAS if in_ras else IJK))
    turned = cells.get(ORIENTATION, "").lower() or orientation
    if turned not in [one.value for one in Orientation]:
        raise InputError(f'"{turned}" is no orientation; use axial, sagittal or coronal.')
    if cells.get(PICKS):
        words = cells[PICKS].replace(",", " ").replace(";", " ").split()
        picks = tuple(parse_picks(",".join(words), what="the column picks"))
    whole = cells.get(WHOLE_OBJECT, "").lower()
    if whole and whole not in (*YES, *NO):
        raise InputError(f'"{whole}" in the column {WHOLE_OBJECT} is neither yes nor no.')
    return SeedRow(
        line,
        cells[NAME],
        (first, second, third),
        in_ras,
        turned,
        picks,
        whole in YES if whole else whole_object,
    )


def _number(column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f'"{text}" in the column {column} is no number.') from None
