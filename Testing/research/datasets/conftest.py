"""Small made-up data sets, in zips and folders of exactly the layouts the loaders document."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "support"))

Contents = Mapping[str, bytes]


def encode_picture(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """An array as a PNG or JPEG file."""
    return encode_picture


@pytest.fixture
def square() -> Callable[..., np.ndarray]:
    """A white square of a given size on black, in a small picture."""

    def draw(size: int, side: int = 16, value: int = 255) -> np.ndarray:
        pixels = np.zeros((side, side), np.uint8)
        low = (side - size) // 2
        pixels[low : low + size, low : low + size] = value
        return pixels

    return draw


@pytest.fixture
def as_zip(tmp_path: Path) -> Callable[..., Path]:
    """Files in a zip."""

    def pack(contents: Contents, name: str = "data.zip") -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in contents.items():
                archive.writestr(member, content)
        return path

    return pack


@pytest.fixture
def as_folder(tmp_path: Path) -> Callable[..., Path]:
    """Files in a folder."""

    def unpack(contents: Contents, name: str = "unpacked") -> Path:
        root = tmp_path / name
        for member, content in contents.items():
            path = root / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return unpack


@pytest.fixture
def volume_file(tmp_path: Path) -> Callable[..., bytes]:
    """A (K, J, I) array as a file SimpleITK wrote."""

    def write(
        array: np.ndarray,
        ending: str = ".nii.gz",
        spacing: tuple[float, ...] | None = None,
        direction: tuple[float, ...] | None = None,
    ) -> bytes:
        image = sitk.GetImageFromArray(array)
        if spacing is not None:
            image.SetSpacing(spacing)
        if direction is not None:
            image.SetDirection(direction)
        path = tmp_path / f"written{ending}"
        sitk.WriteImage(image, str(path), useCompression=True)
        return path.read_bytes()

    return write


@pytest.fixture
def lidc_contents(square: Callable[..., np.ndarray]) -> Callable[..., dict[str, bytes]]:
    """A nodule of one patient: on slice-0 all four raters drew, on slice-1 one, on slice-2 none."""

    def make(patient: str = "LIDC-IDRI-0001", root: str = "LIDC-IDRI-slices") -> dict[str, bytes]:
        sizes = {0: (4, 6, 8, 10), 1: (0, 0, 6, 0), 2: (0, 0, 0, 0)}
        contents = {}
        for number, drawn in sizes.items():
            base = f"{root}/{patient}/nodule-0"
            ramp = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
            contents[f"{base}/images/slice-{number}.png"] = encode_picture(ramp)
            for rater, size in enumerate(drawn):
                contents[f"{base}/mask-{rater}/slice-{number}.png"] = encode_picture(square(size))
        return contents

    return make
