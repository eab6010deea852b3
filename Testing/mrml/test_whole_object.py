"""F: the object of the approved slice through all its slices, on real MRML with the shipped model."""

from __future__ import annotations

import numpy as np


def filled_nodule(bench) -> np.ndarray:
    """Click the small scene's nodule and press F; the segment's voxels."""
    bench.click()
    bench.controller.act("whole_object")
    screen = bench.settle()
    assert screen.tone == "done", screen.status
    assert "Whole object" in screen.status
    return bench.voxels()


def slices_of(bench, voxels: np.ndarray) -> list[int]:
    """Along the axis of the view."""
    axis = bench.work.view.plane.axis
    others = tuple(a for a in range(3) if a != axis)
    return [int(index) for index in np.flatnonzero(voxels.any(axis=others))]


def test_f_writes_the_object_on_all_its_slices_and_one_undo_takes_it_all_back(a_small_controller):
    bench = a_small_controller
    voxels = filled_nodule(bench)
    found = slices_of(bench, voxels)
    assert found == list(range(found[0], found[-1] + 1))
    assert len(found) >= 6
    work = bench.work
    first = bench.on_grid(work.approved(), work.view)
    own = work.view.plane.index
    axis = work.view.plane.axis
    np.testing.assert_array_equal(voxels.take(own, axis), first.take(own, axis))
    assert "whole_object" in bench.controller.screen.enabled
    bench.controller.undo()
    bench.settle()
    assert not bench.voxels().any()
    bench.controller.redo()
    bench.settle()
    np.testing.assert_array_equal(bench.voxels(), voxels)


def test_cancelling_leaves_the_approved_slice_and_writes_nothing_else(a_small_controller):
    bench = a_small_controller
    bench.click()
    bench.controller.approve()
    bench.settle()
    before = bench.voxels()
    bench.controller.whole_object()
    assert "cancel" in bench.controller.screen.enabled
    assert bench.controller.screen.busy
    bench.controller.cancel()
    screen = bench.settle()
    assert screen.status == "Cancelled; nothing was changed."
    np.testing.assert_array_equal(bench.voxels(), before)
    bench.controller.undo()
    bench.settle()
    assert not bench.voxels().any()


def test_what_was_approved_on_another_slice_before_stays(a_small_controller):
    bench = a_small_controller
    bench.click()
    bench.controller.approve()
    bench.controller.next_slice()
    bench.settle()
    bench.controller.take(0)
    bench.settle()
    other = bench.work
    taken = bench.on_grid(other.approved(), other.view)
    bench.controller.previous_slice()
    bench.settle()
    bench.controller.whole_object()
    bench.settle()
    assert (bench.voxels() & taken).sum() == taken.sum()
    bench.controller.undo()
    bench.settle()
    np.testing.assert_array_equal(bench.voxels(), taken)


def test_before_a_click_f_says_what_to_do(a_small_controller):
    a_small_controller.controller.whole_object()
    assert a_small_controller.controller.screen.status == "Click a seed on the object first."
