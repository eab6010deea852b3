"""F: the object of the approved slice through all its slices, on real MRML with the shipped model."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.mrml.segments import SegmentWriter
from SPASegmentLib.mrml.work import pack, unpack


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


def test_while_an_object_is_followed_and_looked_at_across_the_status_says_how_far_it_is(
    a_small_controller, nothing_remembered
):
    bench = a_small_controller
    filled_nodule(bench)
    said = list(dict.fromkeys(screen.status for screen in bench.screens))
    follows = [
        n for n, status in enumerate(said) if re.fullmatch(r"Following .* so far; Esc cancels\.", status)
    ]
    across = [n for n, status in enumerate(said) if "across its slices" in status]
    assert len(follows) > 3 and len(across) > 3 and max(follows) < min(across)
    done = [re.fullmatch(r"Looking .*, (\d+) of (\d+); Esc cancels\.", said[n]) for n in across]
    assert [int(one[1]) for one in done if one] == list(range(1, len(across) + 1))


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


def on_all_slices(bench) -> np.ndarray:
    """(K, J, I) bool: the followed object's masks where they belong, by imaging's own reckoning."""
    followed = bench.controller._work.followed
    masks = followed.found.masks.items()
    return np.logical_or.reduce([bench.on_grid(mask, followed.views[n]) for n, mask in masks])


def test_the_object_is_shown_by_slice_with_its_volume_and_goes_with_an_undo(a_small_controller):
    bench = a_small_controller
    voxels = filled_nodule(bench)
    shown = bench.controller.screen.object
    assert [one.number for one in shown.slices if one.kind == "anchor"] == [0]
    assert len(shown.slices) == len(slices_of(bench, voxels))
    size = abs(np.linalg.det(bench.chest.ijk_to_ras[:3, :3]))
    assert abs(shown.volume_ml - voxels.sum() * size / 1000) < 0.01
    assert shown.doubtful and all(one.reason for one in shown.doubtful)
    assert f"{len(shown.doubtful)} doubtful" in bench.controller.screen.status
    axis = bench.work.view.plane.axis
    to_ijk = np.linalg.inv(bench.chest.ijk_to_ras)
    places = [round(float((to_ijk @ [*one.ras, 1.0])[2 - axis])) for one in shown.slices]
    assert sorted(places) == slices_of(bench, voxels)
    bench.controller.undo()
    assert bench.settle().object is None
    bench.controller.redo()
    assert bench.settle().object == shown


def test_space_goes_to_the_doubtful_slices_the_most_doubtful_first(a_small_controller):
    bench = a_small_controller
    filled_nodule(bench)
    doubtful = bench.controller.screen.object.doubtful
    seen = []
    for one in doubtful:
        bench.controller.act("next_doubtful")
        screen = bench.settle()
        assert screen.warnings[0] == f"This slice is doubtful: {one.reason}."
        assert len(screen.cards) >= 1 and bench.work.session.carried is not None
        seen.append(bench.work.place.moves[0])
    assert seen == [one.number for one in doubtful]
    bench.controller.act("next_doubtful")
    bench.settle()
    assert bench.work.place.moves[0] == seen[0]
    bench.controller.act("first_anchor")
    bench.settle()
    assert bench.work is bench.controller._work.followed.first


def test_what_is_approved_on_a_doubtful_slice_mends_its_neighbours_and_an_undo_brings_them_back(
    a_small_controller,
):
    bench = a_small_controller
    before = filled_nodule(bench)
    bench.controller.act("next_doubtful")
    bench.settle()
    number = bench.work.place.moves[0]
    bench.controller.take(0)
    screen = bench.settle()
    assert "Whole object" in screen.status
    anchors = [one.number for one in screen.object.slices if one.kind == "anchor"]
    assert anchors == sorted([0, number])
    after = bench.voxels()
    assert (after != before).any()
    np.testing.assert_array_equal(after, on_all_slices(bench))
    bench.controller.undo()
    screen = bench.settle()
    np.testing.assert_array_equal(bench.voxels(), before)
    assert [one.number for one in screen.object.slices if one.kind == "anchor"] == [0]
    bench.controller.redo()
    bench.settle()
    np.testing.assert_array_equal(bench.voxels(), after)


def test_slices_the_object_has_no_more_after_a_review_are_emptied_and_another_object_stays(
    a_small_controller,
):
    bench = a_small_controller
    filled_nodule(bench)
    followed = bench.controller._work.followed
    last = followed.found.slices[-1].index
    writer = SegmentWriter(bench.segmentation, followed.first.target[1], bench.volume)
    other = np.zeros(followed.views[last].shape, bool)
    other[1:3, 1:3] = True  # drawn by hand, far from the object
    writer.write(other, followed.views[last], keep_apart=True)
    bench.controller._work._navigation.review(
        followed.first, followed.views[last - 2], followed.found.slices[-3]
    )
    bench.settle()
    ended = replace(followed.state, highest=last - 2)
    object.__setattr__(followed, "state", ended)  # as where the user says it ends there
    bench.controller.approve()
    screen = bench.settle()
    assert screen.object.slices[-1].number == last - 2
    drawn = bench.on_grid(other, followed.views[last])
    np.testing.assert_array_equal(bench.voxels(), on_all_slices(bench) | drawn)


def test_shift_enter_approves_and_goes_on_and_in_an_object_to_the_next_doubtful_slice(a_small_controller):
    bench = a_small_controller
    bench.click()
    first = bench.work
    bench.controller.act("approve_next")
    bench.settle()
    assert first.finished and bench.work.place.moves == (1,)
    bench.controller.previous_slice()
    bench.settle()
    bench.controller.act("whole_object")
    bench.controller.act("next_doubtful")  # comes after the object
    screen = bench.settle()
    assert screen.warnings[0].startswith("This slice is doubtful")
    reviewed = bench.work
    bench.controller.act("approve_next")
    screen = bench.settle()
    assert reviewed.finished and bench.work is not reviewed
    assert screen.warnings[0].startswith("This slice is doubtful")


def test_without_an_object_its_keys_say_what_to_do(a_small_controller):
    bench = a_small_controller
    bench.click()
    assert not {"next_doubtful", "first_anchor"} & bench.controller.screen.enabled
    for action in ("next_doubtful", "first_anchor"):
        bench.controller.act(action)
        assert bench.controller.screen.status == "Follow the whole object first (F)."


def reopened(bench, state: str) -> None:
    """The state taken up by a new controller, as after a restart."""
    bench.controller.close()
    bench.controller = bench.open()
    bench.controller.from_state(state)


@pytest.mark.parametrize("view", ["axial", "oblique"])
def test_a_followed_object_with_its_anchors_survives_a_restart(a_small_controller, view):
    bench = a_small_controller
    bench.look(view)
    filled_nodule(bench)
    bench.controller.next_doubtful()
    bench.settle()
    bench.controller.approve()
    before = bench.settle()
    assert sum(one.kind == "anchor" for one in before.object.slices) == 2
    voxels, state = bench.voxels(), bench.controller.to_state()
    bench.controller.next_doubtful()
    bench.settle()
    next_one = bench.work.view.key
    reopened(bench, state)
    assert bench.controller.to_state().count('"anchor":true') == state.count('"anchor":true')
    after = bench.settle()
    assert after.object == before.object
    np.testing.assert_array_equal(bench.voxels(), voxels)
    bench.controller.next_doubtful()
    bench.settle()
    assert bench.work.view.key == next_one, "what was looked at before is not shown again"
    bench.controller.approve()
    screen = bench.settle()
    assert sum(one.kind == "anchor" for one in screen.object.slices) == 3
    np.testing.assert_array_equal(bench.voxels(), on_all_slices(bench))
    bench.controller.undo()
    assert bench.settle().object == before.object
    np.testing.assert_array_equal(bench.voxels(), voxels)


def test_an_object_in_a_saved_scene_opens_again_and_goes_on(a_small_controller, tmp_path):
    bench = a_small_controller
    voxels = filled_nodule(bench)
    before, state = bench.controller.screen, bench.controller.to_state()
    bench.app.save_scene(tmp_path / "scene.mrb")
    bench.app.load_scene(tmp_path / "scene.mrb")
    bench.volume = bench.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    bench.controller.set_volume(bench.volume)
    bench.controller.set_views(bench.large, bench.small)
    bench.controller.from_state(state)
    after = bench.settle().object
    kinds = [(one.number, one.kind, one.reason, one.expected_dice) for one in before.object.slices]
    assert [(one.number, one.kind, one.reason, one.expected_dice) for one in after.slices] == kinds
    assert after.volume_ml == before.object.volume_ml
    np.testing.assert_array_equal(bench.voxels(), voxels)
    bench.controller.next_doubtful()
    bench.settle()
    bench.controller.approve()
    bench.settle()
    np.testing.assert_array_equal(bench.voxels(), on_all_slices(bench))


def test_killed_while_it_is_followed_it_is_followed_again(a_small_controller):
    bench = a_small_controller
    bench.click()
    bench.controller.approve()
    bench.settle()
    bench.controller.whole_object()
    state = bench.controller.to_state()
    reopened(bench, state)
    screen = bench.settle()
    assert "Whole object" in screen.status and len(screen.object.slices) >= 6
    np.testing.assert_array_equal(bench.voxels(), on_all_slices(bench))


def test_a_packed_mask_that_was_cut_off_is_refused_wherever_the_cut_lies():
    mask = np.random.default_rng(0).random((30, 41)) < 0.5
    packed = pack(mask)
    np.testing.assert_array_equal(unpack(packed, mask.shape), mask)
    for kept in range(len(packed)):
        with pytest.raises(InputError, match="damaged"):
            unpack(packed[:kept], mask.shape)


@pytest.mark.parametrize("damage", ["mask", "anchor", "order"])
def test_a_damaged_object_is_left_out_and_what_was_written_stays(a_small_controller, damage):
    bench = a_small_controller
    voxels = filled_nodule(bench)
    state = json.loads(bench.controller.to_state())
    slices = state["objects"][0]["slices"]
    if damage == "mask":
        slices[1]["mask"] = slices[1]["mask"][:-8]
    elif damage == "order":
        slices.reverse()
    else:
        for one in slices:
            one["anchor"] = False
    bench.controller.from_state(json.dumps(state))
    screen = bench.settle()
    assert screen.object is None
    np.testing.assert_array_equal(bench.voxels(), voxels)
