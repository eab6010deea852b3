"""What happens to the scene under the user, and what the engine may do: one sentence, nothing lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SPASegmentLib.errors import InputError


def test_removing_the_volume_ends_what_was_open_on_it_and_keeps_what_was_approved(a_bench):
    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    before = a_bench.voxels()
    a_bench.workbench.next_slice()
    a_bench.scene.RemoveNode(a_bench.volume)
    screen = a_bench.settle()
    assert screen.status == "The volume was removed; choose another one."
    assert screen.cards == () and a_bench.work is None and not screen.busy
    a_bench.workbench.approve()
    assert a_bench.workbench.screen.status == "Choose a volume to begin."
    np.testing.assert_array_equal(a_bench.voxels(), before)


def test_removing_the_segmentation_costs_nothing_but_the_segmentation(a_bench, a_store):
    a_bench.workbench.new_profile("Dr. A")
    a_bench.settle()
    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    a_bench.scene.RemoveNode(a_bench.segmentation)
    a_bench.workbench.undo()
    screen = a_bench.settle()
    assert "is gone" in screen.status and screen.tone == "problem"
    assert len(screen.cards) == 4 and a_store.load("Dr. A").slices == ()
    a_bench.workbench.approve()
    a_bench.settle()
    assert a_bench.voxels().any()


@pytest.mark.parametrize("removed", [False, True])
def test_undo_spares_what_was_approved_on_another_volume_even_if_that_is_removed(a_bench, removed):
    workbench, first = a_bench.workbench, a_bench.volume
    a_bench.add_volume()  # a second volume in the same place
    workbench.set_segment("nodule")
    a_bench.click()
    workbench.approve()
    segmentation, earlier = a_bench.segmentation, a_bench.voxels("nodule")
    workbench.set_volume(first)
    workbench.set_segmentation(segmentation)
    a_bench.app.show_volume(first)
    a_bench.look("sagittal")
    a_bench.click()
    later = a_bench.on_grid(a_bench.work.proposal.recommendation, a_bench.work.view)
    workbench.approve()
    assert (later & earlier).any(), "the slices cross in the object"
    workbench.set_volume(a_bench.volume)
    a_bench.look("axial")
    if removed:
        a_bench.scene.RemoveNode(first)
    a_bench.large.JumpSliceByOffsetting(*a_bench.nodules[0])
    a_bench.settle()
    assert a_bench.work.view.volume_id == a_bench.volume.GetID() and a_bench.work.finished
    workbench.undo()
    a_bench.settle()
    assert not a_bench.work.finished
    np.testing.assert_array_equal(a_bench.voxels("nodule"), later)


def test_closing_the_scene_leaves_a_workbench_that_can_begin_anew(a_bench):
    a_bench.click()
    a_bench.workbench.pick(0)
    a_bench.scene.Clear(False)
    screen = a_bench.settle()
    assert screen.status == "Choose a volume to begin." and screen.cards == () and not screen.busy
    a_bench.add_volume()
    assert len(a_bench.click().cards) == 4
    a_bench.workbench.approve()
    a_bench.settle()
    assert a_bench.voxels().any()


def test_new_voxels_end_what_was_open_and_keep_what_was_approved(a_bench):
    import slicer

    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    approved = a_bench.voxels()
    a_bench.workbench.next_slice()
    a_bench.settle()
    a_bench.volume.GetImageData().GetPointData().GetScalars().Modified()
    a_bench.volume.InvokeEvent(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent)
    screen = a_bench.settle()
    assert screen.status == "The volume has changed; click the seed again." and screen.cards == ()
    np.testing.assert_array_equal(a_bench.voxels(), approved)
    assert len(a_bench.click().cards) == 4


def test_choosing_another_volume_and_coming_back_shows_the_first_again(a_bench):
    from slicer_volumes import add_volume_node

    before = a_bench.click()
    other = add_volume_node(a_bench.scene, a_bench.chest)
    a_bench.workbench.set_volume(other)
    assert a_bench.settle().cards == ()
    a_bench.workbench.set_volume(a_bench.volume)
    assert a_bench.settle().cards == before.cards


def test_a_choice_that_changes_nothing_leaves_the_sentence_on_the_screen(a_bench):
    a_bench.workbench.approve()
    said = a_bench.workbench.screen.status
    a_bench.workbench.set_volume(a_bench.volume)
    a_bench.workbench.set_editor_node(None)
    a_bench.workbench.set_segment(None)
    a_bench.workbench.set_views(a_bench.large, a_bench.small)
    assert a_bench.workbench.screen.status == said == "Click a seed on the object first."


def test_an_engine_that_fails_is_a_sentence_and_the_next_step_works(a_bench, an_engine):
    moody = Moody(an_engine)
    a_bench.workbench.close()
    a_bench.workbench = a_bench.open(engine=moody)
    before = a_bench.click()
    moody.error = InputError("The slice is empty; choose another slice.")
    a_bench.workbench.pick(0)
    screen = a_bench.settle()
    assert (screen.status, screen.tone) == ("The slice is empty; choose another slice.", "problem")
    assert screen.cards == before.cards and not screen.busy
    moody.error = RuntimeError("CUDA went away\nwith a long story")
    with a_bench.app.log.expected(containing="CUDA went away"):
        a_bench.workbench.pick(0)
        screen = a_bench.settle()
    assert screen.tone == "problem" and "RuntimeError" in screen.status and "\n" not in screen.status
    moody.error = None
    a_bench.workbench.pick(0)
    assert a_bench.settle().iteration == 2


def test_a_model_that_is_not_there_is_said_when_it_is_needed(a_bench):
    a_bench.workbench.set_model("/nowhere/model.safetensors")
    screen = a_bench.click()
    assert screen.tone == "problem" and not screen.busy and a_bench.work is None
    a_bench.workbench.set_model("compact", "cpu")
    a_bench.workbench.seed(a_bench.nodules[0])
    assert "Loading the model" in a_bench.workbench.screen.status and a_bench.workbench.screen.busy
    assert len(a_bench.settle().cards) == 4


def test_a_saved_scene_opens_again_with_everything(a_bench, a_store, tmp_path):
    a_bench.workbench.new_profile("Dr. A")
    a_bench.settle()
    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    approved = a_bench.voxels()
    a_bench.workbench.next_slice()
    before = a_bench.settle()
    state = a_bench.workbench.to_state()
    a_bench.app.save_scene(tmp_path / "scene.mrb")
    a_bench.app.load_scene(tmp_path / "scene.mrb")
    a_bench.volume = a_bench.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    a_bench.workbench.set_volume(a_bench.volume)
    a_bench.workbench.set_views(a_bench.large, a_bench.small)
    a_bench.workbench.from_state(state)
    after = a_bench.settle()
    assert after.status == before.status and after.cards == before.cards
    assert after.profile == "Dr. A" and after.segment == before.segment
    np.testing.assert_array_equal(a_bench.voxels(), approved)
    a_bench.workbench.approve()
    a_bench.settle()
    assert a_store.load("Dr. A").n_images == 2
    for _ in range(3):
        a_bench.workbench.undo()
        a_bench.settle()
    assert not a_bench.voxels().any() and a_store.load("Dr. A").n_images == 0


def test_a_state_whose_volume_is_missing_is_said_and_the_rest_taken_up(a_bench):
    a_bench.workbench.new_profile("Dr. A")
    a_bench.settle()
    a_bench.click()
    a_bench.workbench.set_learn(False)
    state = a_bench.workbench.to_state()
    a_bench.scene.RemoveNode(a_bench.volume)
    a_bench.workbench.set_profile(None)
    a_bench.workbench.set_learn(True)
    a_bench.workbench.from_state(state)
    screen = a_bench.workbench.screen
    assert screen.tone == "problem" and "its volume is not in the scene" in screen.status
    screen = a_bench.settle()
    assert screen.profile == "Dr. A" and not screen.learn


def test_a_state_of_another_model_is_said_and_kept(a_bench):
    a_bench.click()
    a_bench.workbench.pick(0)
    a_bench.settle()
    state = json.loads(a_bench.workbench.to_state())
    state["works"][0]["log"]["model"] = {"name": "older", "hash": "0" * 64}
    a_bench.workbench.from_state(json.dumps(state))
    screen = a_bench.settle()
    assert screen.tone == "problem" and '"older"' in screen.status and screen.cards == ()
    kept = json.loads(a_bench.workbench.to_state())
    assert kept["works"][0]["log"] == state["works"][0]["log"]
    assert len(a_bench.click().cards) == 4


@pytest.mark.parametrize(
    "text", ["", "{}{", "[]", '{"format": "spasegment-scene", "version": 2}', '{"works": [{"volume": 3}]}']
)
def test_a_damaged_state_is_a_sentence_and_loses_nothing(a_bench, text):
    before = a_bench.click()
    a_bench.workbench.from_state(text)
    screen = a_bench.settle()
    assert screen.tone == "problem" and screen.status.endswith(".")
    assert screen.cards == before.cards


def test_a_state_with_a_mask_that_unpacks_to_gigabytes_is_refused(a_bench):
    import base64
    import zlib

    a_bench.click()
    a_bench.workbench.approve()
    a_bench.settle()
    state = json.loads(a_bench.workbench.to_state())
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000), 9)).decode()
    state["works"][0]["mask"] = bomb
    a_bench.workbench.from_state(json.dumps(state))
    assert "its mask is damaged" in a_bench.workbench.screen.status


def test_the_state_holds_no_pixels_and_no_names(a_bench):
    a_bench.volume.SetName("Erika Mustermann")
    a_bench.workbench.new_profile("Dr. A")
    a_bench.settle()
    a_bench.click()
    state = a_bench.workbench.to_state()
    assert "Mustermann" not in state and len(state) < 10_000
    assert state == a_bench.workbench.to_state()


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
