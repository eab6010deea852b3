"""C: going on from what the segment has on the slice, on real MRML with the shipped model."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def bench(a_small_controller):
    """The small scene with an approved mask on the nodule's slice, and a fresh controller."""
    bench = a_small_controller
    bench.click()
    bench.controller.approve()
    bench.settle()
    bench.controller.close()
    bench.controller = bench.open()
    bench.controller.set_segment("SPASegment")
    bench.settle()
    return bench


def test_the_segments_mask_is_recommended_and_approving_changes_nothing(bench):
    before = bench.voxels()
    assert before.any() and "continue_segment" in bench.controller.screen.enabled
    bench.controller.act("continue_segment")
    screen = bench.settle()
    assert screen.iteration == 1 and "approve" in screen.enabled
    found = bench.on_grid(bench.work.proposal.recommendation, bench.work.view)
    np.testing.assert_array_equal(found, before)
    bench.controller.approve()
    bench.settle()
    np.testing.assert_array_equal(bench.voxels(), before)


def test_a_pick_takes_the_place_of_what_was_there_and_undo_brings_it_back(bench):
    before = bench.voxels()
    bench.controller.continue_segment()
    bench.settle()
    masks = [bench.on_grid(one.mask, bench.work.view) for one in bench.work.proposal.candidates]
    number = next(n for n, mask in enumerate(masks) if (before & ~mask).any())
    bench.controller.take(number)
    bench.settle()
    np.testing.assert_array_equal(bench.voxels(), masks[number])
    bench.controller.undo()
    bench.settle()
    np.testing.assert_array_equal(bench.voxels(), before)


def test_what_is_not_there_or_open_is_said_in_a_sentence(bench):
    controller = bench.controller
    controller.next_slice()
    bench.settle()
    controller.continue_segment()
    assert "nothing on this slice" in bench.settle().status
    controller.previous_slice()
    bench.settle()
    controller.continue_segment()
    bench.settle()
    assert "continue_segment" not in controller.screen.enabled
    controller.continue_segment()
    assert "being segmented" in bench.settle().status


def test_a_saved_scene_goes_on_from_the_same_mask(bench):
    before = bench.voxels()
    bench.controller.continue_segment()
    pending = bench.controller.to_state()
    bench.settle()
    opened = bench.controller.to_state()
    for state in (pending, opened):
        bench.controller.close()
        bench.controller = bench.open()
        bench.controller.from_state(state)
        bench.settle()
        found = bench.on_grid(bench.work.proposal.recommendation, bench.work.view)
        np.testing.assert_array_equal(found, before)


def test_without_a_segment_there_is_nothing_to_go_on_from(a_small_controller):
    bench = a_small_controller
    bench.click()
    bench.controller.undo()
    bench.settle()
    assert "continue_segment" not in bench.controller.screen.enabled
    bench.controller.continue_segment()
    assert "nothing on this slice" in bench.settle().status


def of_another_module(bench, source: str):
    """A segmentation of the volume as another module loads one, its only segment kept as `source`."""
    import slicer
    import vtk

    node = bench.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "loaded")
    node.GetSegmentation().SetSourceRepresentationName(source)
    segment = slicer.vtkSegment()
    segment.SetName("GTV")
    sphere = vtk.vtkSphereSource()
    sphere.SetRadius(9)
    sphere.SetCenter(*bench.nodules[0])
    sphere.Update()
    segment.AddRepresentation(source, sphere.GetOutput())
    node.GetSegmentation().AddSegment(segment)
    return node


@pytest.mark.parametrize("source", ["Planar contour", "Closed surface"])
def test_contours_and_surfaces_of_other_modules_get_a_sentence(a_small_controller, source):
    bench = a_small_controller
    bench.controller.set_segmentation(of_another_module(bench, source))
    bench.controller.set_segment("GTV")
    bench.large.JumpSliceByCentering(*bench.nodules[0])
    bench.settle()
    bench.controller.continue_segment()
    assert "kept as contours or surfaces; make binary labelmaps its source" in bench.settle().status


def test_a_segment_that_another_module_loaded_is_gone_on_from(a_small_controller):
    """As QuantitativeReporting does: voxels of the segment's surroundings alone, no word of the volume."""
    from slicer_volumes import voxels_of

    bench = a_small_controller
    node = of_another_module(bench, "Closed surface")
    node.SetReferenceImageGeometryParameterFromVolumeNode(bench.volume)
    node.GetSegmentation().SetConversionParameter("Crop to reference image geometry", "0")
    assert node.GetSegmentation().CreateRepresentation("Binary labelmap")
    node.GetSegmentation().SetSourceRepresentationName("Binary labelmap")
    node.GetSegmentation().RemoveRepresentation("Closed surface")
    node.RemoveNodeReferenceIDs(node.GetReferenceImageGeometryReferenceRole())
    bench.controller.set_segmentation(node)
    bench.controller.set_segment("GTV")
    bench.large.JumpSliceByCentering(*bench.nodules[0])
    bench.settle()
    bench.controller.continue_segment()
    assert bench.settle().iteration == 1
    found = bench.on_grid(bench.work.proposal.recommendation, bench.work.view)
    there = voxels_of(node, node.GetSegmentation().GetNthSegmentID(0), bench.chest)
    slices = np.flatnonzero(found.any(axis=(1, 2)))
    np.testing.assert_array_equal(found[slices], there[slices])
    assert len(slices) == 1 and there[slices].sum() > 100
