"""Sessions written down and replayed."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import Carried, UsualArea
from SPASegmentLib.inference.session import Session
from SPASegmentLib.inference.session_log import SessionLog, log_of, replay


def same(a: Session, b: Session) -> bool:
    """Whether two sessions hold the same steps with, voxel for voxel, the same proposals."""
    if (a.pending, a.random_seed, a.learn, a.n_samples) != (b.pending, b.random_seed, b.learn, b.n_samples):
        return False
    for left, right in ((a.done, b.done), (a.undone, b.undone)):
        if [d.step for d in left] != [d.step for d in right]:
            return False
        for one, other in zip(left, right, strict=True):
            if (one.proposal is None) != (other.proposal is None):
                return False
            if one.proposal and other.proposal:
                np.testing.assert_array_equal(one.proposal.probability, other.proposal.probability)
                for c, d in zip(one.proposal.candidates, other.proposal.candidates, strict=True):
                    np.testing.assert_array_equal(c.mask, d.mask)
                    assert c.description == d.description
    return True


@pytest.fixture
def a_long_session(an_engine, an_image) -> Session:
    session = Session.start(
        an_image,
        an_engine.model,
        (30, 34),
        log_prior=np.array([0.1, -0.25, 1 / 3]),
        usual_area=UsualArea(5.5, 0.75),
        learn=False,
        random_seed=7,
    )
    session = session.advance(an_engine).pick(1).advance(an_engine).none_of_these().advance(an_engine)
    return session.add_point(9.25, 50.5, positive=False).advance(an_engine)


def test_a_log_replays_to_the_identical_result(a_long_session, an_engine, an_image):
    finished = a_long_session.take(0)
    again = replay(log_of(finished), an_image, an_engine)
    assert same(finished, again)
    np.testing.assert_array_equal(finished.result().mask, again.result().mask)
    np.testing.assert_array_equal(again.log_prior, finished.log_prior)
    assert again.usual_area == finished.usual_area == UsualArea(5.5, 0.75)


def test_a_session_is_restored_in_the_middle_with_what_redo_and_the_pending_step_hold(
    a_long_session, an_engine, an_image
):
    middle = a_long_session.undo().undo().pick(0)
    assert middle.state == "computing"
    assert len(middle.undone) == 2
    restored = replay(SessionLog.model_validate_json(log_of(middle).model_dump_json()), an_image, an_engine)
    assert same(middle, restored)
    assert same(middle.cancel().redo().redo(), a_long_session)
    assert same(restored.cancel().redo().redo(), a_long_session)
    assert same(restored.advance(an_engine), middle.advance(an_engine))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["0", "1", "none", "point", "undo", "redo", "approve", "take"]), max_size=6))
def test_whatever_was_done_the_log_brings_it_back(an_engine, an_image, choices):
    session = Session.start(an_image, an_engine.model, (30, 34)).advance(an_engine)
    for choice in choices:
        if choice == "undo":
            session = session.undo() if session.done or session.pending else session
        elif choice == "redo":
            session = session.redo() if session.can_redo else session
        elif choice == "point":
            session = session if session.finished else session.add_point(20, 20)
        elif session.state == "open":
            step = {"none": session.none_of_these, "approve": session.approve}.get(choice)
            number = len(session.proposal.candidates)
            if step:
                session = step()
            elif choice == "take":
                session = session.take(0) if number else session
            elif int(choice) < number:
                session = session.pick(int(choice))
        session = session.advance(an_engine)
    log = log_of(session)
    assert same(session, replay(type(log).model_validate_json(log.model_dump_json()), an_image, an_engine))


def test_a_log_holds_no_image_and_is_small(a_long_session):
    text = log_of(a_long_session).model_dump_json(indent=1)
    assert len(text) < 3000
    keys = set(json.loads(text))
    assert keys == {
        *("format", "version", "model", "image", "shape", "random_seed", "learn", "n_samples", "log_prior"),
        *("usual_area", "carried", "goes_on", "steps", "undone", "pending"),
    }


def test_equal_sessions_write_equal_logs(a_long_session, an_engine, an_image):
    again = replay(log_of(a_long_session), an_image, an_engine)
    assert log_of(again).model_dump_json() == log_of(a_long_session).model_dump_json()


def test_a_log_of_another_slice_or_model_is_refused(a_long_session, an_engine, another_engine, an_image):
    log = log_of(a_long_session)
    with pytest.raises(InputError, match="belongs to another slice"):
        replay(log, SliceImage(an_image.pixels[::-1].copy(), an_image.spacing), an_engine)
    with pytest.raises(InputError, match='made with the model "toy"'):
        replay(log, an_image, another_engine)


def test_masks_that_come_out_differently_are_warned_of(a_long_session, an_engine, an_image, caplog):
    log = log_of(a_long_session)
    steps = (log.steps[0].model_copy(update={"proposal": "0" * 64}), *log.steps[1:])
    with caplog.at_level(logging.WARNING):
        replay(log.model_copy(update={"steps": steps}), an_image, an_engine)
    assert [r.getMessage() for r in caplog.records] == [
        "Step 1 replays to masks that differ from the logged ones."
    ]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"version": 2}, "version"),
        ({"random_seed": -3}, "random_seed"),
        ({"steps": [{"kind": "dance"}]}, "steps.0"),
        ({"steps": [{"kind": "pick", "candidate": -1}]}, "steps.0.pick.candidate"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_damaged_log_says_what_is_wrong_with_it(a_long_session, change, place):
    content = json.loads(log_of(a_long_session).model_dump_json())
    with pytest.raises(ValidationError) as error:
        SessionLog.model_validate_json(json.dumps(content | change))
    assert ".".join(map(str, error.value.errors()[0]["loc"])) == place


def test_an_interaction_that_began_from_a_carried_mask_replays(an_image, an_engine):
    mask = np.zeros(an_image.shape, np.float32)
    mask[20:40, 22:44] = 0.8
    session = Session.start(an_image, an_engine.model, carried=Carried(mask)).advance(an_engine)
    session = session.pick(0).advance(an_engine)
    log = SessionLog.model_validate_json(log_of(session).model_dump_json())
    again = replay(log, an_image, an_engine)
    request, requested = an_engine.requests[-1], an_engine.requests[1]
    np.testing.assert_array_equal(request.carried.mask, mask >= 0.5)
    np.testing.assert_array_equal(request.carried.mask, requested.carried.mask)
    assert request.points == requested.points == again.points
    assert log_of(again) == log
    for damaged in ("", "???", log.carried[:-8], log_of(session).carried.replace("e", "f")):
        with pytest.raises(InputError, match="damaged"):
            replay(log.model_copy(update={"carried": damaged}), an_image, an_engine)
