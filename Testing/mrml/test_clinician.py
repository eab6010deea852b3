"""The scripted clinician in every view of a volume turned by 12 degrees: each voxel where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

VIEWS = ("axial", "sagittal", "coronal", "oblique")


@pytest.fixture
def a_neighbour(a_controller, slicer_app):
    """Another segment in the same segmentation, right where the nodule is; its voxels before."""
    from slicer_volumes import voxels_of

    from SPASegmentLib.mrml.segments import SegmentWriter, ensure_segment, ensure_segmentation

    node = ensure_segmentation(slicer_app.scene, a_controller.volume, "chest segmentation")
    segment = ensure_segment(node, "vessel")
    a_controller.click()
    view = a_controller.work.view
    mask = np.zeros(view.image.shape, bool)
    middle = np.argwhere(a_controller.work.proposal.recommendation).mean(axis=0).astype(int)
    mask[middle[0] - 1 : middle[0] + 3, middle[1] - 6 : middle[1] + 6] = True
    SegmentWriter(node, segment, a_controller.volume).write(mask, view)
    a_controller.controller.undo()
    a_controller.settle()
    a_controller.controller.set_segmentation(node)
    a_controller.controller.set_segment("nodule")
    before = voxels_of(node, segment, a_controller.chest)
    assert before.any()
    return lambda: np.array_equal(voxels_of(node, segment, a_controller.chest), before)


@pytest.mark.parametrize("orientation", VIEWS)
def test_the_clinician_works_two_slices_undoes_saves_and_goes_on(
    a_controller, a_neighbour, a_store, orientation
):
    bench, controller = a_controller, a_controller.controller
    bench.look(orientation)
    controller.new_profile("Dr. A", "nodule")
    assert bench.settle().profile == "Dr. A"

    # seed, two picks, approve
    first = bench.click()
    assert len(first.cards) == 4 and first.warnings == ()
    controller.act("pick:1")
    second = bench.settle()
    controller.act("pick:0")
    third = bench.settle()
    assert (first.iteration, second.iteration, third.iteration) == (1, 2, 3)
    one = bench.work
    assert (one.view.plane.index is None) == (orientation == "oblique")
    controller.act("approve")
    screen = bench.settle()
    assert screen.tone == "done" and screen.profile_images == 1, screen.status
    slab_one = bench.on_grid(one.session.result().mask, one.view)
    np.testing.assert_array_equal(bench.voxels("nodule"), slab_one)

    # next slice, approve
    controller.act("next_slice")
    screen = bench.settle()
    two = bench.work
    assert two is not one and two.carried and len(screen.cards) >= 1, screen.status
    assert two.session.log_prior is not None and np.any(two.session.log_prior)
    assert overlap(two.proposal.recommendation, two, one) > 0.4
    controller.act("approve")
    assert bench.settle().profile_images == 2
    slab_two = bench.on_grid(two.session.result().mask, two.view)
    assert not (slab_one & slab_two).any()
    np.testing.assert_array_equal(bench.voxels("nodule"), slab_one | slab_two)

    # undo takes voxels, evidence and step back together; redo brings them all
    controller.act("undo")
    screen = bench.settle()
    np.testing.assert_array_equal(bench.voxels("nodule"), slab_one)
    assert screen.profile_images == 1 and not two.finished
    controller.act("redo")
    screen = bench.settle()
    np.testing.assert_array_equal(bench.voxels("nodule"), slab_one | slab_two)
    assert screen.profile_images == 2 and two.finished
    assert a_neighbour()

    # a third slice is begun, then saved and opened again
    controller.act("next_slice")
    bench.settle()
    controller.act("pick:0")
    before = bench.settle()
    state = controller.to_state()
    shown = bench.work.proposal
    controller.close()
    bench.controller = controller = bench.open()
    controller.from_state(state)
    after = bench.settle()
    assert after.status == before.status and after.cards == before.cards
    np.testing.assert_array_equal(bench.work.proposal.recommendation, shown.recommendation)
    np.testing.assert_array_equal(bench.work.proposal.probability, shown.probability)
    assert after.profile == "Dr. A" and after.profile_images == 2 and after.segment == "nodule"
    assert a_store.load("Dr. A").n_images == 2
    np.testing.assert_array_equal(bench.voxels("nodule"), slab_one | slab_two)

    # what was approved before the scene was saved can still be taken back, with what it taught
    for _ in range(3):
        controller.act("undo")
        assert bench.settle().tone != "problem", controller.screen.status
    np.testing.assert_array_equal(bench.voxels("nodule"), slab_one)
    assert a_store.load("Dr. A").n_images == 1
    assert a_neighbour()


def overlap(mask, work, other) -> float:
    """Dice of a mask with what was approved on the neighbouring slice, in world space."""
    rows, cols = np.nonzero(mask)
    approved = other.session.result().mask
    hits = 0
    for row, col in zip(rows, cols, strict=True):
        r, c = other.view.to_pixel(work.view.to_world(row, col))
        r, c = round(r), round(c)
        if 0 <= r < approved.shape[0] and 0 <= c < approved.shape[1]:
            hits += bool(approved[r, c])
    return 2 * hits / (len(rows) + approved.sum())
