"""Objects that share a slice or voxels in one segment: none takes from another or revives what is gone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage


def test_a_second_object_on_the_same_slice_leaves_the_first_in_the_segment(a_bench):
    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    first = a_bench.voxels()
    view = a_bench.work.view
    vessel = view.to_world(*(np.array(view.image.shape) * (0.5, 0.3)))
    a_bench.workbench.seed(vessel)
    a_bench.settle()
    assert a_bench.work.view.key == view.key and not a_bench.work.finished
    a_bench.workbench.approve()
    a_bench.settle()
    assert (first & ~a_bench.voxels()).sum() == 0 and a_bench.voxels().sum() > first.sum()
    a_bench.workbench.undo()
    a_bench.settle()
    np.testing.assert_array_equal(a_bench.voxels(), first)


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_a_smaller_mask_over_an_approved_one_takes_nothing_of_it(a_bench, orientation):
    a_bench.look(orientation)
    a_bench.click()
    a_bench.workbench.act("take:0")
    a_bench.settle()
    first = a_bench.voxels()
    screen = a_bench.click()
    assert not a_bench.work.finished and screen.cards[-1].area_mm2 < a_bench.work.proposal.area_mm2
    a_bench.workbench.act(f"take:{len(screen.cards) - 1}")
    assert a_bench.settle().status.startswith("Taken")
    assert not (first & ~a_bench.voxels()).any()


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_a_second_object_does_not_bring_back_what_was_erased_from_the_first(a_bench, orientation):
    from SPASegmentLib.scene.grid import Grid, change_box

    a_bench.look(orientation)
    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    node, view = a_bench.segmentation, a_bench.work.view
    segment = node.GetSegmentation().GetSegmentIdBySegmentName("SPASegment")
    first = a_bench.voxels()
    rim = first & ~ndimage.binary_erosion(first, structure=np.ones((1, 3, 3)))
    grid = Grid.of(node, segment, a_bench.volume)
    change_box(node, segment, grid, (0, 0, 0), np.zeros_like(rim), rim)  # another tool
    erased = a_bench.voxels()
    assert rim.any() and not (erased & rim).any()

    a_bench.workbench.seed(view.to_world(*(np.array(view.image.shape) * (0.5, 0.3))))
    a_bench.settle()
    assert a_bench.work.view.key == view.key and not a_bench.work.finished
    a_bench.workbench.approve()
    a_bench.settle()
    second = a_bench.on_grid(a_bench.work.session.result().mask, a_bench.work.view)
    assert not (a_bench.voxels() & ~(erased | second)).any()
    assert not (erased & ~a_bench.voxels()).any()


def test_undoing_one_slice_keeps_what_was_approved_on_a_slice_that_crosses_it(a_bench):
    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    axial = a_bench.work
    one = a_bench.voxels()
    a_bench.look("sagittal")
    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    two = a_bench.on_grid(a_bench.work.session.result().mask, a_bench.work.view)
    assert (one & two).any()
    a_bench.look("axial")
    a_bench.large.JumpSliceByOffsetting(*a_bench.nodules[0])
    a_bench.settle()
    assert a_bench.work is axial
    a_bench.workbench.undo()
    a_bench.settle()
    np.testing.assert_array_equal(a_bench.voxels(), two)
    a_bench.workbench.redo()
    a_bench.settle()
    np.testing.assert_array_equal(a_bench.voxels() & (one | two), one | two)
