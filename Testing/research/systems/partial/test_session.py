"""The interaction is a value with the words of `session`."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.errors import InputError, SeedError, StepError
from SPASegmentLib.research.systems.partial.labels import FOREGROUND, UNKNOWN
from SPASegmentLib.research.systems.partial.session import PartialSession


@pytest.fixture
def started(engine, image, rough) -> PartialSession:
    return PartialSession.of_labels(image, engine.model, rough).advance(engine)


def unknown(labels: np.ndarray) -> int:
    return int((labels == UNKNOWN).sum())


def test_a_picked_candidate_is_what_grows_next(started, engine):
    picked = started.proposal.candidates[0].labels
    after = started.pick(0).advance(engine)
    assert after.iteration == 2
    assert np.array_equal(after.proposal.given, picked)
    assert unknown(after.proposal.recommendation.labels) <= unknown(picked)


def test_going_on_grows_the_recommendation_until_little_is_unknown(started, engine, distance):
    session = started
    for _ in range(6):
        session = session.go_on().advance(engine)
    labels = session.approve().result().labels
    assert (labels[distance < 7] == FOREGROUND).all()
    assert session.approve().added > 200


def test_undo_and_redo_bring_back_the_same_proposals_without_computing(started, engine):
    after = started.pick(1).advance(engine)
    back = after.undo()
    assert back.proposal is started.proposal and back.iteration == 1
    assert back.redo().proposal is after.proposal
    assert len(engine.requests) == 2
    with pytest.raises(StepError, match="rough labelling"):
        back.undo()
    with pytest.raises(StepError, match="nothing to redo"):
        started.redo()


def test_a_pending_step_can_be_taken_back(started):
    assert started.pick(0).undo().proposal is started.proposal
    with pytest.raises(StepError, match="still being computed"):
        started.pick(0).pick(0)


def test_none_of_these_turns_down_what_was_shown_until_the_next_pick(started):
    request = started.none_of_these().request()
    assert len(request.rejected) == len(started.proposal.candidates)
    assert np.array_equal(request.labels, started.labels)
    assert started.pick(0).request().rejected == ()


def test_approve_takes_the_recommendation_and_take_a_candidate(started):
    assert started.approve().result() is started.proposal.recommendation
    assert started.take(1).result() is started.proposal.candidates[1]
    assert (started.approve().state, started.take(1).state) == ("approved", "taken")
    with pytest.raises(StepError, match="approved already"):
        started.approve().pick(0)
    assert not started.approve().undo().finished


def test_what_does_not_fit_is_refused(started, engine, image, rough):
    with pytest.raises(StepError, match="no candidate 9; choose 1 to"):
        started.pick(8)
    with pytest.raises(StepError, match="No labelling is final"):
        started.result()
    with pytest.raises(SeedError, match="no foreground"):
        PartialSession.of_labels(image, engine.model, np.zeros_like(rough))
    with pytest.raises(InputError, match="random seed"):
        PartialSession.of_labels(image, engine.model, rough, random_seed=-1)
