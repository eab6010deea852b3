"""The Segment Editor's masking and overwrite settings hold for approved masks too."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")

from slicer_volumes import all_voxels, blob, fill, small_volume, voxels_of, vtk_matrix  # noqa: E402

from SPASegmentLib.imaging.geometry import paste_mask  # noqa: E402
from SPASegmentLib.mrml.segments import SegmentWriter, ensure_segment  # noqa: E402
from SPASegmentLib.mrml.slicing import cut_view  # noqa: E402
from SPASegmentLib.mrml.volumes import volume_of_node  # noqa: E402


def test_masking_to_an_intensity_range_is_honoured(view, a_volume_node, segmentation, editor):
    volume = volume_of_node(a_volume_node)
    segment = ensure_segment(segmentation, "a")
    editor.SetSourceVolumeIntensityMask(True)
    editor.SetSourceVolumeIntensityMaskRange(-300, 200)
    cut = cut_view(a_volume_node, view(a_volume_node))
    before = np.random.default_rng(2).random(volume.shape) < 0.5
    fill(segmentation, segment, before, a_volume_node)
    mask = blob(cut.shape)
    SegmentWriter(segmentation, segment, a_volume_node, editor).write(mask, cut)
    owned = paste_mask(np.ones_like(cut.in_plane_order(mask)), cut.voxel_plane, volume)
    wanted = paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume)
    allowed = owned & (volume.array >= -300) & (volume.array <= 200)
    np.testing.assert_array_equal(voxels_of(segmentation, segment, volume), np.where(allowed, wanted, before))


@pytest.mark.parametrize(
    ("mode", "allowed_of"),
    [
        ("EditAllowedEverywhere", lambda a, hidden: np.ones_like(a)),
        ("EditAllowedInsideAllSegments", lambda a, hidden: a | hidden),
        ("EditAllowedInsideVisibleSegments", lambda a, hidden: a),
        ("EditAllowedOutsideAllSegments", lambda a, hidden: ~(a | hidden)),
        ("EditAllowedOutsideVisibleSegments", lambda a, hidden: ~a),
        ("EditAllowedInsideSingleSegment", lambda a, hidden: hidden),
    ],
)
def test_masking_by_segments_is_honoured(view, a_volume_node, segmentation, editor, mode, allowed_of):
    volume = volume_of_node(a_volume_node)
    random = np.random.default_rng(3)
    a, hidden = (random.random(volume.shape) < 0.4 for _ in range(2))
    own, shown, dark = (ensure_segment(segmentation, name) for name in ("own", "shown", "hidden"))
    fill(segmentation, shown, a, a_volume_node)
    fill(segmentation, dark, hidden, a_volume_node)
    segmentation.GetDisplayNode().SetSegmentVisibility(dark, False)
    editor.SetMaskMode(getattr(slicer.vtkMRMLSegmentationNode, mode))
    editor.SetMaskSegmentID(dark)
    cut = cut_view(a_volume_node, view(a_volume_node, "Sagittal"))
    mask = blob(cut.shape)
    SegmentWriter(segmentation, own, a_volume_node, editor).write(mask, cut)
    wanted = paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume)
    np.testing.assert_array_equal(voxels_of(segmentation, own, volume), wanted & allowed_of(a, hidden))
    np.testing.assert_array_equal(voxels_of(segmentation, shown, volume), a)
    np.testing.assert_array_equal(voxels_of(segmentation, dark, volume), hidden)


@pytest.mark.parametrize("mode", ["OverwriteNone", "OverwriteAllSegments", "OverwriteVisibleSegments"])
@pytest.mark.parametrize("layers", [1, 3])
def test_overwriting_is_honoured_and_undone(view, a_volume_node, segmentation, editor, mode, layers):
    volume = volume_of_node(a_volume_node)
    labels = np.random.default_rng(4).integers(0, 3, volume.shape)
    shown, dark = (ensure_segment(segmentation, name) for name in ("shown", "hidden"))
    fill(segmentation, shown, labels == 1, a_volume_node)
    fill(segmentation, dark, labels == 2, a_volume_node)
    if layers == 1:
        segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    own = ensure_segment(segmentation, "own")
    if layers == 3:
        for segment in (own, shown, dark):
            segmentation.GetSegmentation().SeparateSegmentLabelmap(segment)
    segmentation.GetDisplayNode().SetSegmentVisibility(dark, False)
    editor.SetOverwriteMode(getattr(editor, mode))
    before = all_voxels(segmentation, volume)
    cut = cut_view(a_volume_node, view(a_volume_node, "Coronal"))
    mask = blob(cut.shape)
    change = SegmentWriter(segmentation, own, a_volume_node, editor).write(mask, cut)
    after = all_voxels(segmentation, volume)
    wanted = paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume)
    gives = {
        "OverwriteNone": (),
        "OverwriteAllSegments": (shown, dark),
        "OverwriteVisibleSegments": (shown,),
    }[mode]
    np.testing.assert_array_equal(after[own], wanted)
    for other in (shown, dark):
        expected = before[other] & ~wanted if other in gives else before[other]
        np.testing.assert_array_equal(after[other], expected)
    change.undo()
    for name, voxels in all_voxels(segmentation, volume).items():
        np.testing.assert_array_equal(voxels, before[name])
    change.redo()
    for name, voxels in all_voxels(segmentation, volume).items():
        np.testing.assert_array_equal(voxels, after[name])


def test_overwriting_reaches_segments_on_a_grid_of_their_own(
    slicer_app, view, a_volume_node, segmentation, editor
):
    volume = volume_of_node(a_volume_node)
    finer = volume.ijk_to_ras @ np.diag([0.5, 0.5, 0.5, 1])
    other_volume = small_volume(np.random.default_rng(0), tuple(2 * n for n in volume.shape), finer)
    own, other = (ensure_segment(segmentation, name) for name in ("own", "finer"))
    image = slicer.vtkOrientedImageData()
    k, j, i = other_volume.shape
    image.SetExtent(0, i - 1, 0, j - 1, 0, k - 1)
    image.SetImageToWorldMatrix(vtk_matrix(finer))
    from vtk.util.numpy_support import numpy_to_vtk

    image.GetPointData().SetScalars(numpy_to_vtk(np.ones(i * j * k, np.uint8), deep=True))
    segmentation.GetSegmentation().SeparateSegmentLabelmap(other)
    segmentation.GetSegmentation().GetSegment(other).AddRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(), image
    )
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    cut = cut_view(a_volume_node, view(a_volume_node))
    mask = blob(cut.shape)
    change = SegmentWriter(segmentation, own, a_volume_node, editor).write(mask, cut)
    wanted = paste_mask(cut.in_plane_order(mask), cut.voxel_plane, volume)
    np.testing.assert_array_equal(voxels_of(segmentation, own, volume), wanted)
    left = voxels_of(segmentation, other, other_volume)
    assert 0.9 < (~left).sum() / (8 * wanted.sum()) < 1.1
    change.undo()
    assert voxels_of(segmentation, other, other_volume).all()
