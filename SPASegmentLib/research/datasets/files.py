"""Members of zips and folders, read in place: nothing is ever extracted to disk."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from SPASegmentLib.errors import DatasetError

MAX_MEMBER_BYTES = 2 << 30
"""Larger members are not read at once, so that a damaged or hostile zip cannot fill the memory."""


@dataclass(frozen=True, order=True)
class Member:
    """One file of a source.

    name: the source's own name and the path inside it, with forward slashes, so that a layout is recognised
    whichever of its folders was given. inner: the path inside. source: which one.
    """

    name: str
    inner: str
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
        _check_size(path.stat().st_size)
        return path.read_bytes()

    def open(self, name: str) -> IO[bytes]:
        return (self.root / name).open("rb")


class _File:
    """A data set that is one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> Iterator[str]:
        yield self.path.name

    def read(self, name: str) -> bytes:
        _check_size(self.path.stat().st_size)
        return self.path.read_bytes()

    def open(self, name: str) -> IO[bytes]:
        return self.path.open("rb")


class _Zip:
    """A zip, opened once per process: a forked worker must not share the parent's file position."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        self._pid = -1

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_archive": None, "_pid": -1}

    def _archive_here(self) -> zipfile.ZipFile:
        if self._archive is None or self._pid != os.getpid():
            self._archive = zipfile.ZipFile(self.path)
            self._pid = os.getpid()
        return self._archive

    def names(self) -> Iterator[str]:
        for info in self._archive_here().infolist():
            if not info.is_dir():
                yield info.filename

    def read(self, name: str) -> bytes:
        archive = self._archive_here()
        info = archive.getinfo(name)
        _check_size(info.file_size)
        return archive.read(info)

    def open(self, name: str) -> IO[bytes]:
        return self._archive_here().open(name)


def _check_size(size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise OSError("it is larger than 2 GiB")


def _source(path: Path, single: tuple[str, ...]) -> _Folder | _Zip | _File:
    if path.is_dir():
        return _Folder(path)
    if path.is_file() and path.name.lower().endswith(single):
        return _File(path)
    if not path.is_file():
        raise DatasetError(f"The data set path '{path.name}' does not exist; give a zip file or a folder.")
    if not zipfile.is_zipfile(path):
        raise DatasetError(
            f"'{path.name}' is not a zip file; give the data set's zip or its unpacked folder."
        )
    return _Zip(path)


class Files:
    """All files of several zips and folders given together, sorted by name."""

    def __init__(self, paths: Iterable[Path | str], single: tuple[str, ...] = ()) -> None:
        """single: endings of files that are a data set by themselves.

        Raises DatasetError where a path is missing or is neither a zip nor a folder.
        """
        self.paths = tuple(Path(path) for path in paths)
        if not self.paths:
            raise DatasetError("No data set path was given; give at least one zip file or folder.")
        self._sources = [_source(path, single) for path in self.paths]
        self.members = sorted(self._list())

    def _list(self) -> Iterator[Member]:
        for index, source in enumerate(self._sources):
            prefix = self.paths[index].resolve().name.removesuffix(".zip")
            try:
                for inner in source.names():
                    if not _is_litter(inner):
                        yield Member(f"{prefix}/{inner}", inner, index)
            except (OSError, zipfile.BadZipFile) as error:
                where = self.paths[index].name
                raise DatasetError(
                    f"'{where}' could not be listed; it may be damaged, fetch it again."
                ) from error

    def read(self, member: Member, case_id: str) -> bytes:
        """The content of one file. Raises DatasetError naming `case_id` where it cannot be read."""
        with _naming(member, case_id):
            return self._sources[member.source].read(member.inner)

    @contextmanager
    def open(self, member: Member, case_id: str) -> Iterator[IO[bytes]]:
        """The file as a stream, for contents too large to hold. Raises DatasetError as `read` does."""
        with _naming(member, case_id), self._sources[member.source].open(member.inner) as stream:
            yield stream

    def path_of(self, member: Member) -> Path | None:
        """Where the file itself lies, or None inside a zip."""
        source = self._sources[member.source]
        if isinstance(source, _Folder):
            return source.root / member.inner
        return source.path if isinstance(source, _File) else None


@contextmanager
def _naming(member: Member, case_id: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DatasetError(
            f"Case {case_id}: the file '{member.leaf}' could not be read ({reason})."
        ) from error


def _is_litter(name: str) -> bool:
    """Whether an archiver or file browser left this file behind."""
    parts = name.split("/")
    return "__MACOSX" in parts or any(part.startswith(".") and part not in (".", "..") for part in parts)
