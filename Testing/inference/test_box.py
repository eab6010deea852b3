"""A box says how large the object is: the network looks there and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SPASegmentLib.errors import SeedError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.continuing import FITS_BETTER, filling
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


def side_mm(mask, spacing):
    sides = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    return max((hit[-1] - hit[0] + 1) * step for hit, step in zip(sides, spacing, strict=True))


@pytest.mark.parametrize("share", [0.6, 0.8, 1.0, 1.3])
def test_the_mask_that_fills_the_box_best_is_recommended(engine, image, share):
    plain = engine.propose(ProposalRequest(image, (PointPrompt(80, 70, size_mm=45.0),)))
    every = [plain.recommendation, *(one.mask for one in plain.candidates)]
    wanted = share * side_mm(plain.recommendation, image.spacing)
    found = filling(plain, wanted, image.spacing)
    fits = [min(s, wanted) / max(s, wanted) for s in (side_mm(mask, image.spacing) for mask in every)]
    assert fits[0] + FITS_BETTER > max(fits) or not np.array_equal(found.recommendation, every[0])
    own = side_mm(found.recommendation, image.spacing)
    assert min(own, wanted) / max(own, wanted) > max(fits) - FITS_BETTER
    for one in found.candidates:
        assert one.description.added_mm2 == pytest.approx((one.mask & ~found.recommendation).sum() * 0.4)


class Timid:
    """An engine that recommends a single pixel."""

    def __init__(self, engine):
        self._engine, self.model = engine, engine.model

    def propose(self, request, cancel=None):
        proposal = self._engine.propose(request, cancel)
        pixel = np.zeros(request.image.shape, bool)
        pixel[round(request.points[0].row), round(request.points[0].col)] = True
        return replace(proposal, recommendation=pixel)


def test_a_session_recommends_what_fills_the_box_until_the_user_says_otherwise(engine, image):
    timid = Timid(engine)
    session = Session.start(image, engine.model, PointPrompt(80, 70, size_mm=30.0)).advance(timid)
    assert side_mm(session.proposal.recommendation, image.spacing) > 10
    assert session.pick(0).advance(timid).proposal.recommendation.sum() == 1
    assert session.add_point(80, 72).advance(timid).proposal.recommendation.sum() == 1
    click = Session.start(image, engine.model, PointPrompt(80, 70)).advance(timid)
    assert click.proposal.recommendation.sum() == 1


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
