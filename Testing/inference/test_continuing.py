"""An existing mask is recommended first, and the model's alternatives are described against it."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import Carried
from SPASegmentLib.inference.session import Session
from SPASegmentLib.inference.session_log import SessionLog, log_of, replay


@pytest.fixture(scope="module")
def engine(a_model):
    return load_engine(a_model, "cpu")


@pytest.fixture(scope="module")
def image() -> SliceImage:
    return SliceImage(np.random.default_rng(0).random((96, 96), dtype=np.float32), (0.8, 0.8), "CT")


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    """A bar, which the model of discs would never draw."""
    mask = np.zeros((96, 96), bool)
    mask[40:52, 30:70] = True
    return mask


@pytest.fixture
def begun(engine, image, mask) -> Session:
    session = Session.start(image, engine.model, carried=Carried(mask.astype(np.float32)), goes_on=True)
    return session.advance(engine)


def test_the_mask_is_recommended_and_approved_as_it_is(begun, mask):
    np.testing.assert_array_equal(begun.proposal.recommendation, mask)
    assert begun.proposal.area_mm2 == pytest.approx(mask.sum() * 0.64)
    np.testing.assert_array_equal(begun.approve().result().mask, mask)


def test_the_alternatives_are_described_against_it(begun, mask):
    assert len(begun.proposal.candidates) > 1
    for one in begun.proposal.candidates:
        assert one.description.added_mm2 == pytest.approx((one.mask & ~mask).sum() * 0.64)
        assert one.description.removed_mm2 == pytest.approx((mask & ~one.mask).sum() * 0.64)
    assert len({one.name for one in begun.proposal.candidates}) == len(begun.proposal.candidates)


def test_a_pick_is_taken_as_preferred_to_the_mask(begun, engine, mask):
    region = begun.proposal.feedback.region
    drawn = begun.proposal.feedback.recommendation
    assert drawn.shape == (region.grid, region.grid) and set(np.unique(drawn)) == {0, 255}
    cell_mm2 = (region.size_mm / region.grid) ** 2
    assert (drawn > 0).sum() * cell_mm2 == pytest.approx(mask.sum() * 0.64, rel=0.15)
    after = begun.pick(0).advance(engine)
    assert not np.array_equal(after.proposal.recommendation, mask)


def test_a_point_asks_the_model_again(begun, engine, mask):
    after = begun.add_point(30, 50).advance(engine)
    assert after.proposal.recommendation[30, 50]
    assert not np.array_equal(after.proposal.recommendation, mask)


def test_none_of_these_asks_the_model_again(begun, engine, mask):
    after = begun.none_of_these().advance(engine)
    assert not np.array_equal(after.proposal.recommendation, mask)


def test_undo_brings_the_mask_back(begun, engine, mask):
    after = begun.pick(0).advance(engine).undo()
    np.testing.assert_array_equal(after.proposal.recommendation, mask)


def test_a_log_replays_it(begun, image, engine, mask):
    picked = begun.pick(0).advance(engine)
    for session in (begun, picked):
        log = SessionLog.model_validate_json(log_of(session).model_dump_json())
        again = replay(log, image, engine)
        np.testing.assert_array_equal(again.proposal.recommendation, session.proposal.recommendation)
        assert log_of(again) == log_of(session)


def test_a_mask_of_a_neighbouring_slice_is_only_a_hint(image, engine, mask):
    session = Session.start(image, engine.model, carried=Carried(mask.astype(np.float32))).advance(engine)
    assert not np.array_equal(session.proposal.recommendation, mask)


def test_the_mask_can_be_kept_while_others_are_shown(begun, engine, mask):
    after = begun.keep().advance(engine)
    np.testing.assert_array_equal(after.proposal.recommendation, mask)
    before = {one.mask.tobytes() for one in begun.proposal.candidates}
    assert all(one.mask.tobytes() not in before for one in after.proposal.candidates)
