"""The DICOM files of a multipart answer, written to a folder as they come, and nothing believed unseen."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from email.message import Message
from pathlib import Path
from typing import IO

import pydicom
import python_multipart
from python_multipart.exceptions import FormParserError

from SPASegmentLib.errors import ServerError
from SPASegmentLib.imaging.dicom_headers import text_of, warnings_off

MOST_BYTES = 8 * 2**30
"""Most bytes of one series."""
MOST_FILES = 20_000
_LONGEST_BOUNDARY = 200
_TAGS = ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # what it warns of is raised, too


def boundary_of(content_type: str) -> str | None:
    """What stands between the parts of a multipart answer; None where it is none, or none that can be."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_boundary()
    can_be = boundary is not None and boundary.isascii() and 0 < len(boundary) <= _LONGEST_BOUNDARY
    return boundary if message.get_content_type() == "multipart/related" and can_be else None


class DicomParts:
    """Receives the body of one answer. Every file is checked to be of the study and series asked for."""

    def __init__(
        self, boundary: str, folder: Path, study: str, series: str, *, who: str, most_bytes: int = MOST_BYTES
    ) -> None:
        """folder: where files go, named by number. who: the server, in sentences about what it sends."""
        self.count = 0
        self._folder, self._asked = folder, (study, series)
        self._who, self._most = who, most_bytes
        self._received, self._seen, self._is_whole = 0, set[str](), False
        self._file: IO[bytes] | None = None
        self._name, self._value, self._kind = b"", b"", b""
        self._parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def receive(self, chunks: Iterable[bytes]) -> None:
        """Write the files of a body. Raises ServerError for what nobody asked for."""
        try:
            for chunk in chunks:
                self._received += len(chunk)
                if self._received > self._most:
                    raise ServerError(
                        f"The series on {self._who} is larger than {self._most / 2**30:.3g} GB; export a "
                        "part of it."
                    )
                self._parser.write(chunk)
        except FormParserError as error:
            raise ServerError(f"The answer of {self._who} cannot be read; ask who runs it.") from error
        finally:
            if self._file is not None:
                self._file.close()
        if not self._is_whole:
            raise ServerError(f"The answer of {self._who} broke off after {self.count} images; try again.")

    def _begin(self) -> None:
        self._kind = b""
        if self.count >= MOST_FILES:
            raise ServerError(f"The series on {self._who} has more than {MOST_FILES} images; export a part.")

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._name.lower() == b"content-type":
            self._kind = self._value
        self._name = self._value = b""

    def _on_headers(self) -> None:
        kind = self._kind.partition(b";")[0].strip().lower()
        if kind not in (b"", b"application/dicom"):
            shown = re.sub(r"[^\w/.+-]", "", kind.decode("latin-1"))[:60]
            raise ServerError(f"{self._who} sent {shown} instead of DICOM files; check the address.")
        self._file = self._path.open("xb")

    @property
    def _path(self) -> Path:
        return self._folder / f"{self.count:05d}.dcm"

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        assert self._file is not None
        self._file.write(memoryview(data)[start:end])

    def _end(self) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None
        try:
            with warnings_off():
                header = pydicom.dcmread(self._path, stop_before_pixels=True, specific_tags=[*_TAGS])
                instance, *found = (text_of(header, tag) for tag in _TAGS)
        except Exception as error:  # pydicom raises many kinds for damaged files
            raise ServerError(f"{self._who} sent a file that is no DICOM; ask who runs it.") from error
        if tuple(found) != self._asked:
            raise ServerError(f"{self._who} sent images of another series than the one asked for.")
        if instance in self._seen:
            raise ServerError(f"{self._who} sent one image twice; ask who runs it.")
        self._seen.add(instance)
        self.count += 1

    def _finish(self) -> None:
        self._is_whole = True
