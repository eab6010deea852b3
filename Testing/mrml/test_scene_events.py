"""What happens to the scene under the user, and what the engine may do: one sentence, nothing lost."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.inference.checks import doubts


def test_removing_the_volume_ends_what_was_open_on_it_and_keeps_what_was_approved(a_controller):
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    before = a_controller.voxels()
    a_controller.controller.next_slice()
    a_controller.scene.RemoveNode(a_controller.volume)
    screen = a_controller.settle()
    assert screen.status == "The volume was removed; choose another one."
    assert screen.cards == () and a_controller.work is None and not screen.busy
    a_controller.controller.approve()
    assert a_controller.controller.screen.status == "Choose a volume to begin."
    np.testing.assert_array_equal(a_controller.voxels(), before)


def test_removing_the_segmentation_costs_nothing_but_the_segmentation(a_controller, a_store):
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    a_controller.scene.RemoveNode(a_controller.segmentation)
    a_controller.controller.undo()
    screen = a_controller.settle()
    assert "is gone" in screen.status and screen.tone == "problem"
    assert len(screen.cards) == 4 and a_store.load("Dr. A").slices == ()
    a_controller.controller.approve()
    a_controller.settle()
    assert a_controller.voxels().any()


@pytest.mark.parametrize("removed", [False, True])
def test_undo_spares_what_was_approved_on_another_volume_even_if_that_is_removed(a_controller, removed):
    controller, first = a_controller.controller, a_controller.volume
    a_controller.add_volume()  # a second volume in the same place
    controller.set_segment("nodule")
    a_controller.click()
    controller.approve()
    segmentation, earlier = a_controller.segmentation, a_controller.voxels("nodule")
    controller.set_volume(first)
    controller.set_segmentation(segmentation)
    a_controller.app.show_volume(first)
    a_controller.look("sagittal")
    a_controller.click()
    later = a_controller.on_grid(a_controller.work.proposal.recommendation, a_controller.work.view)
    controller.approve()
    assert (later & earlier).any(), "the slices cross in the object"
    controller.set_volume(a_controller.volume)
    a_controller.look("axial")
    if removed:
        a_controller.scene.RemoveNode(first)
    a_controller.large.JumpSliceByOffsetting(*a_controller.nodules[0])
    a_controller.settle()
    assert a_controller.work.view.volume_id == a_controller.volume.GetID() and a_controller.work.finished
    controller.undo()
    a_controller.settle()
    assert not a_controller.work.finished
    np.testing.assert_array_equal(a_controller.voxels("nodule"), later)


def test_closing_the_scene_leaves_a_controller_that_can_begin_anew(a_controller):
    a_controller.click()
    a_controller.controller.pick(0)
    a_controller.scene.Clear(False)
    screen = a_controller.settle()
    assert screen.status == "Choose a volume to begin." and screen.cards == () and not screen.busy
    a_controller.add_volume()
    assert len(a_controller.click().cards) == 4
    a_controller.controller.approve()
    a_controller.settle()
    assert a_controller.voxels().any()


def test_new_voxels_end_what_was_open_and_keep_what_was_approved(a_controller):
    import slicer

    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    approved = a_controller.voxels()
    a_controller.controller.next_slice()
    a_controller.settle()
    a_controller.volume.GetImageData().GetPointData().GetScalars().Modified()
    a_controller.volume.InvokeEvent(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent)
    screen = a_controller.settle()
    assert screen.status == "The volume has changed; click the seed again." and screen.cards == ()
    np.testing.assert_array_equal(a_controller.voxels(), approved)
    assert len(a_controller.click().cards) == 4


def test_choosing_another_volume_and_coming_back_shows_the_first_again(a_controller):
    from slicer_volumes import add_volume_node

    before = a_controller.click()
    other = add_volume_node(a_controller.scene, a_controller.chest)
    a_controller.controller.set_volume(other)
    assert a_controller.settle().cards == ()
    a_controller.controller.set_volume(a_controller.volume)
    assert a_controller.settle().cards == before.cards


def test_a_choice_that_changes_nothing_leaves_the_sentence_on_the_screen(a_controller):
    a_controller.controller.approve()
    said = a_controller.controller.screen.status
    a_controller.controller.set_volume(a_controller.volume)
    a_controller.controller.set_editor_node(None)
    a_controller.controller.set_segment(None)
    a_controller.controller.set_views(a_controller.large, a_controller.small)
    assert a_controller.controller.screen.status == said == "Click a seed on the object first."


def test_that_the_model_doubts_its_mask_is_said_once(a_controller, an_engine):
    a_controller.controller.close()
    a_controller.controller = a_controller.open(engine=Doubting(an_engine))
    screen = a_controller.click()
    assert screen.doubtful and screen.status.startswith("Doubtful mask: pick another")
    assert not [one for one in screen.warnings if "doubt" in one.lower()]


def test_an_engine_that_fails_is_a_sentence_and_the_next_step_works(a_controller, an_engine):
    moody = Moody(an_engine)
    a_controller.controller.close()
    a_controller.controller = a_controller.open(engine=moody)
    before = a_controller.click()
    moody.error = InputError("The slice is empty; choose another slice.")
    a_controller.controller.pick(0)
    screen = a_controller.settle()
    assert (screen.status, screen.tone) == ("The slice is empty; choose another slice.", "problem")
    assert screen.cards == before.cards and not screen.busy
    moody.error = RuntimeError("CUDA went away\nwith a long story")
    with a_controller.app.log.expected(containing="CUDA went away"):
        a_controller.controller.pick(0)
        screen = a_controller.settle()
    assert screen.tone == "problem" and "RuntimeError" in screen.status and "\n" not in screen.status
    moody.error = None
    a_controller.controller.pick(0)
    assert a_controller.settle().iteration == 2


def test_a_model_that_is_not_there_is_said_when_it_is_needed(a_controller):
    a_controller.controller.set_model("/nowhere/model.safetensors")
    screen = a_controller.click()
    assert screen.tone == "problem" and not screen.busy and a_controller.work is None
    a_controller.controller.set_model("compact", "cpu")
    a_controller.controller.seed(a_controller.nodules[0])
    assert (
        "Loading the model" in a_controller.controller.screen.status and a_controller.controller.screen.busy
    )
    assert len(a_controller.settle().cards) == 4


def test_a_saved_scene_opens_again_with_everything(a_controller, a_store, tmp_path):
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    approved = a_controller.voxels()
    a_controller.controller.next_slice()
    before = a_controller.settle()
    state = a_controller.controller.to_state()
    a_controller.app.save_scene(tmp_path / "scene.mrb")
    a_controller.app.load_scene(tmp_path / "scene.mrb")
    a_controller.volume = a_controller.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    a_controller.controller.set_volume(a_controller.volume)
    a_controller.controller.set_views(a_controller.large, a_controller.small)
    a_controller.controller.from_state(state)
    after = a_controller.settle()
    assert after.status == before.status and after.cards == before.cards
    assert after.profile == "Dr. A" and after.segment == before.segment
    np.testing.assert_array_equal(a_controller.voxels(), approved)
    a_controller.controller.approve()
    a_controller.settle()
    assert a_store.load("Dr. A").n_images == 2
    for _ in range(3):
        a_controller.controller.undo()
        a_controller.settle()
    assert not a_controller.voxels().any() and a_store.load("Dr. A").n_images == 0


def test_a_state_whose_volume_is_missing_is_said_and_the_rest_taken_up(a_controller):
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.click()
    a_controller.controller.set_learn(False)
    state = a_controller.controller.to_state()
    a_controller.scene.RemoveNode(a_controller.volume)
    a_controller.controller.set_profile(None)
    a_controller.controller.set_learn(True)
    a_controller.controller.from_state(state)
    screen = a_controller.controller.screen
    assert screen.tone == "problem" and "its volume is not in the scene" in screen.status
    screen = a_controller.settle()
    assert screen.profile == "Dr. A" and not screen.learn


def test_a_state_of_another_model_is_said_and_kept(a_controller):
    a_controller.click()
    a_controller.controller.pick(0)
    a_controller.settle()
    state = json.loads(a_controller.controller.to_state())
    state["works"][0]["log"]["model"] = {"name": "older", "hash": "0" * 64}
    a_controller.controller.from_state(json.dumps(state))
    screen = a_controller.settle()
    assert screen.tone == "problem" and '"older"' in screen.status and screen.cards == ()
    kept = json.loads(a_controller.controller.to_state())
    assert kept["works"][0]["log"] == state["works"][0]["log"]
    assert len(a_controller.click().cards) == 4


@pytest.mark.parametrize(
    "text", ["", "{}{", "[]", '{"format": "spasegment-scene", "version": 2}', '{"works": [{"volume": 3}]}']
)
def test_a_damaged_state_is_a_sentence_and_loses_nothing(a_controller, text):
    before = a_controller.click()
    a_controller.controller.from_state(text)
    screen = a_controller.settle()
    assert screen.tone == "problem" and screen.status.endswith(".")
    assert screen.cards == before.cards


def test_a_state_with_a_mask_that_unpacks_to_gigabytes_is_refused(a_controller):
    import base64
    import zlib

    a_controller.click()
    a_controller.controller.approve()
    a_controller.settle()
    state = json.loads(a_controller.controller.to_state())
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000), 9)).decode()
    state["works"][0]["mask"] = bomb
    a_controller.controller.from_state(json.dumps(state))
    assert "its mask is damaged" in a_controller.controller.screen.status


def test_the_state_holds_no_pixels_and_no_names(a_controller):
    a_controller.volume.SetName("Erika Mustermann")
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.click()
    state = a_controller.controller.to_state()
    assert "Mustermann" not in state and len(state) < 10_000
    assert state == a_controller.controller.to_state()


class Moody:
    """The real engine, except where a test wants it to fail."""

    def __init__(self, engine) -> None:
        self.engine, self.error = engine, None

    @property
    def model(self):
        return self.engine.model

    def propose(self, request, cancel=None):
        if self.error is not None:
            raise self.error
        return self.engine.propose(request, cancel)


class Doubting(Moody):
    """The real engine, which expects little of its masks."""

    def propose(self, request, cancel=None):
        found = super().propose(request, cancel)
        return replace(found, expected_dice=0.3, warnings=(*found.warnings, *doubts(0.3)))
