"""Five views: the layout Slicer reads, and small views that follow the large one."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")

from SPASegmentLib.mrml.layout import (  # noqa: E402
    LARGE,
    LAYOUT_ID,
    SMALL,
    link_views,
    register_layout,
)
from SPASegmentLib.mrml.volumes import array_of  # noqa: E402


@pytest.fixture
def views(slicer_app, a_volume_node):
    large = slicer_app.add_slice_view(LARGE, "Axial", (600, 500))
    small = [slicer_app.add_slice_view(tag, "Coronal", (250, 300)) for tag in SMALL]
    slicer_app.show_volume(a_volume_node, [large])
    return large, small


def test_slicer_reads_the_layout_and_finds_five_views(slicer_app):
    node = slicer_app.scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    assert register_layout(node) == LAYOUT_ID
    assert register_layout(node) == LAYOUT_ID
    node.SetViewArrangement(LAYOUT_ID)
    root = node.GetLayoutRootElement()
    tags = []

    def walk(element):
        if element.GetName() == "view":
            tags.append(element.GetAttribute("singletontag"))
        for n in range(element.GetNumberOfNestedElements()):
            walk(element.GetNestedElement(n))

    walk(root)
    assert tags == [LARGE, *SMALL]


def test_small_views_follow_slice_zoom_and_volume(slicer_app, a_volume_node, views):
    large, small = views
    link = link_views(slicer_app.scene, large.GetID(), [node.GetID() for node in small])
    large.SetOrientation("Sagittal")
    large.SetSliceOffset(7.0)
    large.SetFieldOfView(90, 75, 1)
    large.SetXYZOrigin(4, -3, 0)
    logic = slicer_app.applicationLogic().GetSliceLogic
    for node in small:
        np.testing.assert_allclose(array_of(node.GetSliceToRAS()), array_of(large.GetSliceToRAS()))
        assert min(node.GetFieldOfView()[:2]) == pytest.approx(75)
        wide, high = node.GetDimensions()[:2]
        assert node.GetFieldOfView()[0] / node.GetFieldOfView()[1] == pytest.approx(wide / high)
        assert node.GetXYZOrigin()[:2] == pytest.approx((4, -3))
        assert logic(node).GetSliceCompositeNode().GetBackgroundVolumeID() == a_volume_node.GetID()
    link.unlink()
    before = array_of(small[0].GetSliceToRAS())
    large.SetSliceOffset(11.0)
    np.testing.assert_array_equal(array_of(small[0].GetSliceToRAS()), before)


def test_small_views_show_an_object_so_that_it_fills_a_third_of_them(slicer_app, views):
    large, small = views
    link = link_views(slicer_app.scene, large.GetID(), [node.GetID() for node in small])
    large.SetFieldOfView(300, 250, 1)
    before = array_of(large.GetSliceToRAS())
    aside = before[:3, 3] + 20 * before[:3, 0] - 15 * before[:3, 1] + 4 * before[:3, 2]
    link.focus((*aside, 12.0))
    for node in small:
        assert min(node.GetFieldOfView()[:2]) == pytest.approx(36)
        shown = np.linalg.inv(array_of(node.GetSliceToRAS())) @ (*aside, 1.0)
        np.testing.assert_allclose(shown[:2], 0, atol=1e-6)
        assert node.GetSliceOffset() == pytest.approx(large.GetSliceOffset())
    np.testing.assert_array_equal(array_of(large.GetSliceToRAS()), before)
    small[1].SetSliceOffset(large.GetSliceOffset() + 6)
    for node in (large, *small):
        assert node.GetSliceOffset() == pytest.approx(small[1].GetSliceOffset())
    np.testing.assert_allclose(
        before[:3, :2].T @ (array_of(large.GetSliceToRAS()) - before)[:3, 3], 0, atol=1e-6
    )
    large.SetFieldOfView(30, 24, 1)
    assert min(small[0].GetFieldOfView()[:2]) == pytest.approx(24), "never less close than the large one"
    large.SetFieldOfView(300, 250, 1)
    link.focus(None)
    assert min(small[0].GetFieldOfView()[:2]) == pytest.approx(250)


def test_scrolling_a_small_view_moves_all(slicer_app, views):
    large, small = views
    link_views(slicer_app.scene, large.GetID(), [node.GetID() for node in small])
    small[2].SetSliceOffset(large.GetSliceOffset() + 6)
    for node in (large, *small):
        assert node.GetSliceOffset() == pytest.approx(small[2].GetSliceOffset())


def test_a_view_that_is_gone_does_no_harm(slicer_app, views):
    large, small = views
    link = link_views(slicer_app.scene, large.GetID(), [node.GetID() for node in small])
    slicer_app.scene.RemoveNode(small[1])
    large.SetSliceOffset(3.0)
    assert small[3].GetSliceOffset() == pytest.approx(3.0)
    slicer_app.scene.RemoveNode(large)
    small[0].SetSliceOffset(9.0)
    link.update()
    link.unlink()
