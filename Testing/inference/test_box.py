"""A box says how large the object is: the network looks there and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.errors import SeedError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.inference.session import Session
from SPASegmentLib.inference.session_log import SessionLog, log_of, replay


@pytest.fixture(scope="module")
def engine(a_model):
    return load_engine(a_model, "cpu")


@pytest.fixture(scope="module")
def image() -> SliceImage:
    return SliceImage(np.random.default_rng(0).random((160, 160), dtype=np.float32), (0.5, 0.8), "CT")


@pytest.mark.parametrize("size_mm", [20.0, 45.0])
def test_the_region_fits_the_box(engine, image, size_mm):
    proposal = engine.propose(ProposalRequest(image, (PointPrompt(80, 70, size_mm=size_mm),)))
    region = proposal.feedback.region
    assert region.centre == (80, 70)
    assert region.size_mm == pytest.approx(engine.config.zoom_factor * size_mm)


def test_a_tiny_box_still_shows_its_surroundings(engine, image):
    proposal = engine.propose(ProposalRequest(image, (PointPrompt(80, 70, size_mm=0.1),)))
    assert proposal.feedback.region.size_mm == pytest.approx(24 * 0.5)


def test_a_point_outside_the_box_makes_room_for_itself(engine, image):
    points = (PointPrompt(80, 70, size_mm=20.0), PointPrompt(80, 120))
    proposal = engine.propose(ProposalRequest(image, points))
    assert proposal.feedback.region.size_mm > engine.config.zoom_factor * 20.0
    assert proposal.recommendation[80, 120] and proposal.recommendation[80, 70]


@pytest.mark.parametrize("size_mm", [0.0, -3.0, float("nan"), float("inf")])
def test_a_box_without_a_size_is_refused_in_a_sentence(engine, image, size_mm):
    with pytest.raises(SeedError, match="has no size"):
        engine.propose(ProposalRequest(image, (PointPrompt(80, 70, size_mm=size_mm),)))


def test_a_session_and_its_log_keep_the_box(engine, image):
    session = Session.start(image, engine.model, PointPrompt(80, 70, size_mm=45.0)).advance(engine)
    assert session.points == (PointPrompt(80.0, 70.0, True, 45.0),)
    log = SessionLog.model_validate_json(log_of(session).model_dump_json())
    again = replay(log, image, engine)
    assert again.points == session.points
    np.testing.assert_array_equal(again.proposal.recommendation, session.proposal.recommendation)
    small = Session.start(image, engine.model, PointPrompt(80, 70, size_mm=20.0)).advance(engine)
    assert small.proposal.feedback.region != session.proposal.feedback.region
