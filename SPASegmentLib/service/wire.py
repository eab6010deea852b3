"""Bodies of the protocol: a JSON record and its arrays, as safetensors in one zstd frame. Nothing can run.

Dataclasses are written field by field, whatever fields they have; they are read by records that name every
field, so a field that one side does not know is refused, never dropped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
import safetensors.numpy
import zstandard
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from SPASegmentLib.errors import SPASegmentError

PROTOCOL = 1
"""Version of the protocol: of the paths and of every body."""
MEGABYTE = 2**20
LARGEST_BODY = 256 * MEGABYTE
"""Bytes a body may have once it is decompressed, unless a server says otherwise."""
LARGEST_RECORD = 4 * MEGABYTE
MEDIA_TYPE = "application/vnd.spasegment"
_LEVEL = 1
_ENTRY = "spasegment"
_WORTH_CROPPING = 4096
"""Elements from which on zeros around a map are left out: a mask or a probability map is mostly zeros."""
_FRAME = b"\x28\xb5\x2f\xfd"
_DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")


class WireError(SPASegmentError):
    """A body that is not what the protocol says; its text says what is wrong."""


class WireRecord(BaseModel):
    """A record read from a body: every field known, every type exact."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Length = Annotated[int, Field(ge=0, le=2**20)]


class ArrayRecord(WireRecord):
    """Where an array of a record stands.

    bits: its shape where it is Boolean and packed to bits, else None. box: (row, col, H, W) where it is the
    part from there on of an (H, W) array that is zero elsewhere, else None. Where it is both, bits is the
    part's shape.
    """

    at: int = Field(ge=0, le=100_000)
    bits: Annotated[tuple[Length, ...], Field(max_length=3)] | None = None
    box: tuple[Length, Length, Length, Length] | None = None


Record = TypeVar("Record", bound=WireRecord)


class Arrays:
    """The arrays of a body; each is taken once, checked."""

    def __init__(self, held: dict[str, np.ndarray], most: int = LARGEST_BODY) -> None:
        """most: bytes that packed arrays may have altogether, once they are unpacked."""
        self._held, self._left = held, most

    def rank(self, place: ArrayRecord) -> int:
        """Axes of the array at a place; 0 where there is none."""
        array = self._held.get(str(place.at))
        return 0 if array is None else array.ndim

    def take(
        self, place: ArrayRecord, what: str, dtypes: Sequence[str], shape: Sequence[int | None]
    ) -> np.ndarray:
        """The array at a place, read-only. Raises WireError unless it has one of the dtypes and the shape.

        shape: None for an axis of any length.
        """
        array = self._held.pop(str(place.at), None)
        if array is None:
            raise WireError(f"The body lacks the array {what}.")
        if place.bits is not None:
            self._spend(math.prod(place.bits))
            array = _unpacked(array, place.bits, what)
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise WireError(f"The array {what} has values that are no numbers.")
        if place.box is not None:
            if tuple(shape) != place.box[2:]:
                raise WireError(f"The array {what} is a part of another shape than {tuple(shape)}.")
            self._spend(math.prod(place.box[2:]) * array.itemsize)
            array = _placed(array, place.box, what)
        if array.dtype.name not in dtypes:
            raise WireError(f"The array {what} holds {array.dtype.name} where {' or '.join(dtypes)} belongs.")
        fits = len(array.shape) == len(shape) and all(
            wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
        )
        if not fits:
            asked = tuple("any" if length is None else length for length in shape)
            raise WireError(f"The array {what} has the shape {array.shape} where {asked} belongs.")
        array.flags.writeable = False
        return array

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise WireError("The body's packed arrays are more than what is taken.")

    def check_used(self) -> None:
        """Raise WireError where an array is left that no record names."""
        if self._held:
            raise WireError("The body has arrays that nothing in it names.")


def pack(kind: str, value: Any, *, crop: bool = True) -> bytes:
    """A dataclass (or record of plain values and arrays) as safetensors bytes.

    crop: leave out the zeros around maps, which only a reader that knows their shape can take.
    Raises TypeError or ValueError for what the protocol has no form for.
    """
    arrays: list[np.ndarray] = []
    record = json.dumps(_plain(value, arrays, crop), separators=(",", ":"), ensure_ascii=False)
    named = {str(at): np.ascontiguousarray(array) for at, array in enumerate(arrays)}
    # One entry only: safetensors writes several in any order, and equal values are to give equal bytes.
    return safetensors.numpy.save(named, metadata={_ENTRY: f"{PROTOCOL} {kind}\n{record}"})


