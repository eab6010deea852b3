"""Approved objects that a user chose to keep: crops with masks in a folder, to adapt a model with.

A file holds the pixels around one object, as the model saw them, and its mask; nothing says whose they are,
where they came from or when. Nothing is kept unless a folder is named.
"""

from __future__ import annotations

import json
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from scipy import ndimage

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.session import Done, Session

FORMAT, VERSION = "spasegment-approved", "1"
SUFFIX = ".safetensors"
REACH = 2.0
"""What is kept of the slice on each side of the object's middle, over its longer side."""
LEAST = 48
"""Pixels kept on each side at least, where the slice has them."""
LARGEST_FILE = 2**28
"""Bytes; a file that states more is not read."""


@dataclass(frozen=True, eq=False)
class ApprovedObject:
    """One kept object. image: the crop. mask: (H, W) bool on it. click: (row, col) in the mask.

    group: objects that were approved in one sitting on one volume share it; a random word.
    """

    image: SliceImage
    mask: np.ndarray
    click: tuple[int, int]
    group: str


def new_group() -> str:
    """A word for the objects of one volume in one sitting."""
    return secrets.token_hex(8)


def object_of(session: Session, group: str) -> ApprovedObject | None:
    """What a finished interaction approved, cropped; None for an empty mask.

    The crop shows the object and its surroundings as `REACH` says. Raises StepError before the end.
    """
    mask = session.result().mask
    if not mask.any():
        return None
    seed = next((point for point in session.points if point.positive), None)
    return crop_object(session.image, mask, None if seed is None else (seed.row, seed.col), group)


def crop_object(
    image: SliceImage, mask: np.ndarray, click: tuple[float, float] | None, group: str
) -> ApprovedObject:
    """The object and what lies around it. mask: (H, W) bool, not empty. click: (row, col), or None.

    Where the click is not in the mask, the pixel deepest in it stands for it.
    """
    hits = [np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))]
    longest = max((hit[-1] - hit[0] + 1) * mm for hit, mm in zip(hits, image.spacing, strict=True))
    rows, cols = (
        slice(max(0, middle - reach), middle + reach + 1)
        for hit, mm in zip(hits, image.spacing, strict=True)
        for middle, reach in [((int(hit[0]) + int(hit[-1])) // 2, max(LEAST, round(REACH * longest / mm)))]
    )
    at = None if click is None else (round(click[0]), round(click[1]))
    inside = at is not None and 0 <= at[0] < len(mask) and 0 <= at[1] < mask.shape[1] and mask[at]
    if at is None or not inside:
        depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=image.spacing)[1:-1, 1:-1]
        row, col = np.unravel_index(int(depth.argmax()), depth.shape)
        at = int(row), int(col)
    cropped = image.turned(lambda pixels: pixels[rows, cols], image.spacing)
    return ApprovedObject(
        SliceImage(cropped.pixels, cropped.spacing, cropped.modality, neighbours=cropped.neighbours),
        np.array(mask[rows, cols], dtype=bool),
        (at[0] - rows.start, at[1] - cols.start),
        group,
    )


class ApprovalFolder:
    """A folder of kept objects, one file each, which is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, approved: ApprovedObject) -> Path:
        """Write one object; the folder is made where it is not there, for its owner alone.

        Raises InputError where it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(
                f"Approved objects cannot be kept in {self.folder} ({error.strerror or 'no folder'}); name"
                " another folder."
            ) from error
        path = self.folder / f"{secrets.token_hex(8)}{SUFFIX}"
        with atomic_file(path) as file:
            file.write(_written(approved))
        return path

    def discard(self, path: Path) -> None:
        """Delete an object whose approval was taken back. Raises InputError where it cannot be."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{path} cannot be deleted ({error.strerror or 'error'}); delete it by hand."
            ) from error

    def read(self) -> tuple[ApprovedObject, ...]:
        """Every object, by the names of the files.

        Raises InputError where there is no such folder, or naming a file that is damaged or no kept object.
        """
        if not self.folder.is_dir():
            raise InputError(f"There is no folder {self.folder}; keep objects with --keep-approved first.")
        return tuple(read_object(path) for path in sorted(self.folder.glob(f"*{SUFFIX}")))


@dataclass(eq=False)
class KeptApproval:
    """The approval an interaction ended in, kept until it is taken back.

    ending: the step. path: its file, once it is written.
    """

    folder: Path
    ending: Done
    path: Path | None = None

    def keep(self, session: Session, group: str) -> None:
        """Write it; an empty mask is not kept. Raises InputError where it cannot be written."""
        approved = object_of(session, group)
        if approved is not None:
            self.path = ApprovalFolder(self.folder).keep(approved)

    def discard(self) -> None:
        """Delete its file. Raises InputError where it cannot be deleted."""
        if self.path is not None:
            ApprovalFolder(self.folder).discard(self.path)


def _written(approved: ApprovedObject) -> bytes:
    image = approved.image
    around = [pixels for pixels in image.neighbours if pixels is not None]
    arrays = {"pixels": _bytes(image.pixels), "mask": approved.mask.astype(np.uint8)}
    if around:
        arrays["neighbours"] = _bytes(np.stack(around))
    about = {
        "click": list(approved.click),
        "group": approved.group,
        "modality": image.modality,
        "neighbours": [pixels is not None for pixels in image.neighbours],
        "spacing": [float(mm) for mm in image.spacing],
    }
    metadata = {"format": FORMAT, "version": VERSION, "about": json.dumps(about, sort_keys=True)}
    return safetensors.numpy.save(arrays, metadata=metadata)


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def read_object(path: Path) -> ApprovedObject:
    """One kept object. Raises InputError where the file is damaged or something else."""
    try:
        data = path.read_bytes() if path.stat().st_size <= LARGEST_FILE else b""
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror or 'error'}).") from error
    try:
        length = struct.unpack("<Q", data[:8])[0]
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        if (metadata["format"], metadata["version"]) != (FORMAT, VERSION):
            raise ValueError("another format")
        return _object(safetensors.numpy.load(data), json.loads(metadata["about"]))
    except (safetensors.SafetensorError, struct.error, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} is damaged or no approved object of this version; delete it and go on."
        ) from error


def _object(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> ApprovedObject:
    """Raises ValueError, LookupError or TypeError where the parts do not fit each other."""
    pixels, mask = arrays["pixels"], arrays["mask"].astype(bool)
    row, col = (int(at) for at in about["click"])
    high, wide = (float(mm) for mm in about["spacing"])
    there, stack = [bool(known) for known in about["neighbours"]], arrays.get("neighbours")
    fits = pixels.dtype == np.uint8 and pixels.ndim in (2, 3) and pixels.shape[2:] in ((), (3,))
    if not fits or mask.shape != pixels.shape[:2] or not mask[row, col] or min(row, col) < 0:
        raise ValueError("the mask does not fit the pixels")
    if not (min(high, wide) > 0 and np.isfinite([high, wide]).all()):
        raise ValueError("no spacing")
    if (0 if stack is None else len(stack)) != sum(there) or (
        stack is not None and (stack.dtype != np.uint8 or stack.shape[1:] != pixels.shape)
    ):
        raise ValueError("the neighbours do not fit")
    around = iter(() if stack is None else stack)
    image = SliceImage(
        pixels.astype(np.float32) / 255,
        (high, wide),
        None if about["modality"] is None else str(about["modality"])[:16],
        neighbours=tuple(next(around).astype(np.float32) / 255 if known else None for known in there),
    )
    return ApprovedObject(image, mask, (row, col), str(about["group"]))
