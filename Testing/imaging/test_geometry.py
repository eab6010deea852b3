"""Slices are cut from and put back to exactly where they belong, however the volume lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging.geometry import (
    SlicePlane,
    display_steps,
    extract_slice,
    ijk_to_ras,
    paste_mask,
    paste_slab,
    pixel_to_ras,
    ras_to_ijk,
    ras_to_pixel,
    seed_voxel,
    to_display,
)
from SPASegmentLib.imaging.types import Volume

ORIENTATIONS = {"axial": 2, "sagittal": 0, "coronal": 1}
angles = st.floats(-180, 180)
steps = st.floats(0.2, 6)


def corners(volume: Volume) -> np.ndarray:
    """(8, 3) RAS of the volume's outer corners."""
    ends = [(-0.5, size - 0.5) for size in volume.shape[::-1]]
    return ijk_to_ras(volume, np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))


def spanning(
    volume: Volume,
    seed_ras: Sequence[float],
    col_direction: Sequence[float],
    row_direction: Sequence[float],
    spacing: float | None = None,
) -> SlicePlane:
    """The oblique plane through a seed (RAS, mm) that spans the whole volume.

    col_direction, row_direction: RAS directions along which columns and rows count up; the second is made
    perpendicular to the first. spacing: mm per pixel, by default the volume's finest.
    """
    seed = np.asarray(seed_ras, dtype=np.float64)
    step = spacing or float(np.linalg.norm(volume.ijk_to_ras[:3, :3], axis=0).min())
    col = np.asarray(col_direction, dtype=np.float64)
    col = col / max(float(np.linalg.norm(col)), 1e-12)
    row = np.asarray(row_direction, dtype=np.float64)
    row = row - (row @ col) * col
    row = row / np.linalg.norm(row)
    offsets = corners(volume) - seed
    first = [np.floor((offsets @ d).min() / step + 0.5) for d in (col, row)]
    last = [np.ceil((offsets @ d).max() / step - 0.5) for d in (col, row)]
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = col * step, row * step
    matrix[:3, 3] = seed + col * step * first[0] + row * step * first[1]
    return SlicePlane.oblique(matrix, (int(last[1] - first[1]) + 1, int(last[0] - first[0]) + 1))


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    """Small volumes of distinct values, arbitrarily rotated, scaled, flipped and placed."""
    shape = tuple(draw(st.integers(2, 9)) for _ in range(3))
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", [draw(angles) for _ in range(3)], degrees=True).as_matrix()
    flips = [draw(st.sampled_from((-1, 1))) for _ in range(3)]
    matrix[:3, :3] = turn * np.array([draw(steps) for _ in range(3)]) * np.array(flips)
    matrix[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return Volume(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), matrix)


def centre_of(volume: Volume) -> np.ndarray:
    return ijk_to_ras(volume, (np.array(volume.shape[::-1]) - 1) / 2)


def slice_of(volume: Volume, axis: int, index: int) -> np.ndarray:
    return volume.array.take(index, axis=axis)


