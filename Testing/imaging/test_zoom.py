"""Between pixels and cells nothing shifts, and on aligned grids nothing changes at all."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.imaging.zoom import (
    MIN_PIXELS,
    refine,
    region_around,
    resample_between,
    sample,
    sample_mask,
    to_grid,
    to_pixels,
    unsample,
)

SPACINGS = [(1.0, 1.0), (0.703125, 0.703125), (0.7, 0.3), (1 / 3, 2.7)]
spacings = st.sampled_from(SPACINGS)
positive = st.floats(0.05, 5)


@pytest.fixture(scope="module")
def an_image() -> np.ndarray:
    return np.random.default_rng(0).random((90, 110), dtype=np.float32)


def aligned(top: int, left: int, pixels: int, grid: int, spacing: float) -> Region:
    """The region over `pixels` x `pixels` whole pixels from (top, left)."""
    return Region((top + (pixels - 1) / 2, left + (pixels - 1) / 2), pixels * spacing, grid)


@settings(max_examples=60, deadline=None)
@given(top=st.integers(0, 26), left=st.integers(0, 46), spacing=st.floats(0.05, 7))
def test_sampling_one_to_one_is_the_identity_and_unsampling_inverts_it(an_image, top, left, spacing):
    region = aligned(top, left, 64, 64, spacing)
    cells = sample(an_image, (spacing, spacing), region)
    inside = (slice(top, top + 64), slice(left, left + 64))
    np.testing.assert_array_equal(cells, an_image[inside])
    back = unsample(cells, region, an_image.shape, (spacing, spacing), outside=-7)
    np.testing.assert_array_equal(back[inside], an_image[inside])
    back[inside] = -7
    assert (back == -7).all()


@settings(max_examples=60, deadline=None)
@given(top=st.integers(0, 58), left=st.integers(0, 78), spacing=st.floats(0.05, 7), seed=st.integers(0, 99))
def test_a_mask_survives_a_zoom_of_two_bit_for_bit(top, left, spacing, seed):
    mask = np.random.default_rng(seed).random((90, 110)) > 0.5
    region = aligned(top, left, 32, 64, spacing)
    cells = sample_mask(mask, (spacing, spacing), region)
    inside = np.zeros_like(mask)
    inside[top : top + 32, left : left + 32] = True
    np.testing.assert_array_equal(cells[::2, ::2], mask[top : top + 32, left : left + 32])
    back = unsample(cells, region, mask.shape, (spacing, spacing)) >= 0.5
    np.testing.assert_array_equal(back, mask & inside)


@settings(max_examples=100, deadline=None)
@given(
    centre=st.tuples(st.floats(-20, 150), st.floats(-20, 150)),
    size=st.floats(1, 400),
    grid=st.sampled_from([16, 64, 65]),
    spacing=spacings,
    data=st.data(),
)
def test_points_go_to_cells_and_back(centre, size, grid, spacing, data):
    region = Region(centre, size, grid)
    points = np.array(data.draw(st.lists(st.tuples(st.floats(0, 150), st.floats(0, 150)), max_size=5)))
    there = to_grid(points, region, spacing)
    assert there.shape == (len(points), 2)
    step = size / grid / np.array(spacing)  # pixels per cell
    tolerance = 1e-6 * max(1.0, step.max())
    np.testing.assert_allclose(to_pixels(there, region, spacing), points.reshape(-1, 2), atol=tolerance)
    middle = to_grid(np.array([centre]), region, spacing)
    np.testing.assert_allclose(middle, [[(grid - 1) / 2] * 2], atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    centre=st.tuples(st.floats(30, 60), st.floats(30, 80)),
    size=st.floats(4, 40),
    spacing=spacings,
    slope=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_a_linear_ramp_keeps_its_values_where_it_is_sampled(centre, size, spacing, slope):
    rows, cols = np.indices((300, 300))
    ramp = (slope[0] * rows + slope[1] * cols).astype(np.float32)
    centre = (centre[0] + 100, centre[1] + 100)
    region = Region(centre, size, 32)
    row, col = to_pixels(np.stack(np.indices((32, 32)), axis=-1).reshape(-1, 2), region, spacing).T
    expected = (slope[0] * row + slope[1] * col).reshape(32, 32)
    shrinks = size / min(spacing) / 32 > 1  # then the filter is off by up to 0.09 pixels per axis
    np.testing.assert_allclose(sample(ramp, spacing, region), expected, atol=0.18 if shrinks else 1e-3)


def test_shrinking_averages_instead_of_skipping():
    board = (np.indices((512, 512)).sum(axis=0) % 2).astype(np.float32)
    cells = sample(board, (1.0, 1.0), aligned(0, 0, 512, 64, 1.0))
    np.testing.assert_allclose(cells, 0.5, atol=0.02)
    np.testing.assert_allclose(cells[1:-1, 1:-1], 0.5, atol=1e-6)
    line = np.zeros((512, 512), dtype=np.float32)
    line[:, 100] = 1
    assert sample(line, (1.0, 1.0), aligned(0, 0, 512, 64, 1.0)).sum() == pytest.approx(64 / 8, rel=1e-3)


def test_beyond_the_edge_the_last_pixels_continue(an_image):
    region = aligned(-10, 90, 64, 64, 1.0)
    cells = sample(an_image, (1.0, 1.0), region)
    rows, cols = np.clip(np.arange(-10, 54), 0, 89), np.clip(np.arange(90, 154), 0, 109)
    np.testing.assert_array_equal(cells, an_image[np.ix_(rows, cols)])
    assert np.isfinite(sample(an_image, (1.0, 1.0), aligned(500, 500, 20, 64, 1.0))).all()


def test_colours_are_sampled_channel_by_channel(an_image):
    colour = np.stack([an_image, 1 - an_image, an_image * 0.5], axis=-1)
    region = Region((40.3, 50.7), 37.0, 64)
    cells = sample(colour, (0.7, 0.9), region)
    assert cells.shape == (64, 64, 3)
    for channel in range(3):
        np.testing.assert_array_equal(cells[..., channel], sample(colour[..., channel], (0.7, 0.9), region))


def test_a_map_off_the_slice_leaves_only_the_outside():
    shown = unsample(np.ones((16, 16)), Region((500.0, 500.0), 10.0, 16), (30, 40), (1.0, 1.0), outside=-3)
    np.testing.assert_array_equal(shown, np.full((30, 40), -3))


@settings(max_examples=60, deadline=None)
@given(
    centre=st.tuples(st.floats(0, 89), st.floats(0, 109)),
    size=st.floats(2, 300),
    spacing=spacings,
)
def test_exactly_the_pixels_whose_centre_lies_in_the_region_are_written(centre, size, spacing):
    region = Region(centre, size, 32)
    shown = unsample(np.zeros((32, 32)), region, (90, 110), spacing, outside=1)
    row, col = np.indices((90, 110))
    offset = np.stack([(row - centre[0]) * spacing[0], (col - centre[1]) * spacing[1]])
    assert (shown[(np.abs(offset) < size / 2 - 1e-4).all(axis=0)] == 0).all()
    assert (shown[(np.abs(offset) > size / 2 + 1e-4).any(axis=0)] == 1).all()


def test_unsampling_draws_a_disc_where_it_is():
    region = Region((200.5, 300.25), 40.0, 64)
    spacing = (0.8, 0.5)
    row, col = to_pixels(np.stack(np.indices((64, 64)), axis=-1).reshape(-1, 2), region, spacing).T
    distance = np.hypot((row - 202) * spacing[0], (col - 305) * spacing[1]).reshape(64, 64)
    logits = unsample(8 - distance, region, (512, 512), spacing, outside=-99)
    rows, cols = np.indices((512, 512))
    exact = np.hypot((rows - 202) * spacing[0], (cols - 305) * spacing[1]) < 8
    assert ((logits > 0) ^ exact).sum() <= 2


def test_a_map_moves_between_regions_as_through_the_slice():
    spacing = (1.0, 1.0)
    rng = np.random.default_rng(1)
    cells = rng.random((64, 64), dtype=np.float32)
    one, same = aligned(20, 30, 64, 64, 1.0), aligned(20, 30, 64, 64, 1.0)
    np.testing.assert_array_equal(resample_between(cells, one, same, spacing), cells)
    shifted = aligned(25, 33, 64, 64, 1.0)
    moved = resample_between(cells, one, shifted, spacing, outside=-5)
    np.testing.assert_array_equal(moved[:59, :61], cells[5:, 3:])
    assert (moved[59:] == -5).all()
    assert (moved[:, 61:] == -5).all()


def test_a_map_moved_to_a_wider_region_keeps_its_mass():
    cells = np.zeros((64, 64), dtype=np.float32)
    cells[24:40, 24:40] = 1
    small, wide = Region((100.0, 100.0), 32.0, 64), Region((100.0, 100.0), 64.0, 64)
    moved = resample_between(cells, small, wide, (1.0, 1.0))
    assert moved.sum() == pytest.approx(cells.sum() / 4, rel=1e-3)
    back = resample_between(moved, wide, small, (1.0, 1.0)) > 0.5
    assert (back ^ (cells > 0.5)).sum() <= 4  # the corners


def test_a_region_lies_around_the_seed():
    region = region_around((40, 50), 30.0, 64, (90, 110), (0.5, 0.5))
    assert region == Region((40.0, 50.0), 30.0, 64)
    assert region_around((40, 50), 3000.0, 64, (90, 110), (0.5, 0.5)).size_mm == 55
    assert region_around((4, 5), 300.0, 64, (10, 10), (0.5, 0.5)).size_mm == MIN_PIXELS * 0.5


@pytest.mark.parametrize("seed", [(-1, 5), (5, 110), (float("nan"), 5)])
def test_a_seed_off_the_slice_is_refused(seed):
    with pytest.raises(SeedError, match="off the slice"):
        region_around(seed, 30.0, 64, (90, 110), (0.5, 0.5))


@pytest.mark.parametrize("size", [0.0, -3.0, float("nan"), float("inf")])
def test_a_region_without_size_is_refused(size):
    with pytest.raises(InputError, match="positive"):
        region_around((5, 5), size, 64, (90, 110), (0.5, 0.5))


def test_the_region_follows_the_size_of_the_object():
    start = region_around((100, 100), 64.0, 64, (512, 512), (0.7, 0.7))
    mask = np.zeros((512, 512), dtype=bool)
    mask[90:130, 95:115] = True
    region = refine(start, mask, (100, 100), (0.7, 0.7))
    assert region.size_mm == pytest.approx(2.75 * 40 * 0.7)
    assert region.centre == (109.5, 104.5)
    assert refine(start, mask, (100, 100), (0.7, 0.7), factor=2).size_mm == pytest.approx(56)
    assert refine(region, mask, (100, 100), (0.7, 0.7)) == region  # settled


def test_a_small_object_does_not_shrink_the_region_below_24_pixels_nor_a_large_one_beyond_the_slice():
    start = region_around((100, 100), 64.0, 64, (512, 400), (0.7, 0.9))
    dot = np.zeros((512, 400), dtype=bool)
    dot[100, 100] = True
    assert refine(start, dot, (100, 100), (0.7, 0.9)).size_mm == pytest.approx(24 * 0.7)
    assert refine(start, dot, (100, 100), (0.7, 0.9), min_mm=5).size_mm == 5
    assert refine(start, ~dot, (100, 100), (0.7, 0.9)).size_mm == pytest.approx(400 * 0.9)
    assert refine(start, ~dot, (100, 100), (0.7, 0.9), max_mm=99).size_mm == 99


def test_an_empty_mask_leaves_the_region():
    start = region_around((100, 100), 64.0, 64, (512, 512), (0.7, 0.7))
    assert refine(start, np.zeros((512, 512), bool), (100, 100), (0.7, 0.7)) == start


@settings(max_examples=100, deadline=None)
@given(
    corner=st.tuples(st.integers(0, 80), st.integers(0, 100)),
    extent=st.tuples(st.integers(1, 90), st.integers(1, 110)),
    seed=st.tuples(st.integers(0, 89), st.integers(0, 109)),
    spacing=spacings,
)
def test_the_seed_stays_inside_the_region(corner, extent, seed, spacing):
    mask = np.zeros((90, 110), dtype=bool)
    mask[corner[0] : corner[0] + extent[0], corner[1] : corner[1] + extent[1]] = True
    region = refine(Region((10.0, 10.0), 30.0, 64), mask, seed, spacing)
    cell = to_grid(np.array([seed]), region, spacing)[0]
    assert (cell >= 0).all()
    assert (cell <= 63).all()


@pytest.mark.parametrize("pixels", [24, 64, 128, 512])
def test_sampling_a_512_slice_takes_less_than_3_ms(pixels):
    image = np.random.default_rng(0).random((512, 512), dtype=np.float32)
    cells = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    region, spacing = Region((250.3, 260.7), pixels * 0.7, 64), (0.7, 0.7)

    def best_of(work) -> float:
        times = []
        for _ in range(20):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    assert best_of(lambda: sample(image, spacing, region)) < 0.003
    assert best_of(lambda: unsample(cells, region, (512, 512), spacing, -9.0)) < 0.003


def test_repeated_sampling_gives_the_same_bits(an_image):
    region = Region((40.3, 50.7), 137.0, 64)
    first = sample(an_image, (0.7, 0.9), region)
    for _ in range(5):
        assert (sample(an_image.copy(), (0.7, 0.9), region) == first).all()
