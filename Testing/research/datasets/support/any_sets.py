"""Made-up sets in the layout of the data set any."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from PIL import Image


def disc(side: int, row: float, col: float, radius: float) -> np.ndarray:
    """(side, side) bool."""
    rows, cols = np.mgrid[:side, :side]
    return (rows - row) ** 2 + (cols - col) ** 2 <= radius**2


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def nifti(array: np.ndarray, folder: Path, spacing: tuple[float, float, float] = (1, 1, 1)) -> bytes:
    """A (K, J, I) array; spacing: mm along k, j, i."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(mm) for mm in spacing[::-1]])
    sitk.WriteImage(image, str(folder / "written.nii.gz"))
    return (folder / "written.nii.gz").read_bytes()


def description(name: str, entries: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    return {
        "set": name,
        "modality": "MR",
        "kind": "structures",
        "structures": ["outer", "inner"],
        "nested": [["outer", "inner"]],
        "instances": False,
        "dims": 2,
        "spacing": None,
        "licence": "CC BY 4.0",
        "licence_evidence": "read",
        "source": f"made up for {name}",
        "train": True,
        "entries": dict(entries),
        **changes,
    }


def nested_discs(name: str, entries: Mapping[str, str], side: int = 48, **changes: Any) -> dict[str, bytes]:
    """The files of a set whose entries show a disc in a disc, each at a place and of a size of its own."""
    contents = {f"{name}/set.json": json.dumps(description(name, entries, **changes)).encode()}
    for number, entry in enumerate(sorted(entries)):
        at, radius = side / 2 - 2 + number % 5, side / 4 + number % 3
        outer, inner = disc(side, at, at, radius), disc(side, at, at, radius / 2)
        image = (30 + 90 * outer + 90 * inner).astype(np.uint8)
        contents[f"{name}/{entry}/image.png"] = png(image)
        contents[f"{name}/{entry}/rater-outer.png"] = png(outer.astype(np.uint8) * 255)
        contents[f"{name}/{entry}/rater-inner.png"] = png(inner.astype(np.uint8) * 255)
    return contents


def cells(name: str, entries: Mapping[str, str], **changes: Any) -> dict[str, bytes]:
    """A set of instances: objects 1 (large), 2 (middle), 3 and 4 (small), in colour."""
    settings = {"instances": True, "structures": ["cell"], "nested": [], **changes}
    contents = {f"{name}/set.json": json.dumps(description(name, entries, **settings)).encode()}
    ids = np.zeros((48, 64), np.uint16)
    for value, (row, col, radius) in enumerate([(12, 12, 9), (34, 14, 7), (12, 40, 3), (36, 44, 3)], 1):
        ids[np.hypot(*(np.mgrid[:48, :64] - np.array([row, col])[:, None, None])) <= radius] = value
    for entry in entries:
        image = np.stack([(ids > 0) * 150, (ids > 0) * 80, ids * 0 + 20], -1).astype(np.uint8)
        contents[f"{name}/{entry}/image.png"] = png(image)
        contents[f"{name}/{entry}/rater-cell.png"] = png(ids)
    return contents


def persons(name: str, entries: Mapping[str, str], **changes: Any) -> dict[str, bytes]:
    """A set of three raters who draw discs of different sizes; c draws nothing on the last entry."""
    settings = {"kind": "raters", "structures": ["thing"], "nested": [], **changes}
    contents = {f"{name}/set.json": json.dumps(description(name, entries, **settings)).encode()}
    for number, entry in enumerate(sorted(entries)):
        contents[f"{name}/{entry}/image.png"] = png((disc(40, 20, 20, 9) * 200).astype(np.uint8))
        for rater, radius in (("a", 6), ("b", 8), ("c", 10)):
            empty = rater == "c" and len(entries) > 1 and number == len(entries) - 1
            drawn = disc(40, 20, 20, 0 if empty else radius) & (not empty)
            contents[f"{name}/{entry}/rater-{rater}.png"] = png(drawn.astype(np.uint8) * 255)
    return contents


def stack(
    name: str,
    entries: Mapping[str, str],
    folder: Path,
    spacing: tuple[float, float, float] = (1, 4, 1),
    said: str = "headers",
    **changes: Any,
) -> dict[str, bytes]:
    """A 3-D set: a block that is largest at j = 5, in voxels of `spacing` mm along k, j, i."""
    settings = {"dims": 3, "spacing": said, "structures": ["block"], "nested": [], **changes}
    contents = {f"{name}/set.json": json.dumps(description(name, entries, **settings)).encode()}
    mask = np.zeros((30, 12, 36), np.uint8)
    for j in range(2, 9):
        half = 9 - abs(j - 5)
        mask[15 - half : 15 + half, j, 18 - half : 18 + half] = 1
    for entry in entries:
        contents[f"{name}/{entry}/image.nii.gz"] = nifti(mask.astype(np.int16) * 700 - 300, folder, spacing)
        contents[f"{name}/{entry}/rater-block.nii.gz"] = nifti(mask, folder, spacing)
    return contents