@settings(max_examples=60, deadline=None)
@given(volume=volumes(), data=st.data())
def test_points_come_back_from_voxels_and_pixels_to_better_than_a_nanometre(volume, data):
    ijk = np.array([data.draw(st.floats(0, n - 1)) for n in volume.shape[::-1]])
    np.testing.assert_allclose(ras_to_ijk(volume, ijk_to_ras(volume, ijk)), ijk, atol=1e-9)
    seed = np.floor(ijk)
    for orientation in ORIENTATIONS:
        plane = SlicePlane.through(volume, orientation, seed_ijk=seed)
        row, col = ras_to_pixel(plane, ijk_to_ras(volume, seed))
        assert row == pytest.approx(round(row), abs=1e-9)
        assert col == pytest.approx(round(col), abs=1e-9)
        value = extract_slice(volume, plane)[round(row), round(col)]
        i, j, k = seed.astype(int)
        assert value == volume.array[k, j, i]
        np.testing.assert_allclose(pixel_to_ras(plane, row, col), ijk_to_ras(volume, seed), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(volume=volumes(), orientation=st.sampled_from(list(ORIENTATIONS)), data=st.data())
def test_a_mask_on_a_voxel_plane_comes_back_bit_for_bit(volume, orientation, data):
    k, j, i = (data.draw(st.integers(0, n - 1)) for n in volume.shape)
    plane = SlicePlane.through(volume, orientation, seed_ijk=(i, j, k))
    np.testing.assert_array_equal(extract_slice(volume, plane), slice_of(volume, plane.axis, plane.index))
    mask = np.random.default_rng(k).random(plane.shape) > 0.5
    pasted = paste_mask(mask, plane, volume)
    np.testing.assert_array_equal(extract_slice(Volume(pasted, volume.ijk_to_ras), plane), mask)
    assert pasted.sum() == mask.sum()  # nothing outside the slice


@settings(max_examples=40, deadline=None)
@given(volume=volumes(), orientation=st.sampled_from(list(ORIENTATIONS)), data=st.data())
def test_a_voxel_plane_given_as_an_oblique_one_pastes_to_the_same_voxels(volume, orientation, data):
    k, j, i = (data.draw(st.integers(0, n - 1)) for n in volume.shape)
    plane = SlicePlane.through(volume, orientation, seed_ijk=(i, j, k))
    same = SlicePlane.oblique(plane.pixel_to_ras, plane.shape)
    assert same.axis is None
    assert same.spacing == pytest.approx(plane.spacing, rel=1e-12)
    mask = np.random.default_rng(k).random(plane.shape) > 0.5
    np.testing.assert_array_equal(paste_mask(mask, same, volume), paste_mask(mask, plane, volume))
    np.testing.assert_allclose(extract_slice(volume, same), extract_slice(volume, plane), atol=1e-3)


def test_orientations_follow_the_patient_not_the_array(a_volume):
    steps_to = a_volume.ijk_to_ras[:3, 2::-1]
    cosines = np.abs(steps_to / np.linalg.norm(steps_to, axis=0))
    clear = len(set(cosines.argmax(axis=1))) == 3  # no voxel axis is the closest to two of R, A, S
    used = set()
    for orientation, world in ORIENTATIONS.items():
        plane = SlicePlane.through(a_volume, orientation, seed_ras=centre_of(a_volume))
        used.add(plane.axis)
        assert np.abs(plane.normal[world]) == pytest.approx(cosines[world, plane.axis])
        if clear:
            assert plane.axis == cosines[world].argmax()
    assert used == {0, 1, 2}


def test_a_volume_turned_by_45_degrees_still_has_three_different_orientations(make_volume):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (45, 45, 45), degrees=True).as_matrix()
    volume = make_volume(matrix)
    planes = [SlicePlane.through(volume, o, seed_ras=centre_of(volume)) for o in ORIENTATIONS]
    assert {plane.axis for plane in planes} == {0, 1, 2}


def test_spacing_is_in_rows_and_columns(make_volume):
    volume = make_volume(np.diag([0.7, 0.8, 2.5, 1]))
    for orientation, spacing in {
        "axial": (0.8, 0.7),
        "coronal": (2.5, 0.7),
        "sagittal": (2.5, 0.8),
    }.items():
        plane = SlicePlane.through(volume, orientation, seed_ijk=(3, 4, 5))
        assert plane.spacing == pytest.approx(spacing)
    assert plane.shape == (7, 11)


def test_a_seed_in_ras_and_the_same_in_voxels_give_the_same_plane(a_volume):
    for orientation in ORIENTATIONS:
        one = SlicePlane.through(a_volume, orientation, seed_ijk=(4, 3, 2))
        two = SlicePlane.through(a_volume, orientation, seed_ras=ijk_to_ras(a_volume, (4.3, 2.8, 2.2)))
        assert (one.axis, one.index) == (two.axis, two.index)


@pytest.mark.parametrize("ijk", [(-0.6, 1, 1), (12.6, 1, 1), (1, 10.6, 1), (1, 1, 6.6), (1e9, 1, 1)])
def test_a_seed_outside_the_volume_is_refused(a_volume, ijk):
    with pytest.raises(SeedError, match="outside the volume of 13 x 11 x 7 voxels"):
        SlicePlane.through(a_volume, "axial", seed_ijk=ijk)
    with pytest.raises(SeedError, match=r"seed RAS \(.*\) lies outside"):
        SlicePlane.through(a_volume, "axial", seed_ras=ijk_to_ras(a_volume, ijk))


