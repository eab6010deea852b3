"""Volumes on grids as awkward as real ones, and files of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from SPASegmentLib.imaging.types import Volume

sys.path.insert(0, str(Path(__file__).with_name("support")))  # made-up DICOM files
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _grid(
    angles: tuple[float, float, float], spacing: tuple[float, float, float], flips: tuple[int, int, int]
):
    matrix = np.eye(4)
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, :3] = axes * np.array(spacing) * np.array(flips)
    matrix[:3, 3] = (-81.7, 33.25, 412.125)
    return matrix


GRIDS = {
    "isotropic": _grid((0, 0, 0), (1, 1, 1), (1, 1, 1)),
    "anisotropic": _grid((0, 0, 0), (0.7, 0.8, 5.0), (1, 1, 1)),
    "flipped": _grid((0, 0, 0), (0.7, 0.8, 2.5), (-1, -1, 1)),
    "left-handed": _grid((0, 0, 0), (0.7, 0.8, 2.5), (-1, 1, 1)),
    "sagittal acquisition": _grid((90, 0, 90), (0.9, 0.9, 3.0), (1, -1, 1)),
    "oblique by 12 degrees": _grid((12, 0, 0), (0.7, 0.7, 2.5), (1, 1, 1)),
    "rotated about every axis": _grid((20, -35, 130), (0.6, 1.1, 2.0), (1, 1, -1)),
}


@pytest.fixture(scope="session")
def make_volume() -> Callable[..., Volume]:
    """Make a volume of distinct voxel values on a grid."""

    def make(matrix: np.ndarray = GRIDS["isotropic"], shape: tuple[int, ...] = (7, 11, 13)) -> Volume:
        array = np.random.default_rng(7).permutation(int(np.prod(shape))).reshape(shape).astype(np.int16)
        return Volume(array, matrix)

    return make


@pytest.fixture(params=GRIDS, scope="session")
def a_volume(request: pytest.FixtureRequest, make_volume: Callable[..., Volume]) -> Volume:
    """One volume after the other: anisotropic, flipped, rotated."""
    return make_volume(GRIDS[request.param])


@pytest.fixture(scope="session")
def to_itk() -> Callable[[Volume], sitk.Image]:
    """Turn a volume into the image SimpleITK writes."""

    def convert(volume: Volume) -> sitk.Image:
        matrix = LPS @ volume.ijk_to_ras
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        image = sitk.GetImageFromArray(volume.array, isVector=volume.is_rgb)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(matrix[:3, 3].tolist())
        return image

    return convert


@pytest.fixture
def silent(capfd: pytest.CaptureFixture[str]):
    """Fail where anything was printed, by Python or by C++."""
    yield
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""


@pytest.fixture
def rewrite() -> Callable[[Path, Path, Callable[[bytes], bytes]], Path]:
    """Write a changed copy of a file."""

    def change(source: Path, target: Path, how: Callable[[bytes], bytes]) -> Path:
        target.write_bytes(how(source.read_bytes()))
        return target

    return change
