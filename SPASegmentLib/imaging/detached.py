"""Text headers of NRRD and MetaImage, and the files beside them that hold their voxels.

A header can name any file of the computer. Lines are cut here exactly as the decoders cut them, so that
none sees a name that was not checked.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import BinaryIO

from SPASegmentLib.errors import InputError

logger = logging.getLogger(__name__)

_LARGEST_HEADER = 2**20
_MOST_FILES = 10_000
_PATTERN = re.compile(r"[^%]*%0?\d{0,2}d[^%]*")
_CONTROL = re.compile(r"[\0-\x08\x0a-\x1f]")


def nrrd_fields(file: BinaryIO) -> tuple[dict[str, str], list[str]]:
    """Fields of an NRRD header by lower-case name, and the data files listed behind them.

    The file stands behind the header then. Raises ValueError where decoders could read the header otherwise.
    """
    fields: dict[str, str] = {}
    listed: list[str] = []
    _line(file)
    while line := _line(file):
        if fields.get("data file", "").startswith("LIST"):
            listed.append(line)
        elif not line.startswith("#") and ": " in line:
            name, value = line.split(": ", 1)
            name = {"datafile": "data file"}.get(name.lower(), name.lower())
            if name in fields:
                raise ValueError("a field twice")
            fields[name] = value.strip()
    return fields, listed


def meta_fields(file: BinaryIO) -> tuple[dict[str, str], list[str]]:
    """Fields of a MetaImage header, the last one ElementDataFile, and the data files listed behind it.

    The file stands behind the header then. Raises ValueError where decoders could read the header otherwise.
    """
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields:
        name, _, value = re.split("([=:])", _line(file), maxsplit=1)
        fields[name.strip()] = value.strip()
    listed = []
    if fields["ElementDataFile"].startswith("LIST"):
        while line := _line(file):
            listed.append(line)
    return fields, listed


def _line(file: BinaryIO) -> str:
    """The next line; empty at the end of the file."""
    raw = file.readline(2**16)
    if file.tell() > _LARGEST_HEADER or len(raw) == 2**16:
        raise ValueError("no end of the header")
    line = raw.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    if _CONTROL.search(line):
        raise ValueError("control characters in the header")
    return line


def data_files(path: Path, stated: str, listed: list[str], *, elsewhere: bool) -> list[Path]:
    """The files a detached header names: one, those listed, or those of a pattern with first, last and step.

    elsewhere: whether they may lie outside the header's folder, links followed; each that does is logged.
    Raises InputError for a file that may not be read or is not there, ValueError for a damaged list.
    """
    is_pattern = "%" in stated and not (len(stated.split()) < 3 and (path.parent / stated).is_file())
    names = listed if stated.startswith("LIST") else _expanded(stated) if is_pattern else [stated]
    if not names or len(names) > _MOST_FILES:
        raise ValueError("number of data files")
    found = []
    own = path.parent.resolve()
    for name in names:
        shown = name.encode(errors="replace").decode()
        file = path.parent / name.strip()
        if name.strip().startswith("~") or not file.resolve().is_relative_to(own):
            if not elsewhere:
                raise InputError(
                    f"{path} names the data file {shown}, which lies outside its own folder and is not read; "
                    "put both into one folder and name the data file alone."
                )
            logger.warning("%s takes its voxels from %s, outside its own folder.", path, file.resolve())
        if not file.is_file():
            raise InputError(
                f"{path} names the data file {shown}, which is not there; copy it beside the header."
            )
        found.append(file)
    return found


def _expanded(stated: str) -> list[str]:
    """The names of a pattern such as `slice%03d.raw 1 20 1`."""
    pattern, *numbers = stated.split()
    if not _PATTERN.fullmatch(pattern) or len(numbers) < 2:
        raise ValueError("pattern of data files")
    first, last, step = (*map(int, numbers[:3]), 1)[:3]
    if step < 1 or (last - first) // step > _MOST_FILES:
        raise ValueError("pattern of data files")
    return [pattern % number for number in range(first, last + 1, step)]
