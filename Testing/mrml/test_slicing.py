"""What a view shows is what the engine gets, and every pixel knows where it lies."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")

from slicer_volumes import (  # noqa: E402
    add_transform,
    add_volume_node,
    matrix_of,
    rotation,
    small_volume,
    vtk_matrix,
)

from SPASegmentLib.errors import InputError, SeedError, StepError  # noqa: E402
from SPASegmentLib.imaging.geometry import ijk_to_ras  # noqa: E402
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds  # noqa: E402
from SPASegmentLib.imaging.slicing import cut_slice  # noqa: E402
from SPASegmentLib.mrml.slicing import cut_view  # noqa: E402
from SPASegmentLib.mrml.volumes import volume_of_node  # noqa: E402

ORIENTATIONS = ("Axial", "Sagittal", "Coronal")


@cache
def sample(rotated):
    """Made once: it takes a second."""
    return make_sample_volume(rotated=rotated)


def in_view_order(found, pixels):
    """Pixels in the rows and columns of the voxels -> as the view shows them."""
    transpose, flip_rows, flip_cols = found.turn
    pixels = pixels.swapaxes(0, 1) if transpose else pixels
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_cols else 1]


@pytest.fixture
def view(slicer_app):
    """Make a slice view; `follow` turns it to the voxel axes of the volume it shows, as Slicer does."""

    def make(volume_node, orientation="Axial", *, follow=True):
        node = slicer_app.add_slice_view(f"View{slicer_app.scene.GetNumberOfNodes()}", orientation)
        slicer_app.show_volume(volume_node, [node])
        if follow:
            slicer_app.applicationLogic().GetSliceLogic(node).RotateSliceToLowestVolumeAxes(True)
        return node

    return make


def tilt(node, degrees, axis=(1.0, 0.4, 0.2)):
    """Turn a view in space, about the world's origin."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees, axis)
    before = node.GetSliceToRAS()
    now = matrix @ np.array([[before.GetElement(r, c) for c in range(4)] for r in range(4)])
    before.DeepCopy(vtk_matrix(now))
    node.UpdateMatrices()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("windows", [(None, None), (None, (-1350.0, 150.0)), ((-200.0, 100.0), None)])