def unpack(kind: str, data: bytes, record_type: type[Record]) -> tuple[Record, Arrays]:
    """The record and the arrays of what `pack` made.

    Raises WireError for anything else, and for another version of the protocol.
    """
    head, line_end, text = _metadata(data).partition("\n")
    version, _, found = head.partition(" ")
    if not line_end or not version.isdecimal() or len(text) > LARGEST_RECORD:
        raise WireError("The body is no body of this protocol.")
    if version != str(PROTOCOL):
        raise WireError(
            f"The body is of protocol {version[:5]} and this side speaks {PROTOCOL}; bring SPASegment to the"
            " same version on both."
        )
    if found != kind:
        raise WireError(f"The body is no {kind}.")
    try:
        record = record_type.model_validate_json(text)
    except ValidationError as error:
        raise WireError(f"The {kind} is wrong at {_where(error)}.") from None
    try:
        arrays = safetensors.numpy.load(data)
    except Exception:  # whatever a hostile header makes of the reader
        raise WireError("The arrays of the body cannot be read.") from None
    if any(array.dtype.name not in _DTYPES for array in arrays.values()):
        raise WireError("The body has an array of a type that the protocol does not know.")
    return record, Arrays(arrays)


def compress(data: bytes) -> bytes:
    """One zstd frame that states its length."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(data)


def decompress(data: bytes, limit: int = LARGEST_BODY) -> bytes:
    """What one zstd frame holds. Raises WireError for anything but one whole frame of at most `limit` bytes.

    The length is read from the frame's header before anything is decompressed.
    """
    try:
        size = zstandard.get_frame_parameters(data).content_size if data[:4] == _FRAME else -1
    except zstandard.ZstdError:
        size = -1
    if not 0 <= size < zstandard.CONTENTSIZE_UNKNOWN:
        raise WireError("The body is no zstd frame that states its length.")
    if size > limit:
        raise WireError(f"The body holds {size} bytes; {limit} are the most that are taken.")
    try:
        whole = _decompressor().decompress(data, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError):
        raise WireError("The body is damaged: its zstd frame cannot be read.") from None
    if len(whole) != size:
        raise WireError("The body is damaged: it is not as long as it says.")
    return whole


def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(max_window_size=2**27)


def _plain(value: Any, arrays: list[np.ndarray], crop: bool) -> Any:
    """A value as JSON takes it; arrays go into the list."""
    if isinstance(value, np.ndarray):
        return _stored(value, arrays, crop)
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name), arrays, crop) for field in fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(entry, arrays, crop) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, arrays, crop) for entry in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"the protocol has no form for {type(value).__name__}")


def _stored(array: np.ndarray, arrays: list[np.ndarray], crop: bool) -> dict[str, Any]:
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"the protocol has no form for arrays of {array.dtype}")
    place: dict[str, Any] = {"at": len(arrays)}
    is_map = array.ndim == 2 and array.dtype in (np.dtype(bool), np.dtype(np.float32))
    if crop and is_map and array.size >= _WORTH_CROPPING:
        rows, cols = _filled(array)
        place["box"] = [rows.start, cols.start, *array.shape]
        array = array[rows, cols]
    if array.dtype == bool:
        place["bits"] = list(array.shape)
        array = np.packbits(array)
    arrays.append(array)
    return place


def _filled(array: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns between which not all bits are zero."""
    is_set: np.ndarray = array if array.dtype == bool else np.ascontiguousarray(array).view(np.uint32) != 0
    rows = _ends(np.any(is_set, axis=1))
    return rows, _ends(np.any(is_set[rows], axis=0))


def _ends(is_set: np.ndarray) -> slice:
    """From the first to the last that is set."""
    at = np.flatnonzero(is_set)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)


def _placed(part: np.ndarray, box: tuple[int, int, int, int], what: str) -> np.ndarray:
    row, col, height, width = box
    if part.ndim != 2 or row + part.shape[0] > height or col + part.shape[1] > width:
        raise WireError(f"The array {what} is a part that does not fit its whole.")
    whole = np.zeros((height, width), part.dtype)
    whole[row : row + part.shape[0], col : col + part.shape[1]] = part
    return whole


def _unpacked(array: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    count = math.prod(shape)
    fits = array.dtype == np.uint8 and array.ndim == 1 and len(shape) > 0
    if not fits or count > 8 * array.size or len(array) != (count + 7) // 8:
        raise WireError(f"The mask {what} has not the length that it states.")
    return np.unpackbits(array, count=count).view(bool).reshape(shape)


def _metadata(data: bytes) -> str:
    """The text that safetensors bytes carry. Raises WireError where there is none."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, 2 * LARGEST_RECORD):
        raise WireError("The body is cut short, or no body of this protocol.")
    try:
        text = json.loads(data[8 : 8 + length])["__metadata__"][_ENTRY]
    except (ValueError, TypeError, KeyError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise WireError("The body is no body of this protocol.")
    return text


def _where(error: ValidationError) -> str:
    """The first thing that is wrong, without the value that was given."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"][:8]) or "its beginning"
    return f"{place}: {first['msg'][:200]}"
