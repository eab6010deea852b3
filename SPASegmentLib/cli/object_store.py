"""What a batch has segmented so far, kept beside its result until that is written."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.imaging.types import Volume

SUFFIX = ".unfinished"
"""Of the folder beside the result."""


@dataclass(frozen=True, eq=False)
class DoneObject:
    """A segmented object.

    start: (k, j, i) of its box in the volume. mask: (k, j, i) bool in it. record: in numbers.
    """

    start: tuple[int, ...]
    mask: np.ndarray
    record: dict[str, Any]

    @classmethod
    def of(cls, mask: np.ndarray, record: dict[str, Any]) -> DoneObject:
        """mask: (K, J, I) bool on the volume's voxels."""
        hit = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        start = tuple(int(one[0]) if len(one) else 0 for one in hit)
        stop = tuple(int(one[-1]) + 1 if len(one) else 0 for one in hit)
        box = tuple(slice(first, last) for first, last in zip(start, stop, strict=True))
        return cls(start, mask[box].copy(), record)

    @property
    def box(self) -> tuple[slice, ...]:
        """Where it lies in the volume."""
        return tuple(slice(at, at + n) for at, n in zip(self.start, self.mask.shape, strict=True))


class ObjectStore:
    """A folder of segmented objects by what they were computed from; each file is whole or not there.

    An object is found again only where everything it depends on is the same.
    """

    def __init__(self, result: Path, basis: Mapping[str, Any]) -> None:
        """result: the file the objects are for. basis: what all of them depend on, as JSON values."""
        self.folder = result.with_name(result.name + SUFFIX)
        self._basis = dict(basis)

    def read(self, about: Mapping[str, Any]) -> DoneObject | None:
        """The object of that, or None where it is not there or damaged. about: what it depends on, too."""
        try:
            with np.load(self._path(about), allow_pickle=False) as held:
                shape = tuple(int(n) for n in held["shape"])
                bits = np.unpackbits(held["bits"], count=int(np.prod(shape))).astype(bool)
                record: dict[str, Any] = json.loads(held["record"].tobytes())
                return DoneObject(tuple(int(n) for n in held["start"]), bits.reshape(shape), record)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def write(self, about: Mapping[str, Any], done: DoneObject) -> None:
        """Keep an object. Raises InputError where it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be made; choose another place for the result.") from error
        with atomic_file(self._path(about)) as file:
            np.savez_compressed(
                file,
                start=np.array(done.start),
                shape=np.array(done.mask.shape),
                bits=np.packbits(done.mask),
                record=np.frombuffer(json.dumps(done.record, allow_nan=False).encode(), np.uint8),
            )

    def remove(self) -> None:
        """Forget all objects."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, about: Mapping[str, Any]) -> Path:
        text = json.dumps({**self._basis, **about}, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"


def volume_digest(volume: Volume) -> str:
    """The same for the same voxels in the same place."""
    found = hashlib.sha256(f"{volume.array.shape} {volume.array.dtype.str}".encode())
    found.update(np.ascontiguousarray(volume.ijk_to_ras, dtype=np.float64).tobytes())
    for plane in volume.array:
        found.update(np.ascontiguousarray(plane).data)
    return found.hexdigest()