def test_a_seed_in_the_outer_half_of_a_border_voxel_is_inside(a_volume):
    assert seed_voxel(a_volume, seed_ijk=(-0.5, 10.4, 6.4)) == (6, 10, 0)


@pytest.mark.parametrize("seed", [(1, 2), (1, 2, float("nan")), (1, 2, float("inf"))])
def test_a_seed_that_is_no_point_is_refused(make_volume, seed):
    with pytest.raises(SeedError, match="three finite coordinates"):
        SlicePlane.through(make_volume(), "axial", seed_ras=seed)


def test_no_seed_two_seeds_and_unknown_orientations_are_refused(make_volume):
    with pytest.raises(SeedError, match="either in RAS or in IJK"):
        SlicePlane.through(make_volume(), "axial")
    with pytest.raises(SeedError, match="either in RAS or in IJK"):
        SlicePlane.through(make_volume(), "axial", seed_ras=(0, 0, 0), seed_ijk=(0, 0, 0))
    with pytest.raises(InputError, match="choose axial, sagittal or coronal"):
        SlicePlane.through(make_volume(), "diagonal", seed_ijk=(0, 0, 0))
    with pytest.raises(InputError, match="no slice 7"):
        SlicePlane.of_voxels(make_volume(), 0, 7)


def tilted(volume: Volume, degrees: float = 12, **more) -> SlicePlane:
    """A plane through the centre, turned about the volume's own first axis."""
    turn = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    return spanning(volume, centre_of(volume), turn @ (1, 0, 0), turn @ (0, 1, 0), **more)


def test_an_oblique_plane_shows_a_linear_field_exactly(a_volume):
    k, j, i = np.indices(a_volume.shape)
    ras = ijk_to_ras(a_volume, np.stack([i, j, k], axis=-1))
    field = Volume(ras @ (0.5, -0.25, 0.125) + 3.0, a_volume.ijk_to_ras)
    plane = tilted(field)
    rows, cols = np.indices(plane.shape)
    points = np.stack([cols, rows, np.zeros_like(rows), np.ones_like(rows)], axis=-1) @ plane.pixel_to_ras.T
    ijk = ras_to_ijk(field, points[..., :3])
    inner = ((ijk >= 0) & (ijk <= np.array(field.shape[::-1]) - 1)).all(axis=-1)
    assert inner.sum() > 10
    expected = points[..., :3] @ (0.5, -0.25, 0.125) + 3.0
    np.testing.assert_allclose(extract_slice(field, plane)[inner], expected[inner], atol=1e-4)


def test_outside_the_volume_an_oblique_slice_shows_its_smallest_value(make_volume):
    volume = make_volume()
    plane = tilted(volume, 45)
    pixels = extract_slice(volume, plane)
    corner = ras_to_ijk(volume, pixel_to_ras(plane, 0, 0))
    assert ((corner < -0.5) | (corner > np.array(volume.shape[::-1]) - 0.5)).any()
    assert pixels[0, 0] == volume.array.min()


def test_a_colour_volume_is_cut_channel_by_channel(make_volume):
    grey = make_volume()
    colour = Volume(np.stack([grey.array, grey.array * 2, grey.array + 5], axis=-1), grey.ijk_to_ras)
    plane = tilted(grey)
    pixels = extract_slice(colour, plane)
    assert pixels.shape == (*plane.shape, 3)
    np.testing.assert_allclose(pixels[..., 0], extract_slice(grey, plane), atol=1e-3)
    voxel_plane = SlicePlane.through(colour, "axial", seed_ijk=(1, 2, 3))
    np.testing.assert_array_equal(extract_slice(colour, voxel_plane), colour.array[3])


