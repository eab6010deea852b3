"""One interaction, step by step."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from SPASegmentLib.errors import Cancelled, InputError, ProfileError, SeedError, StepError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.candidates import same_mask
from SPASegmentLib.inference.messages import UsualArea
from SPASegmentLib.inference.session import Session, Step


@pytest.fixture
def a_session(an_engine, an_image) -> Session:
    """A session with its first proposal."""
    return Session.start(an_image, an_engine.model, (30, 34), random_seed=5).advance(an_engine)


def snapshot(session: Session) -> tuple:
    """All that a step may not change."""
    return (session.done, session.undone, session.pending)


def test_without_a_seed_a_session_waits_for_one(an_image, an_engine):
    session = Session.start(an_image, an_engine.model)
    assert (session.state, session.proposal, session.iteration) == ("empty", None, 0)
    assert session.what_next == "Click a seed on the object."
    assert not session.done and not session.pending
    assert session.advance(an_engine) is session
    with pytest.raises(StepError, match="click a seed"):
        session.approve()
    with pytest.raises(StepError, match="click a seed"):
        session.pick(0)
    with pytest.raises(StepError, match="nothing to compute"):
        session.request()


def test_the_seed_is_pending_until_the_engine_answers(an_image, an_engine):
    waiting = Session.start(an_image, an_engine.model, (30, 34))
    assert (waiting.state, waiting.pending) == ("computing", Step("point", PointPrompt(30, 34)))
    with pytest.raises(StepError, match="still being computed"):
        waiting.add_point(1, 1)
    session = waiting.advance(an_engine)
    assert (session.state, session.iteration, session.pending) == ("open", 1, None)
    assert 2 <= len(session.proposal.candidates) <= 4
    assert waiting.state == "computing", "the session before the step is untouched"


@pytest.mark.parametrize("point", [(-1, 3), (3, 64), (63.6, 3), (float("nan"), 3)])
def test_a_point_outside_the_slice_is_refused(an_image, an_engine, point):
    with pytest.raises(SeedError, match="outside the slice of 64 x 64 pixels; place it on the picture"):
        Session.start(an_image, an_engine.model, point)


def test_the_first_point_must_be_positive(an_image, an_engine):
    with pytest.raises(SeedError, match="place a positive point first"):
        Session.start(an_image, an_engine.model, PointPrompt(3, 3, positive=False))


def test_a_pick_answers_the_proposal_it_was_made_on(a_session, an_engine):
    first = a_session.proposal
    second = a_session.pick(1).advance(an_engine)
    assert [(a.proposal, a.picked) for a in second.answered] == [(first, 1)]
    third = second.pick(0).advance(an_engine)
    assert [a.picked for a in third.answered] == [1, 0]
    assert third.answered[1].proposal is second.proposal
    assert third.iteration == 3


def test_the_engine_learns_of_a_pick_only_its_index(a_session, an_engine):
    a_session.pick(1).advance(an_engine)
    request = an_engine.requests[-1]
    assert request.points == (PointPrompt(30, 34),)
    assert [(a.proposal, a.picked) for a in request.answered] == [(a_session.proposal, 1)]


def test_earlier_rounds_stay_when_a_point_is_added(a_session, an_engine):
    session = a_session.pick(1).advance(an_engine).add_point(10, 12, positive=False).advance(an_engine)
    assert session.points == (PointPrompt(30, 34), PointPrompt(10, 12, positive=False))
    assert [a.picked for a in session.answered] == [1]
    after = session.pick(0).advance(an_engine)
    assert after.answered[1].proposal is session.proposal


def test_none_of_these_brings_four_others(a_session, an_engine):
    shown = [c.mask for c in a_session.proposal.candidates]
    session = a_session.none_of_these().advance(an_engine)
    assert session.answered[0].picked is None
    for candidate in session.proposal.candidates:
        assert not any(same_mask(candidate.mask, old) for old in shown)
    again = session.none_of_these().advance(an_engine)
    for candidate in again.proposal.candidates:
        assert not any(same_mask(candidate.mask, c.mask) for c in session.proposal.candidates)


def test_every_proposal_gets_a_seed_of_its_own_that_follows_from_the_session(a_session, an_engine, an_image):
    a_session.pick(0).advance(an_engine).pick(0).advance(an_engine)
    seeds = [r.seed for r in an_engine.requests]
    assert len(set(seeds)) == 3
    other = Session.start(an_image, an_engine.model, (30, 34), random_seed=6).advance(an_engine)
    assert an_engine.requests[-1].seed not in seeds
    again = Session.start(an_image, an_engine.model, (30, 34), random_seed=5).advance(an_engine)
    assert an_engine.requests[-1].seed == seeds[0]
    np.testing.assert_array_equal(again.proposal.probability, a_session.proposal.probability)
    assert not np.array_equal(other.proposal.probability, a_session.proposal.probability)


def test_approving_takes_the_recommendation(a_session, an_engine):
    session = a_session.pick(1).advance(an_engine).approve()
    result = session.result()
    assert (session.state, session.finished, result.how, result.candidate) == (
        "approved",
        True,
        "approved",
        None,
    )
    np.testing.assert_array_equal(result.mask, session.proposal.recommendation)
    assert (result.iterations, result.picks, len(result.answered)) == (2, 1, 1)
    assert result.seconds == sum(d.proposal.seconds["total"] for d in session.done[:2])


def test_taking_takes_the_candidate_as_it_is(a_session):
    session = a_session.take(1)
    result = session.result()
    assert (session.state, result.how, result.candidate, result.picks) == ("taken", "taken", 1, 0)
    np.testing.assert_array_equal(result.mask, a_session.proposal.candidates[1].mask)


def test_a_finished_slice_takes_no_more_steps_until_undone(a_session):
    for finished in (a_session.approve(), a_session.take(0)):
        for step in (finished.approve, finished.none_of_these, lambda f=finished: f.pick(0)):
            with pytest.raises(StepError, match="undo that first"):
                step()
        assert finished.undo().proposal is a_session.proposal


def test_no_result_before_the_end(a_session):
    with pytest.raises(StepError, match="No mask is final yet"):
        a_session.result()


@pytest.mark.parametrize("index", [-1, 4, 99])
def test_a_candidate_that_is_not_there_cannot_be_picked(a_session, index):
    with pytest.raises(StepError, match=f"There is no candidate {index + 1}; choose 1 to"):
        a_session.pick(index)
    with pytest.raises(StepError, match="There is no candidate"):
        a_session.take(index)


def test_every_step_can_be_undone_and_redone(a_session, an_engine):
    path = [a_session]
    for step in (
        lambda s: s.pick(0),
        lambda s: s.none_of_these(),
        lambda s: s.add_point(12, 12, positive=False),
        lambda s: s.approve(),
    ):
        path.append(step(path[-1]).advance(an_engine))
    calls = len(an_engine.requests)
    session = path[-1]
    for before in reversed(path[:-1]):
        session = session.undo()
        assert session.done == before.done
        assert session.can_redo
    session = session.undo()
    assert session.state == "empty"
    assert not session.done and not session.pending
    with pytest.raises(StepError, match="nothing to undo"):
        session.undo()
    for after in path:
        session = session.redo()
        assert session.done == after.done
    with pytest.raises(StepError, match="nothing to redo"):
        session.redo()
    assert len(an_engine.requests) == calls, "undo and redo compute nothing"


def test_a_new_step_ends_redo(a_session, an_engine):
    session = a_session.pick(0).advance(an_engine).undo()
    assert session.can_redo
    assert not session.pick(1).advance(an_engine).can_redo
    assert not session.approve().can_redo


def test_the_same_pick_after_undo_gives_the_same_proposal(a_session, an_engine):
    first = a_session.pick(1).advance(an_engine)
    second = first.undo().pick(1).advance(an_engine)
    np.testing.assert_array_equal(first.proposal.probability, second.proposal.probability)


def test_a_cancelled_step_leaves_the_session_as_it_was(a_session, an_engine):
    before = a_session.pick(0).advance(an_engine).undo()
    waiting = before.pick(1)
    assert waiting.proposal is before.proposal
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        waiting.advance(an_engine, stop)
    assert waiting.state == "computing"
    assert snapshot(waiting.cancel()) == snapshot(before)
    assert snapshot(waiting.undo()) == snapshot(before), "undoing what is pending cancels it"
    assert waiting.cancel().can_redo, "what could be redone before can be redone again"
    assert waiting.advance(an_engine).state == "open", "it can also be tried again"


def test_an_engine_with_another_model_is_refused(a_session, another_engine):
    with pytest.raises(StepError, match='began with the model "toy"'):
        a_session.pick(0).advance(another_engine)


def test_the_profile_reaches_the_engine_and_cannot_be_changed_from_outside(an_image, an_engine):
    prior = np.array([0.0, -1.0, 2.0])
    usual = UsualArea(5.0, 1.0)
    session = Session.start(an_image, an_engine.model, (30, 34), log_prior=prior, usual_area=usual)
    prior[0] = 9
    session.advance(an_engine)
    np.testing.assert_array_equal(an_engine.requests[-1].log_prior, [0, -1, 2])
    assert an_engine.requests[-1].usual_area == usual


@pytest.mark.parametrize("prior", [[0.0, 1.0], [0.0, float("nan"), 1.0]])
def test_a_profile_of_another_model_is_refused(an_image, an_engine, prior):
    with pytest.raises(ProfileError, match="choose a profile made with this model"):
        Session.start(an_image, an_engine.model, log_prior=np.array(prior))


def test_a_negative_random_seed_is_refused(an_image, an_engine):
    with pytest.raises(InputError, match="zero or a positive whole number"):
        Session.start(an_image, an_engine.model, random_seed=-1)


def test_what_to_do_next_is_always_one_sentence(a_session, an_engine):
    shown = len(a_session.proposal.candidates)
    assert a_session.what_next == f"Press Enter to approve, press 1-{shown} to pick, 0 for none of these."
    alone = replace(a_session.proposal, candidates=())
    alone = replace(a_session, done=(replace(a_session.done[-1], proposal=alone),))
    assert alone.what_next == "Press Enter to approve.", "there are none to turn down"
    assert a_session.pick(0).what_next == "Computing; Esc cancels."

    def fewer(session, shown):
        some = replace(session.proposal, candidates=session.proposal.candidates[:shown], fewer_reason="Few.")
        return replace(session, done=(*session.done[:-1], replace(session.done[-1], proposal=some)))

    assert fewer(a_session, 0).what_next == "Nothing else is worth changing: press Enter to approve."
    one = "press Enter to approve, press 1 to pick the alternative, 0 for none of these."
    assert fewer(a_session, 1).what_next == f"Nothing else is worth changing: {one}"
    kept = fewer(a_session.keep().advance(an_engine), 0)
    assert kept.what_next == "Nothing else is worth changing: press Enter to approve."
    turned_down = fewer(a_session.none_of_these().advance(an_engine), 0)
    assert turned_down.what_next.startswith("Nothing else is likely: place a point to correct it, or press")
    assert a_session.approve().what_next == "Approved; Backspace takes it back."
    assert a_session.take(0).what_next == "Taken; Backspace takes it back."