def test_the_cut_is_the_command_lines_to_the_last_bit(slicer_app, view, orientation, rotated, windows):
    volume = sample(rotated)
    node = add_volume_node(slicer_app.scene, volume)
    seed = sample_seeds(rotated=rotated)[0].ras
    expected = cut_slice(
        volume,
        seed_ras=seed,
        seed_ijk=None,
        orientation=orientation.lower(),
        window=windows[0],
        model_window=windows[1],
    )
    found = cut_view(node, view(node, orientation), at_ras=seed, window=windows[0], model_window=windows[1])
    assert found.image.pixels.tobytes() == expected.image.pixels.tobytes()
    assert found.image.key == expected.image.key
    assert found.image.modality == "CT"
    assert (found.plane.axis, found.plane.index) == (expected.plane.axis, expected.plane.index)
    assert found.to_pixel(seed) == pytest.approx((expected.seed.row, expected.seed.col), abs=1e-6)


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1), (1, -1, 1), (-1, -1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_pixel_is_the_voxel_at_its_place(slicer_app, view, flip, order, orientation):
    volume = small_volume(np.random.default_rng(1), (9, 12, 15), matrix_of(flip=flip, order=order))
    node = add_volume_node(slicer_app.scene, volume)
    found = cut_view(node, view(node, orientation))
    values = np.interp(volume.array.astype(float), *zip(*sorted(_window_of(found, volume)), strict=True))
    inverse = np.linalg.inv(volume.ijk_to_ras)
    for row, col in ((0, 0), (2, 5), (found.shape[0] - 1, found.shape[1] - 1)):
        ijk = inverse[:3] @ np.append(found.to_world(row, col), 1.0)
        np.testing.assert_allclose(ijk, np.rint(ijk), atol=1e-6)
        i, j, k = np.rint(ijk).astype(int)
        assert found.image.pixels[row, col] == pytest.approx(values[k, j, i], abs=1e-5)


def _window_of(found, volume):
    """(intensity, shown value) pairs of two pixels that are neither black nor white."""
    index = [slice(None)] * 3
    index[found.plane.axis] = found.plane.index
    flat = in_view_order(found, volume.array[tuple(index)]).astype(float)
    inner = (found.image.pixels > 0.02) & (found.image.pixels < 0.98)
    low, high = np.argmin(np.where(inner, flat, np.inf)), np.argmax(np.where(inner, flat, -np.inf))
    x0, x1 = flat.ravel()[[low, high]]
    y0, y1 = found.image.pixels.ravel()[[low, high]].astype(float)
    slope = (y1 - y0) / (x1 - x0)
    return [(x0 - y0 / slope, 0.0), (x0 + (1 - y0) / slope, 1.0)]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_rows_run_down_and_columns_right_as_in_the_view(slicer_app, view, a_volume_node, orientation):
    node = view(a_volume_node, orientation)
    found = cut_view(a_volume_node, node)
    to_view = np.linalg.inv([[node.GetSliceToRAS().GetElement(r, c) for c in range(4)] for r in range(4)])
    origin, right, below = (to_view @ np.append(found.to_world(*at), 1) for at in ((0, 0), (0, 1), (1, 0)))
    assert right[0] > origin[0] and right[1] == pytest.approx(origin[1], abs=1e-3)
    assert below[1] < origin[1] and below[0] == pytest.approx(origin[0], abs=1e-3)


def test_a_view_that_does_not_follow_a_rotated_volume_gets_its_own_plane(slicer_app, view, a_volume_node):
    node = view(a_volume_node, "Axial", follow=False)
    volume = volume_of_node(a_volume_node)
    seed = ijk_to_ras(volume, (18.0, 20.0, 12.0))
    found = cut_view(a_volume_node, node, at_ras=seed)
    assert found.plane.axis is None
    normal = found.pixel_to_world[:3, 2]
    np.testing.assert_allclose(np.abs(normal), [0, 0, 1], atol=1e-9)
    row, col = found.to_pixel(seed)
    np.testing.assert_allclose(found.to_world(row, col), seed, atol=1e-6)
    assert found.image.pixels[round(row), round(col)] > 0.8  # the ball
    # A linear ramp is resampled without an error: so every pixel lies where it says.
    k, j, i = np.meshgrid(*(np.arange(n) for n in volume.shape), indexing="ij")
    ras = ijk_to_ras(volume, np.stack([i, j, k], axis=-1))
    ramp = add_volume_node(
        slicer_app.scene, replace(volume, array=ras[..., 0] + 2 * ras[..., 1] - ras[..., 2])
    )
    cut = cut_view(ramp, node, at_ras=seed, window=(-400.0, 400.0))
    at = np.argwhere(np.ones(cut.shape, bool))
    world = np.array([cut.to_world(r, c) for r, c in at])
    ijk = (world - volume.ijk_to_ras[:3, 3]) @ np.linalg.inv(volume.ijk_to_ras[:3, :3]).T
    inside = ((ijk >= 0) & (ijk <= np.array(volume.shape[::-1]) - 1)).all(axis=1)
    assert inside.sum() > 500
    expected = (world @ [1, 2, -1] + 400) / 800
    np.testing.assert_allclose(cut.image.pixels.ravel()[inside], expected[inside], atol=1e-5)


def test_slices_of_one_oblique_plane_are_the_same_wherever_the_seed_lies(slicer_app, view, a_volume_node):
    node = view(a_volume_node)
    tilt(node, 25)
    centre = ijk_to_ras(volume_of_node(a_volume_node), (18.0, 20.0, 12.0))
    one = cut_view(a_volume_node, node, at_ras=centre)
    other = cut_view(a_volume_node, node, at_ras=one.to_world(*np.add(one.to_pixel(centre), (3.3, -4.6))))
    assert one.plane.axis is None
    assert one.key == other.key
    assert one.image.key == other.image.key


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_transforms_of_the_volume_are_honoured(slicer_app, view, a_volume_node, orientation):
    volume = volume_of_node(a_volume_node)
    before = cut_view(a_volume_node, view(a_volume_node, orientation))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(33, (0.2, 1, -0.4)), (12, -40, 7)
    outer = add_transform(slicer_app.scene, matrix)
    inner = add_transform(slicer_app.scene, matrix)
    inner.SetAndObserveTransformNodeID(outer.GetID())
    a_volume_node.SetAndObserveTransformNodeID(inner.GetID())
    whole = matrix @ matrix
    node = view(a_volume_node, orientation)
    seed = (whole @ np.append(ijk_to_ras(volume, (18, 20, 12)), 1))[:3]
    found = cut_view(a_volume_node, node, at_ras=seed)
    assert found.plane.axis is not None and found.plane.index == (12, 20, 18)[found.plane.axis]
    np.testing.assert_allclose(found.pixel_to_world, whole @ found.plane.pixel_to_ras, atol=1e-9)
    np.testing.assert_allclose(found.to_world(*found.to_pixel(seed)), seed, atol=1e-6)
    assert found.image.spacing in (before.image.spacing, before.image.spacing[::-1], found.plane.spacing)


def test_a_scaling_transform_changes_the_millimetres(slicer_app, view, a_volume_node):
    a_volume_node.SetAndObserveTransformNodeID(
        add_transform(slicer_app.scene, np.diag([2, 2, 2, 1.0])).GetID()
    )
    found = cut_view(a_volume_node, view(a_volume_node))
    assert found.plane.axis == 0
    assert found.image.spacing == pytest.approx((1.8, 1.4))
    assert found.step_mm == pytest.approx(6.0)


def test_colours_are_cut_too(slicer_app, view):
    volume = small_volume(np.random.default_rng(2), rgb=True)
    node = add_volume_node(slicer_app.scene, volume)
    found = cut_view(node, view(node))
    np.testing.assert_allclose(
        found.image.pixels, in_view_order(found, volume.array[found.plane.index]) / 255, atol=1e-6
    )


def test_a_transparency_channel_is_left_out_and_told(slicer_app, view):
    volume = small_volume(np.random.default_rng(2), rgb=True)
    four = np.concatenate([volume.array, np.full((*volume.shape, 1), 200, np.uint8)], axis=-1)
    node = add_volume_node(slicer_app.scene, replace(volume, array=four))
    found = cut_view(node, view(node))
    assert found.image.pixels.shape[-1] == 3
    assert any("transparency" in text for text in found.image.warnings)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("oblique", [False, True])
def test_the_next_slice_follows_the_views_own_direction(
    slicer_app, view, a_volume_node, orientation, oblique
):
    node = view(a_volume_node, orientation)
    if oblique:
        tilt(node, 20)
    normal = np.array([node.GetSliceToRAS().GetElement(r, 2) for r in range(3)])
    here = cut_view(a_volume_node, node)
    on = here.moved(2)
    along = normal @ (on.pixel_to_world[:3, 3] - here.pixel_to_world[:3, 3])
    assert along == pytest.approx(2 * here.step_mm, rel=1e-4)
    assert on.moved(-2).key == here.key
    assert on.moved(-2).image.key == here.image.key
    assert on.key != here.key
    with pytest.raises(StepError, match="last slice"):
        here.moved(-500)


def test_the_users_own_window_is_used_and_automatic_ones_are_not(slicer_app, view, a_volume_node):
    node = view(a_volume_node)
    display = a_volume_node.GetDisplayNode()
    automatic = cut_view(a_volume_node, node)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(-1000, 0)
    chosen = cut_view(a_volume_node, node)
    assert chosen.image.key == cut_view(a_volume_node, node, window=(-1000.0, 0.0)).image.key
    assert chosen.image.key != automatic.image.key
    model = cut_view(a_volume_node, node, model_window=(-1350.0, 150.0))
    assert model.image.key == cut_view(a_volume_node, node, window=(-1350.0, 150.0)).image.key


def test_changed_voxels_are_seen_and_unchanged_ones_not_read_again(slicer_app, view, a_volume_node):
    before = volume_of_node(a_volume_node)
    assert volume_of_node(a_volume_node) is before
    slicer.util.arrayFromVolume(a_volume_node)[:] += 5
    slicer.util.arrayFromVolumeModified(a_volume_node)
    assert volume_of_node(a_volume_node) is not before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_numbers_are_told(slicer_app, view, value):
    volume = small_volume(np.random.default_rng(3))
    array = volume.array.astype(np.float32)
    array[:, 3, 4] = value
    node = add_volume_node(slicer_app.scene, replace(volume, array=array))
    with np.errstate(invalid="ignore"):
        found = cut_view(node, view(node))
    assert np.isfinite(found.image.pixels).all()
    assert any("not finite" in text for text in found.image.warnings)


def bend(scene):
    node = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    import vtk

    spline = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for n, point in enumerate(((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50))):
        source.InsertNextPoint(point)
        target.InsertNextPoint(point[0] + n * n, point[1], point[2])
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node.SetAndObserveTransformToParent(spline)
    return node


def test_what_cannot_be_cut_is_said_in_one_sentence(slicer_app, view, a_volume_node):
    node = view(a_volume_node)
    with pytest.raises(SeedError, match="outside the volume"):
        cut_view(a_volume_node, node, at_ras=(900, 0, 0))
    with pytest.raises(InputError, match="no volume"):
        cut_view(None, node)
    with pytest.raises(InputError, match="no slice view"):
        cut_view(a_volume_node, None)
    with pytest.raises(InputError, match="has no voxels"):
        cut_view(slicer_app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"), node)
    node.SetSliceOffset(4000)
    with pytest.raises(InputError, match="scroll"):
        cut_view(a_volume_node, node)
    a_volume_node.SetAndObserveTransformNodeID(bend(slicer_app.scene).GetID())
    with pytest.raises(InputError, match="not linear"):
        cut_view(a_volume_node, node)


def test_a_sheared_volume_is_refused(slicer_app, view, a_volume_node):
    node = view(a_volume_node)
    matrix = matrix_of()
    matrix[:3, 0] += 0.3 * matrix[:3, 1]
    a_volume_node.SetIJKToRASMatrix(vtk_matrix(matrix))
    with pytest.raises(InputError, match="sheared"):
        cut_view(a_volume_node, node)


def test_a_volume_that_leaves_the_scene_is_forgotten(slicer_app, view, a_volume_node):
    from SPASegmentLib.mrml import volumes

    volume = volume_of_node(a_volume_node)
    slicer_app.scene.RemoveNode(a_volume_node)
    with pytest.raises(InputError, match="no volume"):
        volume_of_node(a_volume_node)
    assert all(one is not volume for _, one, _ in volumes._cache.values())