def brute_force(mask: np.ndarray, plane: SlicePlane, volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Ask every voxel of the volume: owned and set, as `paste_slab` documents it."""
    k, j, i = np.indices(volume.shape)
    ras = ijk_to_ras(volume, np.stack([i, j, k], axis=-1))
    thickness = np.abs(plane.normal @ volume.ijk_to_ras[:3, :3]).sum()
    share = np.round((ras - plane.pixel_to_ras[:3, 3]) @ plane.normal / (thickness / 2), 6)
    along = plane.normal @ volume.ijk_to_ras[:3, 2::-1]
    share *= np.sign(along[np.abs(along).argmax()])  # of two layers equally near, the one of higher index
    pixel = np.floor(np.round(ras_to_pixel(plane, ras), 6) + 0.5).astype(int)
    owned = (share > -1) & (share <= 1) & ((pixel >= 0) & (pixel < plane.shape)).all(axis=-1)
    inside = np.clip(pixel, 0, np.array(plane.shape) - 1)
    return owned, owned & mask[inside[..., 0], inside[..., 1]]


@settings(max_examples=80, deadline=None)
@given(volume=volumes(), turn=st.tuples(angles, angles, angles), pixel=st.floats(0.3, 3))
def test_an_oblique_mask_reaches_exactly_the_voxels_the_plane_passes_through(volume, turn, pixel):
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    plane = spanning(volume, centre_of(volume), axes[0], axes[1], spacing=pixel)
    mask = np.random.default_rng(1).random(plane.shape) > 0.4
    slab = paste_slab(mask, plane, volume)
    owned = np.zeros(volume.shape, dtype=bool)
    owned[slab.slices] = slab.owned
    expected_owned, expected = brute_force(mask, plane, volume)
    np.testing.assert_array_equal(owned, expected_owned)
    np.testing.assert_array_equal(paste_mask(mask, plane, volume), expected)


@settings(max_examples=40, deadline=None)
@given(volume=volumes(), turn=st.tuples(angles, angles, angles))
def test_an_oblique_mask_shown_on_its_own_plane_has_no_holes(volume, turn):
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    plane = spanning(volume, centre_of(volume), axes[0], axes[1])
    pasted = paste_mask(np.ones(plane.shape, dtype=bool), plane, volume)
    rows, cols = np.indices(plane.shape)
    points = np.stack([cols, rows, np.zeros_like(rows), np.ones_like(rows)], axis=-1) @ plane.pixel_to_ras.T
    ijk = ras_to_ijk(volume, points[..., :3])
    nearest = np.floor(ijk + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < volume.shape[::-1])).all(axis=-1)
    inside &= (np.abs(ijk + 0.5 - np.round(ijk + 0.5)) > 1e-4).all(
        axis=-1
    )  # not on a face between two voxels
    i, j, k = nearest[inside].T
    assert pasted[k, j, i].all()


def test_a_plane_midway_between_two_layers_fills_only_one(a_volume):
    plane = SlicePlane.of_voxels(a_volume, 0, 3)
    matrix = plane.pixel_to_ras.copy()
    matrix[:3, 3] += a_volume.ijk_to_ras[:3, 2] / 2
    between = SlicePlane.oblique(matrix, plane.shape)
    pasted = paste_mask(np.ones(plane.shape, dtype=bool), between, a_volume)
    assert pasted[4].all()
    assert pasted.sum() == np.prod(plane.shape)
    middle = pixel_to_ras(between, plane.shape[0] // 2, plane.shape[1] // 2)
    assert pasted[seed_voxel(a_volume, seed_ras=middle)]


def test_a_slab_is_a_box_that_leaves_other_voxels_alone(a_volume):
    plane = tilted(a_volume)
    mask = np.zeros(plane.shape, dtype=bool)
    row, col = (n // 2 for n in plane.shape)
    mask[row - 1 : row + 2, col - 1 : col + 2] = True
    whole, cropped = paste_slab(mask, plane, a_volume), paste_slab(mask, plane, a_volume, crop=True)
    expected = paste_mask(mask, plane, a_volume)
    assert expected.any()
    for slab in (whole, cropped):
        kept = np.zeros(a_volume.shape, dtype=bool)
        kept[slab.slices] = slab.mask
        np.testing.assert_array_equal(kept, expected)
        assert not (slab.mask & ~slab.owned).any()
        i0, i1, j0, j1, k0, k1 = slab.extent
        assert (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1) == slab.mask.shape
    assert cropped.mask.size < whole.mask.size
    assert cropped.mask.any(axis=(1, 2))[[0, -1]].all()


def test_the_slab_of_a_voxel_plane_is_that_plane(a_volume):
    plane = SlicePlane.of_voxels(a_volume, 1, 4)
    mask = np.zeros(plane.shape, dtype=bool)
    mask[2, 3] = True
    slab = paste_slab(mask, plane, a_volume)
    assert slab.extent == (0, 12, 4, 4, 0, 6)
    assert slab.owned.all()
    assert paste_slab(mask, plane, a_volume, crop=True).extent == (3, 3, 4, 4, 2, 2)


def test_an_empty_mask_has_a_slab_too(a_volume):
    plane = SlicePlane.of_voxels(a_volume, 0, 4)
    slab = paste_slab(np.zeros(plane.shape, bool), plane, a_volume, crop=True)
    assert slab.mask.shape == (1, 1, 1)
    assert not slab.mask.any()


def test_masks_of_another_shape_and_planes_off_the_volume_are_refused(make_volume):
    volume = make_volume()
    plane = tilted(volume)
    with pytest.raises(InputError, match="does not fit a slice"):
        paste_mask(np.zeros((2, 2), bool), plane, volume)
    matrix = plane.pixel_to_ras.copy()
    matrix[:3, 3] += 1000
    away = SlicePlane.oblique(matrix, plane.shape)
    with pytest.raises(InputError, match="does not meet the volume"):
        extract_slice(volume, away)
    with pytest.raises(InputError, match="does not meet the volume"):
        paste_mask(np.zeros(plane.shape, bool), away, volume)


def test_planes_that_are_no_rectangles_are_refused():
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    for matrix, shape, said in [
        (sheared, (5, 5), "sheared"),
        (np.zeros((4, 4)), (5, 5), "no extent"),
        (np.full((4, 4), np.nan), (5, 5), "finite"),
        (np.eye(4), (0, 5), "no pixels"),
    ]:
        with pytest.raises(InputError, match=said):
            SlicePlane.oblique(matrix, shape)


def test_a_spanning_plane_reaches_every_corner_of_the_volume(a_volume):
    plane = tilted(a_volume, 30)
    size = np.array(a_volume.shape[::-1])
    corners = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in size], indexing="ij"), axis=-1).reshape(-1, 3)
    pixels = ras_to_pixel(plane, ijk_to_ras(a_volume, corners))
    assert (pixels >= -0.5 - 1e-9).all()
    assert (pixels <= np.array(plane.shape) - 0.5 + 1e-9).all()
    row, col = ras_to_pixel(plane, centre_of(a_volume))
    assert (row, col) == pytest.approx((round(row), round(col)), abs=1e-9)


def test_slices_are_shown_as_radiologists_expect_them(a_volume):
    """Values are RAS coordinates, so what must grow along the screen can be read off the picture."""
    k, j, i = np.indices(a_volume.shape)
    ras = ijk_to_ras(a_volume, np.stack([i, j, k], axis=-1))
    for orientation in ORIENTATIONS:
        plane = SlicePlane.through(a_volume, orientation, seed_ras=centre_of(a_volume))
        right, up = {2: (0, 1), 1: (0, 2), 0: (1, 2)}[int(np.abs(plane.normal).argmax())]
        shown = [
            to_display(extract_slice(Volume(ras[..., axis], a_volume.ijk_to_ras), plane), plane)
            for axis in (right, up)
        ]
        assert (np.diff(shown[0], axis=1) < 0).all()  # R (or A) decreases towards the viewer's right
        assert (np.diff(shown[1], axis=0) < 0).all()  # A (or S) decreases downwards


def test_a_picture_is_shown_as_it_is():
    volume = Volume(np.arange(12).reshape(1, 3, 4), np.diag([-1.0, -1.0, 1.0, 1.0]))
    plane = SlicePlane.through(volume, "axial", seed_ijk=(0, 0, 0))
    assert display_steps(plane) == (False, False, False)
    np.testing.assert_array_equal(to_display(volume.array[0], plane), volume.array[0])


def test_a_large_oblique_slab_is_quick(make_volume):
    import time

    volume = Volume(np.zeros((128, 512, 512), dtype=np.int16), np.diag([0.7, 0.7, 2.5, 1]))
    plane = tilted(volume)
    mask = np.zeros(plane.shape, dtype=bool)
    mask[200:230, 200:230] = True
    start = time.perf_counter()
    paste_slab(mask, plane, volume, crop=True)
    extract_slice(volume, plane)
    assert time.perf_counter() - start < 3
