"""Approved masks land in their slab of their segment, nothing else moves, and undo is exact."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")

from slicer_volumes import (  # noqa: E402
    add_transform,
    add_volume_node,
    all_voxels,
    blob,
    fill,
    matrix_of,
    rotation,
    small_volume,
    voxels_of,
    vtk_matrix,
)

from SPASegmentLib.errors import InputError, StepError  # noqa: E402
from SPASegmentLib.imaging.geometry import paste_mask  # noqa: E402
from SPASegmentLib.mrml.segments import (  # noqa: E402
    SegmentationUndo,
    SegmentWriter,
    add_segmentation,
    ensure_segment,
    ensure_segmentation,
)
from SPASegmentLib.mrml.slicing import cut_view  # noqa: E402
from SPASegmentLib.mrml.volumes import volume_of_node  # noqa: E402

ORIENTATIONS = ("Axial", "Sagittal", "Coronal", "oblique")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("flip", [(-1, -1, 1), (1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_mask_lands_on_the_voxels_under_it(slicer_app, view, orientation, flip, order):
    volume = small_volume(np.random.default_rng(4), (14, 26, 22), matrix_of(flip=flip, order=order))
    node = add_volume_node(slicer_app.scene, volume)
    segmentation = ensure_segmentation(slicer_app.scene, node, "s")
    segment = ensure_segment(segmentation, "one")
    cut = cut_view(node, view(node, orientation))
    mask = blob(cut.shape)
    SegmentWriter(segmentation, segment, node).write(mask, cut)
    voxels = voxels_of(segmentation, segment, volume)
    np.testing.assert_array_equal(voxels, paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume))
    # Independently of any of our geometry: each voxel set lies in the slice, under a pixel that is set.
    for k, j, i in np.argwhere(voxels):
        ras = volume.ijk_to_ras[:3] @ (i, j, k, 1)
        row, col = cut.to_pixel(ras)
        assert mask[int(np.floor(row + 0.5 + 1e-6)), int(np.floor(col + 0.5 + 1e-6))]
        off = abs(cut.plane.normal @ (ras - cut.plane.pixel_to_ras[:3, 3]))
        assert off <= cut.step_mm / 2 + 1e-6
    if orientation == "oblique":
        assert cut.plane.axis is None and all(np.ptp(found) >= 1 for found in np.nonzero(voxels))
    else:
        assert voxels.sum() == mask.sum()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_was_written_is_read_back_on_the_slice(view, a_volume_node, segmentation, orientation):
    cut = cut_view(a_volume_node, view(a_volume_node, orientation))
    writer = SegmentWriter(segmentation, ensure_segment(segmentation, "one"), a_volume_node)
    assert not writer.slab_mask(cut).any()
    mask = blob(cut.shape)
    writer.write(mask, cut)
    found = writer.slab_mask(cut)
    if orientation != "oblique":
        np.testing.assert_array_equal(found, mask)
        assert not writer.slab_mask(cut.moved(1)).any()
    else:  # voxels are larger than the pixels: edges move by up to a voxel, the inside has no hole
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.85


def test_a_transform_between_volume_and_segmentation_is_honoured(slicer_app, view, a_volume_node):
    volume = volume_of_node(a_volume_node)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(40, (1, 0.1, -2)), (30, -12, 5)
    a_volume_node.SetAndObserveTransformNodeID(add_transform(slicer_app.scene, matrix).GetID())
    cut = cut_view(a_volume_node, view(a_volume_node, "Coronal"))
    mask = blob(cut.shape)
    expected = paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume)
    moved = ensure_segmentation(slicer_app.scene, a_volume_node, "moves along")
    segment = ensure_segment(moved, "one")
    SegmentWriter(moved, segment, a_volume_node).write(mask, cut)
    np.testing.assert_array_equal(voxels_of(moved, segment, volume), expected)
    still = slicer_app.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "in the world")
    segment = ensure_segment(still, "one")
    SegmentWriter(still, segment, a_volume_node).write(mask, cut)
    image = still.GetBinaryLabelmapInternalRepresentation(segment)
    found = slicer.vtkOrientedImageData()
    found.DeepCopy(image)
    made = vtk_matrix(np.eye(4))
    image.GetImageToWorldMatrix(made)
    stated = np.array([[made.GetElement(r, c) for c in range(4)] for r in range(4)])
    np.testing.assert_allclose(stated, matrix @ volume.ijk_to_ras, atol=1e-9)


@pytest.mark.parametrize("edited", [0, 1, 2])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_other_slices_and_other_segments_stay(view, a_volume_node, segmentation, orientation, edited):
    volume = volume_of_node(a_volume_node)
    random = np.random.default_rng(5)
    labels = random.integers(0, 4, volume.shape)
    ids = [ensure_segment(segmentation, name) for name in ("a", "b", "c")]
    for n, segment in enumerate(ids, start=1):
        fill(segmentation, segment, labels == n, a_volume_node)
    segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    before = all_voxels(segmentation, volume)
    cut = cut_view(a_volume_node, view(a_volume_node, orientation))
    mask = blob(cut.shape)
    change = SegmentWriter(segmentation, ids[edited], a_volume_node).write(mask, cut)
    after = all_voxels(segmentation, volume)
    owned = paste_mask(np.ones_like(cut.in_plane_order(mask)), cut.voxel_plane, volume)
    expected = paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume)
    own = ids.pop(edited)
    np.testing.assert_array_equal(after[own], np.where(owned, expected, before[own]))
    for other in ids:
        np.testing.assert_array_equal(after[other], before[other])
    change.undo()
    for name, voxels in all_voxels(segmentation, volume).items():
        np.testing.assert_array_equal(voxels, before[name])
    change.redo()
    for name, voxels in all_voxels(segmentation, volume).items():
        np.testing.assert_array_equal(voxels, after[name])


def test_segments_that_overlap_stay_apart(view, a_volume_node, segmentation):
    volume = volume_of_node(a_volume_node)
    cut = cut_view(a_volume_node, view(a_volume_node))
    masks = {name: blob(cut.shape, (0.5, 0.3 + 0.1 * n)) for n, name in enumerate("abcd")}
    for name, mask in masks.items():
        SegmentWriter(segmentation, ensure_segment(segmentation, name), a_volume_node).write(mask, cut)
    for name, mask in masks.items():
        voxels = voxels_of(segmentation, ensure_segment(segmentation, name), volume)
        np.testing.assert_array_equal(voxels, paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume))


def test_a_second_object_on_the_slice_can_be_kept(view, a_volume_node, segmentation):
    cut = cut_view(a_volume_node, view(a_volume_node))
    one, two = blob(cut.shape, (0.3, 0.3), 0.1), blob(cut.shape, (0.7, 0.7), 0.1)
    writer = SegmentWriter(segmentation, ensure_segment(segmentation, "a"), a_volume_node)
    writer.write(one, cut)
    writer.write(two, cut, keep_apart=True)
    np.testing.assert_array_equal(writer.slab_mask(cut), one | two)
    smaller = blob(cut.shape, (0.7, 0.7), 0.08)
    writer.write(smaller, cut, keep_apart=True)
    np.testing.assert_array_equal(writer.slab_mask(cut), one | smaller)
    writer.write(smaller, cut)
    np.testing.assert_array_equal(writer.slab_mask(cut), smaller)


def test_an_object_kept_on_an_oblique_slice_is_not_changed_by_a_voxel(view, a_volume_node, segmentation):
    volume = volume_of_node(a_volume_node)
    cut = cut_view(a_volume_node, view(a_volume_node, "oblique"))
    segment = ensure_segment(segmentation, "a")
    writer = SegmentWriter(segmentation, segment, a_volume_node)
    one, two = blob(cut.shape, (0.35, 0.35), 0.1), blob(cut.shape, (0.65, 0.65), 0.1)
    writer.write(one, cut)
    first = voxels_of(segmentation, segment, volume)
    # One voxel of it is missing: writing its pixels again would bring it back.
    k, j, i = np.argwhere(first)[len(np.argwhere(first)) // 2]
    first[k, j, i] = False
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        first.astype(np.uint8), segmentation, segment, a_volume_node
    )
    writer.write(two, cut, keep_apart=True)
    after = voxels_of(segmentation, segment, volume)
    assert (after & ~first).any() and (after & first).sum() == first.sum()
    np.testing.assert_array_equal(after & ~paste_mask(two, cut.voxel_plane, volume), first)


def test_undo_of_a_first_mask_leaves_an_empty_segment(view, a_volume_node, segmentation):
    volume = volume_of_node(a_volume_node)
    segment = ensure_segment(segmentation, "a")
    cut = cut_view(a_volume_node, view(a_volume_node))
    change = SegmentWriter(segmentation, segment, a_volume_node).write(blob(cut.shape), cut)
    after = voxels_of(segmentation, segment, volume)
    assert after.any()
    change.undo()
    assert not voxels_of(segmentation, segment, volume).any()
    change.undo()
    change.redo()
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), after)


def test_a_chain_of_writes_is_undone_in_turn(view, a_volume_node, segmentation):
    volume = volume_of_node(a_volume_node)
    segment = ensure_segment(segmentation, "a")
    writer = SegmentWriter(segmentation, segment, a_volume_node)
    random = np.random.default_rng(6)
    states, changes = [voxels_of(segmentation, segment, volume)], []
    for orientation in ("Axial", "Sagittal", "oblique", "Coronal", "Axial"):
        cut = cut_view(a_volume_node, view(a_volume_node, orientation))
        changes.append(writer.write(random.random(cut.shape) < 0.3, cut))
        states.append(voxels_of(segmentation, segment, volume))
    for change, state in zip(changes[::-1], states[-2::-1], strict=True):
        change.undo()
        np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), state)
    for change, state in zip(changes, states[1:], strict=True):
        change.redo()
        np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), state)


def test_a_slab_outside_the_segments_extent_is_written_and_undone(view, a_volume_node, segmentation):
    volume = volume_of_node(a_volume_node)
    segment = ensure_segment(segmentation, "a")
    first = np.zeros(volume.shape, bool)
    first[2:4, 5:9, 5:9] = True
    fill(segmentation, segment, first, a_volume_node)
    cut = cut_view(a_volume_node, view(a_volume_node)).moved(6)
    mask = np.zeros(cut.shape, bool)
    mask[-1, -1] = mask[0, 0] = True
    change = SegmentWriter(segmentation, segment, a_volume_node).write(mask, cut)
    expected = first | paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume)
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), expected)
    change.undo()
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), first)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.3])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_segmentation_on_another_grid_gets_the_mask_where_it_lies(
    slicer_app, view, a_volume_node, scale, orientation
):
    volume = volume_of_node(a_volume_node)
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, :3] = rotation(9, (0, 1, 1)) @ matrix[:3, :3] * scale
    shape = tuple(int(n / scale) + 6 for n in volume.shape)
    other = add_volume_node(slicer_app.scene, small_volume(np.random.default_rng(0), shape, matrix))
    segmentation = ensure_segmentation(slicer_app.scene, other, "elsewhere")
    segment = ensure_segment(segmentation, "a")
    cut = cut_view(a_volume_node, view(a_volume_node, orientation))
    mask = blob(cut.shape)
    before = np.random.default_rng(1).random(shape) < 0.2
    fill(segmentation, segment, before, other)
    change = SegmentWriter(segmentation, segment, a_volume_node).write(mask, cut)
    after = voxels_of(segmentation, segment, volume_of_node(other))
    thick = max(cut.step_mm, np.abs(cut.plane.normal @ matrix[:3, :3]).sum())
    k, j, i = np.indices(shape)
    ras = np.stack([i, j, k, np.ones(shape)], axis=-1) @ matrix.T
    at = np.floor(np.round(ras @ np.linalg.inv(cut.pixel_to_world).T, 6) + 0.5).astype(int)
    row, col = at[..., 1], at[..., 0]
    off = np.abs((ras[..., :3] - cut.plane.pixel_to_ras[:3, 3]) @ cut.plane.normal)
    owned = (off < thick / 2) & (row >= 0) & (row < mask.shape[0]) & (col >= 0) & (col < mask.shape[1])
    wanted = mask[row.clip(0, mask.shape[0] - 1), col.clip(0, mask.shape[1] - 1)]
    clear = np.abs(off - thick / 2) > 1e-4  # centres on the slab's very border may go either way
    wrong = ((after != np.where(owned, wanted, before)) & clear).sum()
    assert wrong == 0
    change.undo()
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume_of_node(other)), before)


def test_an_empty_segmentation_without_geometry_takes_the_volumes(slicer_app, view, a_volume_node):
    node = slicer_app.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segment = ensure_segment(node, "a")
    cut = cut_view(a_volume_node, view(a_volume_node))
    SegmentWriter(node, segment, a_volume_node).write(blob(cut.shape), cut)
    assert voxels_of(node, segment, volume_of_node(a_volume_node)).sum() == blob(cut.shape).sum()


# Undo elsewhere, surfaces, and what cannot be


@pytest.mark.parametrize("empty", [False, True])
def test_slicers_own_undo_takes_one_write_back_in_one_step(view, a_volume_node, segmentation, empty):
    volume = volume_of_node(a_volume_node)
    segment = ensure_segment(segmentation, "a")
    if not empty:
        fill(segmentation, segment, np.random.default_rng(0).random(volume.shape) < 0.3, a_volume_node)
    before = voxels_of(segmentation, segment, volume)
    history = SegmentationUndo(segmentation)
    cut = cut_view(a_volume_node, view(a_volume_node))
    writer = SegmentWriter(segmentation, segment, a_volume_node, before_change=history.save)
    writer.write(blob(cut.shape), cut)
    after = voxels_of(segmentation, segment, volume)
    writer.write(blob(cut.shape), cut)  # changes nothing: no step
    assert history.undo()
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), before)
    assert not history.undo()
    assert history.redo()
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), after)


def test_the_segment_editors_own_undo_takes_each_approval_back(
    slicer_app, view, a_volume_node, segmentation, editor
):
    volume = volume_of_node(a_volume_node)
    segment = ensure_segment(segmentation, "a")
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(slicer_app.scene)
    logic.SetSegmentEditorNode(editor)
    cut = cut_view(a_volume_node, view(a_volume_node))
    writer = SegmentWriter(segmentation, segment, a_volume_node, editor, before_change=logic.SaveStateForUndo)
    states = [voxels_of(segmentation, segment, volume)]
    changes = []
    for steps in range(3):
        changes.append(writer.write(blob(cut.shape), cut.moved(steps)))
        states.append(voxels_of(segmentation, segment, volume))
    for state in states[-2::-1]:
        logic.Undo()
        np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), state)
    assert not logic.CanUndo()
    logic.Redo()
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), states[1])
    changes[0].undo()  # ours, after theirs
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), states[0])


def surface_of(segmentation, segment):
    import vtk

    poly = vtk.vtkPolyData()
    assert segmentation.GetClosedSurfaceRepresentation(segment, poly)
    return poly


def test_a_surface_that_is_shown_follows_every_change(view, a_volume_node, segmentation):
    segment, other = ensure_segment(segmentation, "a"), ensure_segment(segmentation, "b")
    cut = cut_view(a_volume_node, view(a_volume_node))
    writer = SegmentWriter(segmentation, segment, a_volume_node)
    writer.write(blob(cut.shape), cut)
    SegmentWriter(segmentation, other, a_volume_node).write(blob(cut.shape, (0.3, 0.3), 0.1), cut)
    segmentation.CreateClosedSurfaceRepresentation()
    first, kept = surface_of(segmentation, segment), surface_of(segmentation, other).GetMTime()
    change = writer.write(blob(cut.shape), cut.moved(1))
    taller = surface_of(segmentation, segment)
    height = cut.plane.normal
    reach = [
        np.ptp(np.array([p.GetPoint(n) for n in range(p.GetNumberOfPoints())]) @ height)
        for p in (first, taller)
    ]
    assert reach[1] > reach[0] + 0.5 * cut.step_mm
    assert surface_of(segmentation, other).GetNumberOfPoints() > 0 and kept
    change.undo()
    assert surface_of(segmentation, segment).GetNumberOfPoints() == first.GetNumberOfPoints()


def test_without_a_surface_none_is_made(view, a_volume_node, segmentation):
    segment = ensure_segment(segmentation, "a")
    cut = cut_view(a_volume_node, view(a_volume_node))
    SegmentWriter(segmentation, segment, a_volume_node).write(blob(cut.shape), cut)
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    assert not segmentation.GetSegmentation().ContainsRepresentation(surface)


def test_undo_keeps_only_what_changed_and_what_came_later(view, a_volume_node, segmentation):
    volume = volume_of_node(a_volume_node)
    segment = ensure_segment(segmentation, "a")
    cut = cut_view(a_volume_node, view(a_volume_node))
    writer = SegmentWriter(segmentation, segment, a_volume_node)
    change = writer.write(blob(cut.shape), cut)
    assert change.voxels == blob(cut.shape).sum()
    assert change.nbytes < blob(cut.shape).size
    later = blob(cut.shape) | blob(cut.shape, (0.1, 0.1), 0.05)
    writer.write(later, cut)
    change.undo()
    left = paste_mask(cut.in_plane_order(later & ~blob(cut.shape)), cut.voxel_plane, volume)
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), left)


def test_what_is_gone_is_said_in_one_sentence(slicer_app, view, a_volume_node, segmentation):
    segment = ensure_segment(segmentation, "a")
    cut = cut_view(a_volume_node, view(a_volume_node))
    writer = SegmentWriter(segmentation, segment, a_volume_node)
    change = writer.write(blob(cut.shape), cut)
    with pytest.raises(InputError, match="does not fit"):
        writer.write(np.ones((3, 3), bool), cut)
    segmentation.GetSegmentation().RemoveSegment(segment)
    with pytest.raises(InputError, match="no segment"):
        writer.write(blob(cut.shape), cut)
    with pytest.raises(StepError, match="segment is gone"):
        change.undo()
    slicer_app.scene.RemoveNode(segmentation)
    with pytest.raises(InputError, match="no segmentation"):
        writer.slab_mask(cut)
    with pytest.raises(StepError, match="segmentation is gone"):
        change.undo()
    with pytest.raises(InputError, match="no segmentation"):
        SegmentWriter(None, "a", a_volume_node)


def test_a_segmentation_of_surfaces_is_refused(slicer_app, a_volume_node, segmentation, view):
    segment = ensure_segment(segmentation, "a")
    cut = cut_view(a_volume_node, view(a_volume_node))
    SegmentWriter(segmentation, segment, a_volume_node).write(blob(cut.shape), cut)
    segmentation.CreateClosedSurfaceRepresentation()
    segmentation.SetSourceRepresentationToClosedSurface()
    with pytest.raises(InputError, match="surfaces"):
        SegmentWriter(segmentation, segment, a_volume_node)


def test_a_volumes_segmentation_is_found_again_and_so_are_names_of_segments(
    slicer_app, a_volume_node, segmentation
):
    assert ensure_segmentation(slicer_app.scene, a_volume_node, "another name") is segmentation
    first = ensure_segment(segmentation, "nodule")
    assert ensure_segment(segmentation, "nodule") == first
    assert ensure_segment(segmentation, "other") != first


def test_new_segments_take_their_colours_in_one_order(slicer_app, a_volume_node):
    def colours(name: str) -> list[tuple[float, ...]]:
        node = add_segmentation(slicer_app.scene, a_volume_node, name)
        made = [node.GetSegmentation().GetSegment(ensure_segment(node, f"part {k}")) for k in range(5)]
        return [segment.GetColor() for segment in made]

    first = colours("once")
    assert first == colours("again") and first[4] == first[0]
    assert len({round(0.3 * r + 0.59 * g + 0.11 * b, 2) for r, g, b in first}) == 4  # lightness differs, too
