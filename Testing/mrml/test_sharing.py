"""Objects that share a slice or voxels in one segment: none takes from another or revives what is gone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage


def test_a_second_object_on_the_same_slice_leaves_the_first_in_the_segment(a_controller):
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    first = a_controller.voxels()
    view = a_controller.work.view
    vessel = view.to_world(*(np.array(view.image.shape) * (0.5, 0.3)))
    a_controller.controller.seed(vessel)
    a_controller.settle()
    assert a_controller.work.view.key == view.key and not a_controller.work.finished
    a_controller.controller.approve()
    a_controller.settle()
    assert (first & ~a_controller.voxels()).sum() == 0 and a_controller.voxels().sum() > first.sum()
    a_controller.controller.undo()
    a_controller.settle()
    np.testing.assert_array_equal(a_controller.voxels(), first)


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_a_smaller_mask_over_an_approved_one_takes_nothing_of_it(a_controller, orientation):
    a_controller.look(orientation)
    a_controller.click()
    a_controller.controller.act("take:0")
    a_controller.settle()
    first = a_controller.voxels()
    screen = a_controller.click()
    assert not a_controller.work.finished and screen.cards[-1].area_mm2 < a_controller.work.proposal.area_mm2
    a_controller.controller.act(f"take:{len(screen.cards) - 1}")
    assert a_controller.settle().status.startswith("Taken")
    assert not (first & ~a_controller.voxels()).any()


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_a_second_object_does_not_bring_back_what_was_erased_from_the_first(a_controller, orientation):
    from SPASegmentLib.mrml.grid import Grid, change_box

    a_controller.look(orientation)
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    node, view = a_controller.segmentation, a_controller.work.view
    segment = node.GetSegmentation().GetSegmentIdBySegmentName("SPASegment")
    first = a_controller.voxels()
    rim = first & ~ndimage.binary_erosion(first, structure=np.ones((1, 3, 3)))
    grid = Grid.of(node, segment, a_controller.volume)
    change_box(node, segment, grid, (0, 0, 0), np.zeros_like(rim), rim)  # another tool
    erased = a_controller.voxels()
    assert rim.any() and not (erased & rim).any()

    a_controller.controller.seed(view.to_world(*(np.array(view.image.shape) * (0.5, 0.3))))
    a_controller.settle()
    assert a_controller.work.view.key == view.key and not a_controller.work.finished
    a_controller.controller.approve()
    a_controller.settle()
    second = a_controller.on_grid(a_controller.work.session.result().mask, a_controller.work.view)
    assert not (a_controller.voxels() & ~(erased | second)).any()
    assert not (erased & ~a_controller.voxels()).any()


def test_undoing_one_slice_keeps_what_was_approved_on_a_slice_that_crosses_it(a_controller):
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    axial = a_controller.work
    one = a_controller.voxels()
    a_controller.look("sagittal")
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    two = a_controller.on_grid(a_controller.work.session.result().mask, a_controller.work.view)
    assert (one & two).any()
    a_controller.look("axial")
    a_controller.large.JumpSliceByOffsetting(*a_controller.nodules[0])
    a_controller.settle()
    assert a_controller.work is axial
    a_controller.controller.undo()
    a_controller.settle()
    np.testing.assert_array_equal(a_controller.voxels(), two)
    a_controller.controller.redo()
    a_controller.settle()
    np.testing.assert_array_equal(a_controller.voxels() & (one | two), one | two)
