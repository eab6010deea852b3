"""Profiles at the controller: chosen, taught, refused with the way out, shared and compared."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest

from SPASegmentLib.errors import Cancelled
from SPASegmentLib.profiles.profile import new_profile
from SPASegmentLib.profiles.records import ModelReference


def approve(bench):
    bench.click()
    bench.controller.approve()
    return bench.settle()


def test_a_new_profile_is_chosen_taught_and_shown_with_its_images(a_controller, a_store):
    a_controller.controller.new_profile("Dr. A", "nodule", "CT")
    screen = a_controller.settle()
    assert (screen.profile, screen.profile_images, screen.profiles) == ("Dr. A", 0, ("Dr. A",))
    assert screen.tone == "done"
    screen = approve(a_controller)
    assert screen.profile_images == 1 and '· profile "Dr. A" (1 image)' in screen.detail
    (item,) = a_store.load("Dr. A").slices
    assert item.consensus_mm2 is not None


def test_the_next_slice_starts_from_what_was_just_taught(a_controller, a_store):
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.click()
    a_controller.controller.pick(0)
    a_controller.settle()
    a_controller.controller.approve()
    a_controller.controller.next_slice()  # at once: the lesson is still on its way
    a_controller.settle()
    np.testing.assert_array_equal(a_controller.work.session.log_prior, a_store.load("Dr. A").log_prior())
    assert np.any(a_controller.work.session.log_prior)
    assert a_controller.work.session.usual_area == a_store.load("Dr. A").usual_area() is not None


class Watched:
    """The shipped model, which notes what it is asked; without a profile, it answers when told to."""

    def __init__(self, engine) -> None:
        self.engine, self.model = engine, engine.model
        self.asked: list[str] = []
        self.may_answer, self.began = threading.Event(), threading.Event()

    def base_mixture(self):
        return self.engine.base_mixture()

    def propose(self, request, cancel=None):
        about = "consensus" if request.log_prior is None else "user"
        self.asked.append(about)
        if about == "consensus":
            self.began.set()
            while not self.may_answer.wait(0.005):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("stopped")
        return self.engine.propose(request, cancel)


def test_the_consensus_is_asked_for_when_nothing_else_is_wanted_and_is_there_in_the_end(
    a_controller, a_store, an_engine, monkeypatch
):
    monkeypatch.setattr("SPASegmentLib.profiles.learning.consensus_share", lambda *about: None)
    a_controller.controller.close()
    watched = Watched(an_engine)
    a_controller.controller = controller = a_controller.open(engine=watched)
    controller.new_profile("Dr. A")
    a_controller.settle()
    approve(a_controller)
    (item,) = a_store.load("Dr. A").slices
    assert item.consensus_mm2 is None, "the approval does not wait for it"
    assert watched.began.wait(60)
    controller.next_slice()
    a_controller.settle()
    assert a_controller.work.session is not None, "nor does the next request"
    watched.may_answer.set()
    until = time.monotonic() + 60
    while controller._worker.idling and time.monotonic() < until:
        time.sleep(0.01)
    a_controller.settle()
    (item,) = a_store.load("Dr. A").slices
    assert item.consensus_mm2 is not None and item.consensus_mm2 > 0
    assert watched.asked.count("consensus") >= 2, "it was asked anew after making room"


def test_do_not_learn_from_this_slice_holds_before_and_after_the_approval(a_controller, a_store):
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.controller.set_learn(False)
    screen = approve(a_controller)
    assert screen.profile_images == 0 and not screen.learn and "not learning" in screen.detail
    a_controller.controller.set_learn(True)
    assert a_controller.settle().profile_images == 1
    a_controller.controller.set_learn(False)
    assert a_controller.settle().profile_images == 0
    assert a_store.load("Dr. A").slices == ()


def test_without_a_profile_nothing_is_written(a_controller, a_store):
    approve(a_controller)
    assert not a_store.folder.exists()


def test_a_profile_of_another_model_is_refused_with_the_way_out(a_controller, a_store):
    a_store.create(new_profile("old", ModelReference(name="older", hash="0" * 64, components=16)))
    a_controller.controller.set_profile("old")
    screen = a_controller.settle()
    assert screen.tone == "problem" and screen.profile is None
    assert "spasegment profile relearn" in screen.status and '"older"' in screen.status
    assert len(a_controller.click().cards) == 4


def test_a_damaged_profile_is_said_and_the_seed_goes_on_without_it(a_controller, a_store):
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    (entry,) = a_store.entries()
    entry.file.write_bytes(b"{ not a profile")
    screen = a_controller.click()
    assert screen.tone == "problem" and "could not be read" in screen.status
    assert len(screen.cards) == 4 and screen.profile is None
    a_controller.controller.approve()
    a_controller.settle()
    assert a_controller.voxels().any()


def test_a_profile_that_cannot_be_written_does_not_cost_the_mask(a_controller, a_store):
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.click()
    a_store.delete("Dr. A", forever=True)
    a_controller.controller.approve()
    screen = a_controller.settle()
    assert screen.tone == "problem" and screen.status.startswith("The mask is as you see it, but")
    assert a_controller.voxels().any() and a_controller.work.finished


def test_profiles_are_copied_exported_imported_summarised_and_compared(a_controller, a_store, tmp_path):
    controller = a_controller.controller
    controller.new_profile("Dr. A")
    a_controller.settle()
    approve(a_controller)
    controller.save_profile_as("Dr. B")
    assert a_controller.settle().profile == "Dr. B"
    controller.export_profile(tmp_path / "b.json")
    assert a_controller.settle().status == 'The profile "Dr. B" is exported to b.json.'
    controller.export_profile(tmp_path / "b.json")
    assert "exists already" in a_controller.settle().status
    controller.import_profile(tmp_path / "b.json", "Dr. C")
    screen = a_controller.settle()
    assert screen.profile == "Dr. C" and screen.profiles == ("Dr. A", "Dr. B", "Dr. C")
    controller.summarise_profile()
    assert "1 image" in " ".join(a_controller.settle().notes)
    controller.compare_profiles("Dr. A")
    assert "as good as the same" in a_controller.settle().notes[0]
    controller.import_profile(tmp_path / "nothing.json")
    assert a_controller.settle().tone == "problem"


@pytest.mark.parametrize("wrong", ["", "nobody", "a/b", "x" * 500])
def test_a_name_that_is_no_profile_is_said_and_the_chosen_one_stays(a_controller, wrong):
    a_controller.controller.new_profile("Dr. A")
    a_controller.settle()
    a_controller.controller.set_profile(wrong)
    screen = a_controller.settle()
    assert screen.status.endswith(".")
    assert screen.profile == (None if wrong == "" else "Dr. A")


def test_files_of_profiles_are_touched_by_the_worker_only(a_controller, a_store, monkeypatch):
    touched = []
    real = type(a_store)._locked

    def noted(self):
        touched.append(threading.current_thread())
        return real(self)

    monkeypatch.setattr(type(a_store), "_locked", noted)
    a_controller.controller.new_profile("Dr. A")
    approve(a_controller)
    a_controller.controller.undo()
    a_controller.settle()
    assert len(touched) >= 3 and threading.main_thread() not in touched


def test_without_a_profile_the_next_slice_remembers_the_objects_style(a_controller):
    controller = a_controller.controller
    a_controller.click()
    assert a_controller.work.session.log_prior is None
    controller.pick(0)
    a_controller.settle()
    controller.next_slice()
    a_controller.settle()
    second = a_controller.work.session.log_prior
    assert second is not None and np.ptp(second) > 0.01
    controller.next_slice()
    a_controller.settle()
    third = a_controller.work.session.log_prior
    assert np.array_equal(second, third), "a slice that was taken as it came says nothing"
    controller.pick(0)
    a_controller.settle()
    controller.next_slice()
    a_controller.settle()
    fourth = a_controller.work.session.log_prior
    assert fourth is not None and not np.array_equal(third, fourth), "one that was answered does"
    a_controller.click(1)
    assert a_controller.work.session.log_prior is None, "another object begins"


def test_an_objects_style_counts_its_last_slice_most_and_is_for_its_own_model(a_controller):
    from SPASegmentLib.profiles.evidence import ObjectStyle, result_row

    a_controller.click()
    session = a_controller.work.session
    first, candidates = session.proposal.feedback, session.proposal.candidates
    spacing = session.image.spacing
    once = ObjectStyle.after(None, session.model, first, candidates[0].mask, spacing)
    assert np.array_equal(
        once.log_evidence, result_row(first, candidates[0].mask, session.model.components, spacing)
    )
    twice = ObjectStyle.after(once, session.model, first, candidates[-1].mask, spacing)
    last = result_row(first, candidates[-1].mask, session.model.components, spacing)
    assert np.allclose(twice.log_evidence, last + once.log_evidence / 2)
    other = dataclasses.replace(session.model, hash="another")
    assert twice.log_prior(session.model) is not None and twice.log_prior(other) is None
    anew = ObjectStyle.after(once, other, first, candidates[-1].mask, spacing)
    assert np.array_equal(anew.log_evidence, last), "another model's components say nothing of this one's"
