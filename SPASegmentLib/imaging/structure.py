"""Walks through TIFF and DICOM files before a decoder sees them.

The decoders follow loops for ever and allocate whatever length a damaged field states; both end here.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_LONG_TYPES = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_TYPES = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_SYNTAX, _SAMPLES, _FRAMES = (0x0002, 0x0010), (0x0028, 0x0002), (0x0028, 0x0008)
_ROWS, _COLUMNS, _BITS = (0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0100)
_KEPT = (_SYNTAX, _SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS)
_PIXELS = (0x7FE0, 0x0010)
_DEPTHS = 258
"""The TIFF tag of bits per sample."""
_DEEPEST = 32
_SLACK = 8
"""Bytes a length may run beyond the file: some writers count padding they do not write."""


@dataclass(frozen=True)
class TiffPage:
    """A page of a TIFF. bits: of one sample. is_grey: whether its pixels are single shades."""

    columns: int
    rows: int
    samples: int
    bits: int
    is_tiled: bool
    is_grey: bool

    @property
    def bytes(self) -> int:
        """Bytes of the page once decoded; samples of several depths count as 16 bits."""
        bits = self.bits if self.samples == 1 else 16
        return self.columns * self.rows * self.samples * math.ceil(max(1, min(bits, 64)) / 8)


def tiff_pages(path: Path) -> list[TiffPage]:
    """The pages of a TIFF. Raises ValueError or struct.error for a broken structure."""
    size, seen, pages = path.stat().st_size, set(), []
    with path.open("rb") as file:
        order = "<" if file.read(2) == b"II" else ">"
        big = struct.unpack(order + "H", file.read(2))[0] == 43
        file.seek(8 if big else 4)
        entry = (order + "HHQQ", 20, order + "Q") if big else (order + "HHII", 12, order + "I")
        at = struct.unpack(entry[2], file.read(struct.calcsize(entry[2])))[0]
        while at:
            if at in seen or at >= size:
                raise ValueError("pages in a loop or off the file")
            seen.add(at)
            file.seek(at)
            count = struct.unpack(*((order + "Q", file.read(8)) if big else (order + "H", file.read(2))))[0]
            if count * entry[1] > size:
                raise ValueError("more fields than the file holds")
            fields = [struct.unpack(entry[0], file.read(entry[1])) for _ in range(count)]
            at = struct.unpack(entry[2], file.read(struct.calcsize(entry[2])))[0]
            tags = {tag: _short(order, kind, value, big) for tag, kind, _, value in fields}
            several = [(count, value) for tag, _, count, value in fields if tag == _DEPTHS]
            if several and several[0][0] > (4 if big else 2):  # they stand elsewhere in the file
                file.seek(several[0][1])
                tags[_DEPTHS] = struct.unpack(order + "H", file.read(2))[0]
            pages.append(_page(tags))
    return pages


def _short(order: str, kind: int, value: int, big: bool) -> int:
    """A field's first value; 16-bit ones stand left in their place."""
    if kind == 3 and order == ">":
        return value >> (48 if big else 16)
    return value & 0xFFFF if kind == 3 else value


def _page(tags: dict[int, int]) -> TiffPage:
    samples, shade = tags.get(277, 1), tags.get(262, 1)
    return TiffPage(
        tags[256], tags[257], samples, tags.get(_DEPTHS, 1), 322 in tags, samples == 1 and shade < 2
    )


def dicom_bytes(path: Path, most: int) -> int:
    """Bytes of the pixels a DICOM file states. Raises ValueError where a length runs far beyond the file.

    Lenient where real files are odd (untyped elements among typed ones, any order). Of a deflated one, all
    bytes that come out are counted until there are more than `most`, as decoders inflate the whole file.
    """
    with path.open("rb") as file:
        walk = _DicomWalk(file, path.stat().st_size)
        walk.level(0)
        if walk.is_deflated:
            return _inflated_bytes(file, most)
    number = walk.number
    pixels = number(_ROWS, 0) * number(_COLUMNS, 0) * number(_SAMPLES, 1) * number(_FRAMES, 1)
    return pixels * math.ceil(number(_BITS, 16) / 8)


def _inflated_bytes(file: BinaryIO, most: int) -> int:
    """Bytes of the deflate stream from here on, counted without keeping them."""
    stream, count = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not stream.eof and count <= most:
        packed = stream.unconsumed_tail or file.read(2**16)
        if not packed:
            break
        count += len(stream.decompress(packed, 2**20))
    return count


class _DicomWalk:
    """Visits the elements of a DICOM file in order and keeps the few values that tell its size."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        self.order, self.explicit = "<", True
        self.in_header, self.is_deflated = True, False
        self.values: dict[tuple[int, int], bytes] = {}
        file.seek(132 if file.read(132)[128:] == b"DICM" else 0)

    def number(self, tag: tuple[int, int], default: int) -> int:
        """A kept value as a number."""
        value = self.values.get(tag, b"")
        if tag == _FRAMES:  # kept as text in the file
            text = value.strip(b" \0")
            return int(text) if text.isdigit() else default
        return int(struct.unpack(self.order + "H", value)[0]) if len(value) == 2 else default

    def level(self, depth: int) -> None:
        """Visit one level to its delimiter, to the pixels or to the end of the file."""
        if depth > _DEEPEST:
            raise ValueError("sequences too deep")
        while self.file.tell() + 8 <= self.size:
            start = self.file.tell()
            tag = self._tag()
            if self.in_header and tag[0] != 2:
                self.file.seek(start)
                if not self._enter_data_set():
                    return
            elif tag in (_ITEM_END, _SEQUENCE_END):
                self.file.seek(start + 8)
                return
            else:
                self._visit(tag, depth)
                if tag == _PIXELS and depth == 0:
                    return

    def _tag(self) -> tuple[int, int]:
        group, element = struct.unpack(self.order + "HH", self.file.read(4))
        return group, element

    def _enter_data_set(self) -> bool:
        """Behind the file's own header: take the byte order and kind of elements it states."""
        self.in_header = False
        syntax = self.values.get(_SYNTAX, b"").strip(b" \0")
        start = self.file.read(6)
        self.file.seek(-len(start), 1)
        self.explicit = syntax != b"1.2.840.10008.1.2"
        if not syntax:  # without a header of its own: as its first element is written
            self.explicit = start[4:] in _SHORT_TYPES | _LONG_TYPES
        self.order = ">" if syntax == b"1.2.840.10008.1.2.2" else "<"
        self.is_deflated = syntax == b"1.2.840.10008.1.2.1.99"
        return not self.is_deflated

    def _visit(self, tag: tuple[int, int], depth: int) -> None:
        """Pass one element, through it where its length is not stated."""
        length = self._length(tag)
        if length == _UNDEFINED:
            self.level(depth + 1)
            return
        start = self.file.tell()
        if length > self.size - start + _SLACK:
            raise ValueError("a length beyond the file")
        if depth == 0 and tag in _KEPT:
            self.values[tag] = self.file.read(min(length, 64))
        self.file.seek(start + length)

    def _length(self, tag: tuple[int, int]) -> int:
        """Length of the value that follows; without a valid type, as decoders do, that of an untyped one."""
        rest = self.file.read(4)
        if self.explicit and tag != _ITEM:
            if rest[:2] in _SHORT_TYPES:
                return int(struct.unpack(self.order + "H", rest[2:])[0])
            if rest[:2] in _LONG_TYPES:
                rest = self.file.read(4)
        return int(struct.unpack(self.order + "I", rest)[0])
