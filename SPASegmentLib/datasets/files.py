"""Members of zips and folders, read in place: nothing is ever extracted to disk."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from SPASegmentLib.errors import DatasetError

MAX_MEMBER_BYTES = 4 << 30
"""Larger members are refused, so that a damaged or hostile zip cannot fill the memory."""


@dataclass(frozen=True, order=True)
class Member:
    """One file of a source. name: its path inside the source with forward slashes."""

    name: str
    source: int

    @property
    def leaf(self) -> str:
        """The last part of the name."""
        return self.name.rsplit("/", 1)[-1]


class _Folder:
    """An unpacked data set."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> Iterator[str]:
        for folder, subfolders, files in os.walk(self.root):
            subfolders.sort()
            for name in files:
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def read(self, name: str) -> bytes:
        path = self.root / name
        if path.stat().st_size > MAX_MEMBER_BYTES:
            raise OSError("larger than 4 GiB")
        return path.read_bytes()


class _Zip:
    """A zip, opened once per process: a forked worker must not share the parent's file position."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        self._pid = -1

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_archive": None, "_pid": -1}

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None or self._pid != os.getpid():
            self._archive = zipfile.ZipFile(self.path)
            self._pid = os.getpid()
        return self._archive

    def names(self) -> Iterator[str]:
        for info in self._open().infolist():
            if not info.is_dir():
                yield info.filename.replace("\\", "/")

    def read(self, name: str) -> bytes:
        archive = self._open()
        info = archive.getinfo(name)
        if info.file_size > MAX_MEMBER_BYTES:
            raise OSError("larger than 4 GiB")
        return archive.read(info)


def _source(path: Path) -> _Folder | _Zip:
    if path.is_dir():
        return _Folder(path)
    if not path.is_file():
        raise DatasetError(f"The data set path '{path.name}' does not exist; give a zip file or a folder.")
    if not zipfile.is_zipfile(path):
        raise DatasetError(
            f"'{path.name}' is not a zip file; give the data set's zip or its unpacked folder."
        )
    return _Zip(path)


class Files:
    """All files of several zips and folders given together, sorted by name."""

    def __init__(self, paths: Iterable[Path | str]) -> None:
        """Raises DatasetError where a path is missing or is neither a zip nor a folder."""
        self.paths = tuple(Path(path) for path in paths)
        if not self.paths:
            raise DatasetError("No data set path was given; give at least one zip file or folder.")
        self._sources = [_source(path) for path in self.paths]
        self.members = sorted(self._list())

    def _list(self) -> Iterator[Member]:
        for index, source in enumerate(self._sources):
            try:
                for name in source.names():
                    if not _is_litter(name):
                        yield Member(name, index)
            except (OSError, zipfile.BadZipFile) as error:
                where = self.paths[index].name
                raise DatasetError(
                    f"'{where}' could not be listed; it may be damaged, fetch it again."
                ) from error

    def read(self, member: Member, case_id: str) -> bytes:
        """The content of one file. Raises DatasetError naming `case_id` where it cannot be read."""
        try:
            return self._sources[member.source].read(member.name)
        except (
            OSError,
            RuntimeError,
            KeyError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DatasetError(
                f"Case {case_id}: the file '{member.leaf}' could not be read ({error})."
            ) from error


def _is_litter(name: str) -> bool:
    """Whether an archiver or file browser left this file behind."""
    return name.startswith("__MACOSX/") or any(part.startswith(".") for part in name.split("/"))
