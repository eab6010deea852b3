"""Intensities reach the network in [0, 1], or one sentence says why the slice cannot."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.geometry import SlicePlane
from SPASegmentLib.imaging.types import IntensityWindow, Volume
from SPASegmentLib.imaging.window import CT_LUNG, CT_SOFT_TISSUE, apply_window, choose_window, make_slice


@pytest.fixture
def a_ct() -> Volume:
    """Air, tissue and a few voxels of metal."""
    array = np.random.default_rng(0).normal(40, 20, (4, 64, 64))
    array[:, :20] = -1000
    array[0, 40, 40] = 30000
    return Volume(array.astype(np.int16), np.diag([-0.7, -0.8, 2.5, 1.0]), modality="CT")


@pytest.fixture
def axial(a_ct: Volume) -> SlicePlane:
    return SlicePlane.through(a_ct, "axial", seed_ijk=(30, 40, 0))


def with_array(array: np.ndarray, **more) -> Volume:
    return Volume(array, np.eye(4), **more)


def first_slice(volume: Volume) -> SlicePlane:
    return SlicePlane.of_voxels(volume, 0, 0)


def test_the_window_given_comes_before_the_files_own_and_that_before_percentiles(a_ct):
    own = Volume(a_ct.array, a_ct.ijk_to_ras, "CT", IntensityWindow(-160, 240))
    assert choose_window(own, CT_LUNG) == CT_LUNG
    assert choose_window(own) == CT_SOFT_TISSUE
    robust = choose_window(replace(a_ct, modality="PT"))
    assert robust.low == -1000
    assert 60 < robust.high < 200  # one voxel of metal does not darken the rest


def test_percentiles_are_those_of_the_slice_when_it_is_given(a_ct):
    lower = a_ct.array[1, 20:]
    window = choose_window(a_ct, slice_pixels=lower)
    assert (window.low, window.high) == pytest.approx(tuple(np.percentile(lower, (0.5, 99.5))))


def test_a_small_bright_object_on_a_flat_ground_is_not_clipped_away():
    array = np.zeros((1, 100, 100), dtype=np.int16)
    array[0, 50, 50:53] = 700
    assert choose_window(with_array(array)) == IntensityWindow(0, 700)


@settings(max_examples=100, deadline=None)
@given(
    low=st.floats(-1e6, 1e6),
    width=st.floats(1e-3, 1e6),
    kind=st.sampled_from([np.uint8, np.int16, np.int32, np.float32, np.float64]),
)
def test_windowed_values_lie_between_0_and_1_and_grow_with_intensity(low, width, kind):
    limits = np.iinfo(kind) if np.issubdtype(kind, np.integer) else np.finfo(np.float32)
    pixels = np.linspace(float(limits.min), float(limits.max) * 0.99, 50).reshape(5, 10).astype(kind)
    shown = apply_window(pixels, IntensityWindow(low, low + width))
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (np.diff(shown.ravel()) >= 0).all()


def test_the_ends_of_the_window_become_0_and_1_and_its_middle_a_half():
    shown = apply_window(np.array([[-2000, -160, 40, 240, 3000]], dtype=np.int16), CT_SOFT_TISSUE)
    np.testing.assert_array_equal(shown, [[0, 0, 0.5, 1, 1]])


@pytest.mark.parametrize("low_high", [(5, 5), (5, 4), (float("nan"), 1), (0, float("inf"))])
def test_an_impossible_window_is_refused(low_high, a_ct, axial):
    with pytest.raises(InputError, match="its low must be below its high"):
        make_slice(a_ct, axial, IntensityWindow(*low_high))


def test_8_bit_colours_are_divided_by_255_and_others_by_their_range():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 200, (1, 8, 8, 3)).astype(np.uint8)
    image = make_slice(with_array(small), first_slice(with_array(small)))
    np.testing.assert_allclose(image.pixels, small[0] / 255, atol=1e-7)
    large = rng.integers(100, 4096, (1, 8, 8, 3)).astype(np.uint16)
    image = make_slice(with_array(large), first_slice(with_array(large)))
    low, high = large.min(), large.max()
    np.testing.assert_allclose(image.pixels, (large[0] - float(low)) / (high - low), atol=1e-6)


def test_a_slice_carries_spacing_modality_and_warnings(a_ct):
    volume = Volume(a_ct.array, a_ct.ijk_to_ras, "CT", warnings=("something was assumed",))
    image = make_slice(volume, SlicePlane.through(volume, "coronal", seed_ijk=(30, 40, 1)), CT_LUNG)
    assert image.shape == (4, 64)
    assert image.spacing == pytest.approx((2.5, 0.7))
    assert image.modality == "CT"
    assert image.warnings == ("something was assumed",)
    np.testing.assert_array_equal(image.pixels, apply_window(a_ct.array[:, 40], CT_LUNG))


def test_a_constant_slice_is_refused_whatever_the_window(a_ct):
    flat = with_array(np.full((2, 8, 8), 7, dtype=np.int16))
    for window in (None, CT_LUNG):
        with pytest.raises(InputError, match=r"constant \(every pixel is 7\)"):
            make_slice(flat, first_slice(flat), window)


def test_an_empty_slice_is_refused(a_ct):
    with pytest.raises(InputError, match="empty"):
        choose_window(a_ct, slice_pixels=np.empty((0, 5)))


@pytest.mark.parametrize("orientation", ["sagittal", "coronal"])
def test_a_line_of_pixels_is_refused(orientation):
    picture = with_array(np.arange(64, dtype=np.uint8).reshape(1, 8, 8))
    with pytest.raises(InputError, match="only 1 x 8 pixels; choose another orientation"):
        make_slice(picture, SlicePlane.through(picture, orientation, seed_ijk=(3, 3, 0)))


def test_a_slice_that_the_window_leaves_flat_is_refused(a_ct, axial):
    with pytest.raises(InputError, match="flat in the window 40000 to 50000"):
        make_slice(a_ct, axial, IntensityWindow(40000, 50000))


def test_a_file_window_that_leaves_the_slice_flat_gives_way_and_says_so(a_ct, axial):
    volume = Volume(a_ct.array, a_ct.ijk_to_ras, "CT", IntensityWindow(40000, 50000))
    image = make_slice(volume, axial)
    assert image.pixels.std() > 0.1
    assert "flat" in image.warnings[0]


def test_nan_in_a_volume_that_came_from_elsewhere_is_replaced_and_said(a_ct):
    array = a_ct.array.astype(np.float32)
    array[1, 30, 30], array[1, 31, 31] = np.nan, np.inf
    volume = with_array(array)
    image = make_slice(volume, SlicePlane.of_voxels(volume, 0, 1))
    assert np.isfinite(image.pixels).all()
    assert image.pixels[30, 30] == image.pixels[31, 31] == 0
    assert "not finite" in image.warnings[0]
    array[2] = np.nan
    with pytest.raises(InputError, match="no finite value"):
        make_slice(volume, SlicePlane.of_voxels(volume, 0, 2))


def test_a_huge_slice_is_quick_and_needs_no_second_copy_of_itself():
    resource = pytest.importorskip("resource", reason="this system does not count a process's memory")
    array = np.arange(6000 * 5000, dtype=np.uint32).reshape(1, 6000, 5000).astype(np.uint16)
    volume = with_array(array)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    image = make_slice(volume, first_slice(volume))
    assert time.perf_counter() - start < 6
    assert image.shape == (6000, 5000)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 3.5 * image.pixels.nbytes / 2**20


def test_a_bool_volume_is_a_picture_too():
    volume = with_array(np.eye(8, dtype=bool)[np.newaxis])
    np.testing.assert_array_equal(make_slice(volume, first_slice(volume)).pixels, np.eye(8))
