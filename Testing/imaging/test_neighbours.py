"""The slices around a slice: cut, windowed, turned and cropped as the slice itself."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging.geometry import SlicePlane
from SPASegmentLib.imaging.slicing import cut_slice
from SPASegmentLib.imaging.types import IntensityWindow, SliceImage, Volume
from SPASegmentLib.imaging.view_slices import slice_as_viewed
from SPASegmentLib.imaging.window import make_slice
from SPASegmentLib.mrml.target import trimmed
from SPASegmentLib.mrml.work import light, whole

WINDOW = (-50.0, 1000.0)
ORIENTATIONS = ("axial", "sagittal", "coronal")


@pytest.fixture
def a_volume() -> Volume:
    """(6, 40, 50) of values that tell every voxel, in rotated and anisotropic voxels."""
    array = np.random.default_rng(0).integers(0, 900, (6, 40, 50)).astype(np.int16)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([0.7, 0.9, 2.5])
    return Volume(array, matrix, "MR")


def opened(volume: Volume, k: int, orientation: str = "axial") -> SliceImage:
    at = (25, 20, k) if orientation == "axial" else (10 + k, 10 + k, 3)
    return cut_slice(
        volume, seed_ras=None, seed_ijk=at, orientation=orientation, window=WINDOW, model_window=None
    ).image


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_neighbours_are_the_slices_before_and_after_as_they_are_shown_themselves(a_volume, orientation):
    image = opened(a_volume, 2, orientation)
    around = [opened(a_volume, k, orientation).pixels for k in (0, 1, 3, 4)]
    assert len(image.neighbours) == 4
    for neighbour, slice_itself in zip(image.neighbours, around, strict=True):
        np.testing.assert_array_equal(neighbour, slice_itself)


def test_beyond_the_volume_there_is_no_neighbour(a_volume):
    first, last = opened(a_volume, 0).neighbours, opened(a_volume, 5).neighbours
    assert [one is None for one in first] == [True, True, False, False]
    assert [one is None for one in last] == [False, False, True, True]
    assert opened(Volume(a_volume.array[:1], a_volume.ijk_to_ras), 0).neighbours == ()


def test_neighbours_are_shown_in_the_window_of_the_slice_itself():
    array = np.stack([np.full((20, 20), 300.0), np.arange(400.0).reshape(20, 20), np.full((20, 20), 100.0)])
    volume = Volume(array, np.eye(4))
    image = make_slice(volume, SlicePlane.of_voxels(volume, 0, 1), IntensityWindow(100, 300))
    assert (image.neighbours[1] == 1).all()
    assert (image.neighbours[2] == 0).all()


def test_a_neighbour_without_a_finite_value_is_left_out():
    array = np.random.default_rng(0).random((3, 20, 20))
    array[0], array[2, 3, 3] = np.nan, np.inf
    volume = Volume(array, np.eye(4))
    image = make_slice(volume, SlicePlane.of_voxels(volume, 0, 1))
    assert image.neighbours[1] is None
    assert np.isfinite(image.neighbours[2]).all()
    assert image.warnings == ()


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_a_view_shows_neighbours_as_the_slices_it_scrolls_to(tilt):
    array = np.random.default_rng(0).integers(0, 900, (30, 40, 50)).astype(np.int16)
    volume = Volume(array, np.diag([-0.7, -0.7, 2.0, 1.0]), "MR")
    view_axes = np.eye(4)
    view_axes[1:3, 1:3] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    view_axes[:3, 3] = (-17, -14, 29)
    view = slice_as_viewed(volume, "v", view_axes, np.eye(4), window=WINDOW)
    further = view.moved(1).to_world(0, 0) - view.to_world(0, 0)
    ahead = 1 if view.plane.pixel_to_ras[:3, 2] @ further > 0 else -1
    for place, steps in zip((1, 2), (-ahead, ahead), strict=True):
        there = view.moved(steps)
        at = np.round(there.to_pixel(view.to_world(10, 10))).astype(int) - 10
        rows, cols = slice(12, 25), slice(12, 35)
        moved = there.image.pixels[12 + at[0] : 25 + at[0], 12 + at[1] : 35 + at[1]]
        np.testing.assert_allclose(view.image.neighbours[place][rows, cols], moved, atol=1e-3 if tilt else 0)


def test_the_key_that_profiles_remember_a_slice_by_does_not_depend_on_its_neighbours(a_volume):
    image = opened(a_volume, 2)
    alone = SliceImage(image.pixels, image.spacing)
    assert image.key == alone.key
    assert image.key_with_neighbours != alone.key_with_neighbours
    changed = SliceImage(image.pixels, image.spacing, neighbours=(*image.neighbours[:3], None))
    assert changed.key_with_neighbours != image.key_with_neighbours


def test_neighbours_cannot_be_changed(a_volume):
    around = np.zeros((6, 8), np.float32)
    image = SliceImage(np.ones((6, 8)), neighbours=(around, None))
    around[:] = 5
    assert not image.neighbours[0].any()
    with pytest.raises(ValueError, match="read-only"):
        image.neighbours[0][0, 0] = 1


def test_a_trimmed_slice_has_trimmed_neighbours_and_a_light_one_none_until_it_is_whole_again(a_volume):
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]
    volume = Volume(a_volume.array, np.diag([0.7, 0.9, 2.5, 1.0]), "MR")
    tilt[:3, 3] = (17, 18, 6)
    view = slice_as_viewed(volume, "v", tilt, np.eye(4), window=WINDOW)
    used = np.zeros(view.shape, bool)
    used[10:14, 12:20] = True
    small, box = trimmed(view, used)
    for whole_one, part in zip(view.image.neighbours, small.image.neighbours, strict=True):
        assert part is None if whole_one is None else np.array_equal(whole_one[box], part)
    assert any(part is not None for part in small.image.neighbours)
    flat = slice_as_viewed(volume, "v", np.eye(4), np.eye(4), at_ras=(17, 18, 5), window=WINDOW)
    assert light(flat).image.neighbours == ()
    assert whole(light(flat)).image.key_with_neighbours == flat.image.key_with_neighbours
