"""What a user does at the controller, and what the screen says, on real MRML with the shipped model."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import socket
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.mrml.seed_placing import MOST_STEPS
from SPASegmentLib.mrml.work import LIVE
from SPASegmentLib.service.choice import ServerChoice


def test_before_a_volume_is_chosen_the_screen_says_so(a_controller):
    a_controller.controller.set_volume(None)
    assert a_controller.controller.screen.status == "Choose a volume to begin."
    a_controller.controller.seed((0, 0, 0))
    assert a_controller.controller.screen.status == "Choose a volume to begin."


def test_a_click_gives_a_recommendation_and_four_cards(a_controller):
    screen = a_controller.click()
    assert screen.status == "Press Enter to approve, press 1-4 to pick, 0 for none of these."
    assert screen.tone == "hint" and not screen.busy and screen.iteration == 1
    assert [card.number for card in screen.cards] == [1, 2, 3, 4]
    assert screen.recommendation.area_mm2 > 20
    assert len({card.name for card in screen.cards}) == 4
    assert {"approve", "pick:0", "take:3", "none_of_these", "undo", "next_slice"} <= screen.enabled
    assert any(earlier.busy and earlier.tone == "busy" for earlier in a_controller.screens)


def test_approving_writes_the_mask_where_it_belongs(a_controller):
    a_controller.click()
    a_controller.controller.pick(1)
    a_controller.settle()
    a_controller.controller.approve()
    screen = a_controller.settle()
    assert screen.tone == "done" and screen.status.startswith("Approved")
    work = a_controller.work
    expected = a_controller.on_grid(work.session.result().mask, work.view)
    assert expected.any()
    np.testing.assert_array_equal(a_controller.voxels(), expected)


def test_the_engine_is_never_called_on_the_thread_of_the_scene(a_controller, an_engine):
    watched = Watched(an_engine)
    a_controller.controller.close()
    a_controller.controller = controller = a_controller.open(engine=watched)
    a_controller.click()
    for action in ("pick:0", "none_of_these", "approve", "next_slice", "undo", "redo"):
        controller.act(action)
        a_controller.settle()
    assert len(watched.threads) >= 4
    assert threading.main_thread() not in watched.threads and len(set(watched.threads)) == 1


def test_a_second_click_before_the_first_is_computed_takes_its_place(a_controller):
    a_controller.controller.seed(a_controller.nodules[0])
    there = tuple(np.add(a_controller.nodules[0], (1.0, 1.0, 0.0)))
    a_controller.controller.seed(there)
    a_controller.settle()
    (point,) = a_controller.work.session.points
    np.testing.assert_allclose((point.row, point.col), a_controller.work.view.to_pixel(there))


def test_the_newest_pick_counts(a_controller):
    a_controller.click()
    a_controller.controller.pick(0)
    a_controller.controller.pick(2)
    screen = a_controller.settle()
    assert screen.iteration == 2
    assert a_controller.work.session.done[-1].step.candidate == 2


def test_cancelling_a_pick_leaves_everything_as_it_was(a_controller):
    before = a_controller.click()
    a_controller.controller.pick(0)
    assert a_controller.controller.screen.busy and "cancel" in a_controller.controller.screen.enabled
    a_controller.controller.cancel()
    assert a_controller.controller.screen.status == "Cancelled; nothing was changed."
    a_controller.settle()
    after = a_controller.controller.screen
    assert after.cards == before.cards and after.iteration == 1 and not after.busy


def test_cancelling_a_seed_leaves_no_trace(a_controller):
    a_controller.controller.seed(a_controller.nodules[0])
    a_controller.controller.cancel()
    screen = a_controller.settle()
    assert (
        a_controller.work is None and not screen.busy and screen.cards == () and "undo" not in screen.enabled
    )


def test_a_key_pressed_while_a_pick_is_computed_comes_after_it(a_controller):
    a_controller.click()
    a_controller.controller.pick(1)
    a_controller.controller.approve()
    screen = a_controller.controller.screen
    assert (screen.status, screen.tone) == ("Approval comes after this one; Esc drops it.", "busy")
    assert a_controller.settle().tone == "done"
    assert a_controller.work.session.iteration == 2 and a_controller.work.finished


def test_a_key_pressed_before_the_first_proposal_is_there_comes_after_it(a_controller):
    controller = a_controller.open(engine=None)  # the model is loaded with the seed
    a_controller.controller.close()
    controller.seed(a_controller.nodules[0])
    controller.act("take:0")
    assert controller.screen.status.startswith("Taking alternative 1 comes after this one")
    controller.act("pick:1")
    assert controller.screen.status.startswith("Alternative 2 comes after this one"), "one step waits"
    assert controller.wait(180)
    assert controller.screen.iteration == 2 and controller.screen.cards


def test_esc_drops_the_step_that_waits_and_then_what_is_computed(a_controller):
    first = a_controller.click()
    a_controller.controller.pick(1)
    a_controller.controller.approve()
    a_controller.controller.cancel()
    assert a_controller.controller.screen.status == "Computing; Esc cancels."
    a_controller.controller.cancel()
    assert a_controller.settle().cards == first.cards and not a_controller.work.finished
    a_controller.controller.pick(1)
    a_controller.controller.approve()
    a_controller.controller.cancel()
    assert a_controller.settle().iteration == 2 and not a_controller.work.finished


def test_a_step_that_waits_for_what_never_comes_is_dropped(a_controller):
    a_controller.controller.seed(a_controller.nodules[0])
    a_controller.controller.approve()
    a_controller.controller.undo()
    assert a_controller.settle().cards == ()
    a_controller.click()
    assert not a_controller.work.finished


def test_none_of_these_offers_others(a_controller):
    first = a_controller.click()
    masks = [c.mask for c in a_controller.work.proposal.candidates]
    a_controller.controller.none_of_these()
    second = a_controller.settle()
    assert second.iteration == 2 and second.cards != first.cards
    assert not any((c.mask == m).all() for c in a_controller.work.proposal.candidates for m in masks)


def test_keeping_the_recommendation_offers_others_as_one_more_step(a_controller):
    first = a_controller.click()
    masks = [c.mask for c in a_controller.work.proposal.candidates]
    a_controller.controller.act("keep")
    second = a_controller.settle()
    assert second.iteration == 2 and second.cards != first.cards
    assert not any((c.mask == m).all() for c in a_controller.work.proposal.candidates for m in masks)
    a_controller.controller.undo()
    assert a_controller.settle().cards == first.cards


def test_taking_a_candidate_writes_exactly_it(a_controller):
    a_controller.click()
    candidate = a_controller.work.proposal.candidates[2].mask
    a_controller.controller.act("take:2")
    screen = a_controller.settle()
    assert screen.status.startswith("Taken") and screen.tone == "done"
    np.testing.assert_array_equal(
        a_controller.voxels(), a_controller.on_grid(candidate, a_controller.work.view)
    )


def test_a_slice_at_rest_holds_no_proposal(a_controller):
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    a_controller.controller.to_state()
    work, proposal = a_controller.work, weakref.ref(a_controller.work.proposal)
    record = work.saved[1]
    work.rest()
    gc.collect()
    assert work.session is None and proposal() is None
    a_controller.controller.to_state()
    assert work.saved[1] is record  # what is saved of it has not changed


def test_steps_undone_on_a_slice_at_rest_have_their_cards(a_controller):
    controller = a_controller.controller
    a_controller.click()
    for _ in range(2):
        controller.pick(0)
        a_controller.settle()
    a_controller.work.rest()
    controller.undo()
    screen = a_controller.settle()
    assert screen.iteration == 2 and screen.recommendation is not None
    assert len(screen.cards) == len([name for name in screen.enabled if name.startswith("pick")]) > 0

    a_controller.work.rest()
    controller.redo()
    a_controller.settle()
    controller.undo()
    controller.pick(0)
    controller.cancel()
    assert a_controller.settle().recommendation is not None


def test_steps_without_a_proposal_say_to_click_first(a_controller):
    for action in ("approve", "pick:0", "take:1", "none_of_these"):
        a_controller.controller.act(action)
        assert a_controller.controller.screen.status == "Click a seed on the object first."
        assert a_controller.controller.screen.tone == "problem"
    a_controller.controller.act("undo")
    assert a_controller.controller.screen.status == "There is nothing to undo."
    a_controller.controller.act("redo")
    assert a_controller.controller.screen.status == "There is nothing to redo."


def test_undo_and_redo_walk_over_slices(a_controller):
    controller = a_controller.controller
    a_controller.click()
    controller.approve()
    a_controller.settle()
    first = a_controller.work
    one = a_controller.voxels()
    controller.next_slice()
    a_controller.settle()
    second = a_controller.work
    offset = a_controller.large.GetSliceOffset()
    controller.undo()  # the carried seed: back on the first slice, which stays approved
    screen = a_controller.settle()
    assert a_controller.work is first and screen.tone == "done"
    assert abs(a_controller.large.GetSliceOffset() - offset) > 1
    np.testing.assert_array_equal(a_controller.voxels(), one)
    controller.undo()  # the approval
    screen = a_controller.settle()
    assert not a_controller.voxels().any() and len(screen.cards) == 4
    controller.redo()
    a_controller.settle()
    np.testing.assert_array_equal(a_controller.voxels(), one)
    controller.redo()
    screen = a_controller.settle()
    assert a_controller.work is second and len(screen.cards) == 4
    assert a_controller.large.GetSliceOffset() == pytest.approx(offset, abs=0.3)


def test_coming_back_to_a_slice_shows_its_session_again(a_controller):
    before = a_controller.click()
    offset = a_controller.large.GetSliceOffset()
    a_controller.large.SetSliceOffset(offset + 6)
    away = a_controller.settle()
    assert away.cards == () and away.status == "Click a seed on the object."
    a_controller.large.SetSliceOffset(offset + 0.2)
    back = a_controller.settle()
    assert back.cards == before.cards and back.status == before.status


def test_the_end_of_the_volume_is_said_and_changes_nothing(a_controller):
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    work = a_controller.work
    a_controller.controller.next_slice(1000)
    assert a_controller.controller.screen.status == (
        "This is the last slice of the volume; go on in the other direction."
    )
    assert a_controller.work is work


def test_moving_on_from_an_unapproved_slice_is_allowed_and_said(a_controller):
    a_controller.click()
    a_controller.controller.next_slice(-1)
    screen = a_controller.settle()
    assert len(screen.cards) == 4
    assert screen.warnings == ("The slice before is not approved; go back to it to approve it.",)


def test_without_an_object_next_slice_only_moves_the_view(a_controller):
    a_controller.large.JumpSliceByOffsetting(*a_controller.nodules[0])
    before = a_controller.large.GetSliceOffset()
    a_controller.controller.next_slice()
    a_controller.settle()
    assert (
        a_controller.large.GetSliceOffset()
        == pytest.approx(before + 1.5, abs=0.8)
        != pytest.approx(before, abs=0.7)
    )
    assert a_controller.work is None


def test_many_slices_rest_as_logs_and_come_back_as_they_were(a_controller):
    controller = a_controller.controller
    controller.set_samples(8)
    a_controller.click()
    first, shown = a_controller.work, a_controller.work.proposal
    for steps in (1, -1) * (LIVE + 2):
        a_controller.controller.next_slice(steps)
        a_controller.settle()
        if a_controller.work.session.state == "open":
            controller.approve()
            a_controller.settle()
    for _ in range(LIVE + 2):
        controller.next_slice()
        if a_controller.settle().tone == "problem":
            break
        controller.approve()
        a_controller.settle()
    whole = [w for w in controller._work.trail if w.session is not None]
    assert len(whole) <= LIVE + 1
    assert first.session is None or len(controller._work.trail) <= LIVE
    a_controller.large.JumpSliceByOffsetting(*a_controller.nodules[0])
    a_controller.settle()
    assert a_controller.work is first
    np.testing.assert_array_equal(first.session.done[0].proposal.recommendation, shown.recommendation)


def test_closing_ends_the_thread_and_leaves_no_node_of_ours(a_controller, nodes_of):
    a_controller.click()
    a_controller.controller.approve()
    threads = threading.active_count()
    before = len(nodes_of("vtkMRMLSegmentationNode"))
    a_controller.controller.close()
    a_controller.controller.close()
    assert threading.active_count() == threads - 1
    assert len(nodes_of("vtkMRMLSegmentationNode")) == before - 1
    a_controller.controller.act("undo")
    a_controller.controller.set_volume(None)
    assert a_controller.voxels().any()


class Watched:
    """The real engine, which notes on what thread it is called."""

    def __init__(self, engine) -> None:
        self.engine, self.threads = engine, []

    @property
    def model(self):
        return self.engine.model

    def propose(self, request, cancel=None):
        self.threads.append(threading.current_thread())
        return self.engine.propose(request, cancel)

    def warm(self, image, request, cancel=None):
        self.threads.append(threading.current_thread())
        self.engine.warm(image, request, cancel)


def test_before_a_mask_is_written_the_segment_editor_can_keep_its_state(a_controller):
    kept = []
    a_controller.controller.set_before_change(lambda: kept.append(len(a_controller.screens)))
    a_controller.click()
    assert kept == []
    a_controller.controller.approve()
    assert len(kept) == 1


def test_a_slice_takes_only_so_many_points(a_controller):
    a_controller.controller.set_samples(8)
    a_controller.click()
    for n in range(MOST_STEPS):
        screen = a_controller.click(by=(0.3 * (n % 3), 0.3, 0))
    assert f"has had {MOST_STEPS} steps" in screen.status and screen.iteration == MOST_STEPS


def test_the_screen_says_where_the_seeds_lie(a_controller):
    screen = a_controller.click()
    (seed,) = screen.seeds
    assert seed[3] is True
    np.testing.assert_allclose(seed[:3], a_controller.nodules[0], atol=0.8)  # on the slice through it
    a_controller.click(by=(3, 0, 0), positive=False)
    assert [s[3] for s in a_controller.controller.screen.seeds] == [True, False]


def test_undo_goes_back_over_slices_that_rest_with_voxels_and_evidence(a_controller, a_store):
    controller = a_controller.controller
    controller.set_samples(8)
    controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.click()
    states = []
    for _ in range(LIVE + 3):
        controller.approve()
        a_controller.settle()
        states.append(a_controller.voxels())
        controller.next_slice()
        a_controller.settle()
    assert controller._work.trail._works[0].session is None, "the first slice rests"
    assert a_store.load("Dr. A").n_images == LIVE + 3
    for voxels in reversed([np.zeros_like(states[0]), *states[:-1]]):
        controller.undo()  # the carried seed
        controller.wait(60)
        controller.undo()  # the approval
        a_controller.settle()
        np.testing.assert_array_equal(a_controller.voxels(), voxels)
    assert a_store.load("Dr. A").n_images == 0
    for _ in range(2 * (LIVE + 3) - 1):
        controller.redo()
        a_controller.settle()
    np.testing.assert_array_equal(a_controller.voxels(), states[-1])
    assert a_store.load("Dr. A").n_images == LIVE + 3


@pytest.mark.long
def test_interactions_do_not_fill_the_memory(a_controller, a_store, nothing_remembered):
    controller = a_controller.controller
    controller.set_samples(8)
    controller.new_profile("Dr. A")
    a_controller.settle()

    def interact(times: int) -> None:
        for n in range(times):
            place = np.add(a_controller.nodules[n % 5], (0, 0, 1.5 * (n % 7 - 3)))
            controller.seed(tuple(place))
            a_controller.settle()
            controller.act("approve")
            a_controller.settle()
            controller.to_state()
        a_controller.screens.clear()

    interact(30)  # by then every cache and pool has its size
    before = resident_mb()
    interact(60)
    # 13 MB for 200 interactions were measured; the measurement itself wavers by about as much.
    assert resident_mb() - before < 20


def resident_mb() -> float:
    """Memory this process holds, without what the allocator could give back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    fields = Path("/proc/self/statm").read_text(encoding="utf-8").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize("begun", ["by preparing", "by a seed"])
def test_closing_does_not_wait_for_a_server_that_says_nothing(a_small_controller, begun):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = ServerChoice(f"127.0.0.1:{silent.getsockname()[1]}", patience=60.0)
        controller = a_small_controller.open(engine=None, server=server)
        if begun == "by preparing":
            controller.prepare()
        else:
            controller.seed(a_small_controller.nodules[0])
        silent.settimeout(60)
        asked, _ = silent.accept()  # it is being waited for
        with asked:
            started = time.monotonic()
            controller.close()
            assert time.monotonic() - started < 10
