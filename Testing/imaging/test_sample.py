"""The made-up chest CT."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging import sample
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.sample import SHAPE, SPACING, make_sample_volume, sample_seeds


@cache
def made(seed: int, rotated: bool = False):
    return make_sample_volume(seed, rotated=rotated)


@pytest.fixture(scope="module")
def a_volume():
    return made(0)


def at(volume, ras: tuple[float, float, float]) -> tuple[int, int, int]:
    """(k, j, i) of a point in RAS."""
    i, j, k = np.rint((np.linalg.inv(volume.ijk_to_ras) @ [*ras, 1])[:3]).astype(int)
    return int(k), int(j), int(i)


def test_it_is_an_anisotropic_ct_in_hounsfield_units_made_in_seconds(a_volume):
    sample._voxels.cache_clear()
    start = time.process_time()  # a busy computer must not count
    make_sample_volume(1)
    assert time.process_time() - start < 6
    assert (a_volume.shape, a_volume.modality, a_volume.array.dtype) == (SHAPE, "CT", np.int16)
    assert np.linalg.norm(a_volume.ijk_to_ras[:3, :3], axis=0).tolist() == list(SPACING[::-1])
    hu = a_volume.array
    assert -1030 < np.percentile(hu, 1) < -960, "air around the patient"
    assert np.mean((hu > -950) & (hu < -750)) > 0.08, "lungs"
    assert np.mean((hu > 0) & (hu < 110)) > 0.15, "soft tissue"
    assert np.mean(hu > 400) > 0.002, "bone"


def test_equal_seeds_give_equal_volumes_and_other_seeds_other_ones(a_volume):
    sample._voxels.cache_clear()
    assert np.array_equal(make_sample_volume(0).array, a_volume.array)
    assert not np.array_equal(make_sample_volume(5).array, a_volume.array)


def test_what_is_done_to_one_volume_is_not_done_to_the_next(a_volume):
    make_sample_volume(0).array[:] = 0
    assert np.array_equal(make_sample_volume(0, rotated=True).array, a_volume.array)


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2, 7])
def test_every_suggested_seed_lies_in_a_nodule_with_lung_around_it(seed: int, rotated: bool):
    volume = made(seed, rotated)
    seeds = sample_seeds(seed, rotated=rotated)
    assert len({s.name for s in seeds}) == len(seeds) == 5
    for place in seeds:
        k, j, i = at(volume, place.ras)
        assert volume.array[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2].mean() > -150, place.name
        around = volume.array[k, j - 16 : j + 17, i - 16 : i + 17]
        assert np.mean(around < -700) > 0.2, place.name


def test_the_satellite_is_a_part_of_its_own_and_the_vessel_is_not(a_volume):
    places = {s.name: at(a_volume, s.ras) for s in sample_seeds(0)}
    k, j, i = places["nodule with a satellite"]
    dense, count = ndimage.label(a_volume.array[k, j - 8 : j + 20, i - 20 : i + 12] > -300)
    assert count >= 2
    k, j, i = places["nodule on a vessel"]
    dense, _ = ndimage.label(a_volume.array[k - 12 : k + 13, j - 20 : j + 40, i - 20 : i + 40] > -300)
    nodule = dense == dense[12, 20, 20]
    assert np.ptp(np.flatnonzero(nodule.any(axis=(0, 1)))) * SPACING[2] > 28, "longer than the nodule is wide"


def test_soft_rims_leave_room_for_more_than_one_reading(a_volume):
    k, j, i = at(a_volume, sample_seeds(0)[1].ras)
    around = a_volume.array[k, j - 14 : j + 15, i - 14 : i + 15]
    tight, generous = np.mean(around > -300), np.mean(around > -750)
    assert generous > 1.8 * tight


def test_the_rotated_sample_has_no_axis_along_ras_and_keeps_its_spacing():
    matrix = made(0, True).ijk_to_ras[:3, :3]
    axes = matrix / np.linalg.norm(matrix, axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.abs(axes).max() < 0.99


@pytest.mark.parametrize("rotated", [False, True])
def test_the_written_sample_reads_back_as_it_was(tmp_path, rotated: bool):
    volume = made(0, rotated)
    write_sample_volume(tmp_path / "chest.nrrd", volume)
    again = read_volume(tmp_path / "chest.nrrd")
    assert np.array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.ijk_to_ras, volume.ijk_to_ras, atol=1e-9)
    assert (again.modality, again.warnings) == ("CT", ())
    assert list(tmp_path.iterdir()) == [tmp_path / "chest.nrrd"]


def test_a_sample_that_cannot_be_written_is_said_so(a_volume, tmp_path):
    with pytest.raises(InputError, match="choose another place"):
        write_sample_volume(tmp_path / "no" / "folder" / "chest.nrrd", a_volume)
