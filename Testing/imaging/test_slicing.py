"""A slice as it is shown, and masks back on the grid."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.headers import OWN
from SPASegmentLib.imaging.slicing import cut_slice
from SPASegmentLib.imaging.types import IntensityWindow, Volume
from SPASegmentLib.imaging.window import looks_like_ct

SPACING = (1.5, 1.25, 2.0)
LAYOUTS = [(p, f) for p in permutations(range(3)) for f in product((1, -1), repeat=3)]


def a_scan() -> np.ndarray:
    """(S, A, R) array of a patient who looks different from every side."""
    s, a, r = np.mgrid[:9, :11, :13].astype(np.float32)
    return -1000 + 40 * s + 60 * a + 30 * r + 5 * a * r


def write(path: Path, order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    """The scan stored with its axes in another order and direction, at the same place in space."""
    scan = a_scan()
    spacing = np.array(SPACING)
    axes = np.eye(3)
    origin = np.array([-10.0, 20.0, 5.0])
    steps, start, array = [], origin.copy(), scan.transpose(2, 1, 0)
    for axis, flip in enumerate(flips):
        if flip < 0:
            start = start + axes[axis] * spacing[axis] * (array.shape[axis] - 1)
            array = np.flip(array, axis)
    for axis in order:
        steps.append(axes[axis] * flips[axis])
    array = array.transpose(order)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing([float(spacing[axis]) for axis in order])
    image.SetDirection((to_lps @ np.stack(steps, axis=1)).ravel().tolist())
    image.SetOrigin((to_lps @ start).tolist())
    sitk.WriteImage(image, str(path))


def opened(path: Path, orientation: str = "axial", **options):
    ras = tuple(np.array([-10.0, 20.0, 5.0]) + np.array(SPACING) * (4, 7, 3))
    options = {"seed_ras": ras, "seed_ijk": None, "window": (-1000, 1500), "model_window": None, **options}
    return cut_slice(read_volume(path, OWN), orientation=orientation, **options)


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal"])
@pytest.mark.parametrize(("order", "flips"), LAYOUTS)
def test_however_a_file_stores_the_patient_the_slice_looks_the_same(tmp_path, order, flips, orientation):
    write(tmp_path / "scan.nrrd", order, flips)
    found = opened(tmp_path / "scan.nrrd", orientation)
    s, a, r = 3, 7, 4
    scan = (a_scan() + 1000) / 2500
    expected, row, col = {
        "axial": (scan[s, ::-1, ::-1], 10 - a, 12 - r),
        "sagittal": (scan[::-1, ::-1, r], 8 - s, 10 - a),
        "coronal": (scan[::-1, a, ::-1], 8 - s, 12 - r),
    }[orientation]
    np.testing.assert_allclose(found.image.pixels, expected, atol=1e-6)
    assert (found.seed.row, found.seed.col) == pytest.approx((row, col), abs=1e-6)
    spacing = {"axial": (1.25, 1.5), "sagittal": (2.0, 1.25), "coronal": (2.0, 1.5)}[orientation]
    assert found.image.spacing == pytest.approx(spacing)


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal"])
@pytest.mark.parametrize(("order", "flips"), LAYOUTS[::5])
def test_a_mask_lands_on_the_voxels_it_was_drawn_on(tmp_path, order, flips, orientation):
    write(tmp_path / "scan.nrrd", order, flips)
    found = opened(tmp_path / "scan.nrrd", orientation)
    mask = np.zeros(found.image.shape, bool)
    mask[round(found.seed.row), round(found.seed.col)] = True
    mask[0, 1] = True
    grid = found.on_grid(mask)
    i, j, k = found.ijk
    assert grid[k, j, i]
    assert grid.sum() == 2
    shown = found.image.pixels[mask] * 2500 - 1000
    np.testing.assert_allclose(np.sort(found.volume.array[grid]), np.sort(shown), atol=1e-3)


def test_a_seed_in_voxels_is_the_same_as_in_millimetres(tmp_path):
    write(tmp_path / "scan.nrrd", (0, 1, 2), (-1, -1, 1))
    by_ras = opened(tmp_path / "scan.nrrd")
    by_ijk = opened(tmp_path / "scan.nrrd", seed_ras=None, seed_ijk=tuple(float(v) for v in by_ras.ijk))
    assert by_ijk.ras == pytest.approx(by_ras.ras)
    assert (by_ijk.seed, by_ijk.plane.index) == (by_ras.seed, by_ras.plane.index)


def a_volume(low: float, high: float, **options) -> Volume:
    return Volume(np.linspace(low, high, 8 * 8 * 8, dtype=np.float32).reshape(8, 8, 8), np.eye(4), **options)


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (a_volume(-1024, 1500), True),
        (a_volume(0, 1500), False),
        (a_volume(0, 1500, modality="CT"), True),
        (a_volume(-1024, 1500, modality="MR"), False),
        (a_volume(-1, 1), False),
        (Volume(np.zeros((1, 8, 8, 3), np.uint8), np.eye(4), modality="CT"), False),
    ],
)
def test_hounsfield_units_are_told_by_the_file_or_by_their_range(volume: Volume, expected: bool):
    assert looks_like_ct(volume) is expected


def test_a_ct_gets_the_models_window_unless_another_is_given(tmp_path):
    write(tmp_path / "scan.nrrd", (0, 1, 2), (1, 1, 1))
    given = opened(tmp_path / "scan.nrrd", model_window=(-1350.0, 150.0))
    assert given.window == IntensityWindow(-1000, 1500)
    assert opened(tmp_path / "scan.nrrd", window=None, model_window=(-1350.0, 150.0)).window == (
        IntensityWindow(-1350.0, 150.0)
    )
    robust = opened(tmp_path / "scan.nrrd", window=None).window
    assert -1000 <= robust.low < robust.high < 1500


def test_a_slice_flat_in_the_models_window_gets_one_from_its_values(tmp_path):
    write(tmp_path / "scan.nrrd", (0, 1, 2), (1, 1, 1))
    found = opened(tmp_path / "scan.nrrd", window=None, model_window=(5000.0, 6000.0))
    assert found.window.high < 2000
    assert np.ptp(found.image.pixels) == 1
