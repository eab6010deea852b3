"""Keeping the recommendation as an answer: it stays, others are shown around it, and the posterior knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage
from SPASegmentLib.inference.hypotheses import Hypotheses
from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.inference.messages import Answered, Proposal, RegionSamples
from SPASegmentLib.inference.session import Session
from SPASegmentLib.inference.session_log import SessionLog, log_of, replay
from SPASegmentLib.inference.steering import _answer


def lesion() -> SliceImage:
    """A disc with a broad rim: much to disagree about."""
    rows, cols = np.mgrid[:128, :128]
    distance = np.hypot(rows - 64, 1.2 * (cols - 62))
    noise = np.random.default_rng(1).normal(0, 0.02, rows.shape)
    pixels = np.clip(0.2 + 0.6 / (1 + np.exp((distance - 13) / 3)) + noise, 0, 1)
    return SliceImage(pixels.astype(np.float32), (0.7, 0.7), "CT")


@pytest.fixture(scope="module", params=["posterior", "clusters"])
def engine(request: pytest.FixtureRequest) -> LocalEngine:
    """The one that answers from the posterior, and the paper's candidates by K-means."""
    engine = load_engine("compact", "cpu")
    if request.param == "clusters":
        engine.config = replace(engine.config, harmonics=0)
    return engine


@pytest.fixture(scope="module")
def begun(engine: LocalEngine) -> Session:
    """A click and its proposal."""
    return Session.start(lesion(), engine.model, (64, 62), n_samples=24).advance(engine)


def masks(proposal: Proposal) -> list[bytes]:
    """Of the candidates."""
    return [candidate.mask.tobytes() for candidate in proposal.candidates]


def test_the_recommendation_stays_and_others_are_shown(engine: LocalEngine, begun: Session) -> None:
    first = begun.proposal
    kept = begun.keep().advance(engine)
    assert np.array_equal(kept.proposal.recommendation, first.recommendation)
    assert kept.proposal.candidates, "there is more to choose from"
    assert not set(masks(first)) & set(masks(kept.proposal))
    again = kept.keep().advance(engine)
    assert np.array_equal(again.proposal.recommendation, first.recommendation)
    assert not (set(masks(first)) | set(masks(kept.proposal))) & set(masks(again.proposal))
    assert kept.approve().result().picks == 0


def test_a_pick_after_it_moves_on_from_the_recommendation(engine: LocalEngine, begun: Session) -> None:
    kept = begun.keep().advance(engine)
    picked = kept.pick(0).advance(engine)
    assert not np.array_equal(picked.proposal.recommendation, begun.proposal.recommendation)


def test_a_point_that_speaks_against_it_is_obeyed(engine: LocalEngine, begun: Session) -> None:
    kept = begun.keep().advance(engine)
    outside = (64, int(np.flatnonzero(begun.proposal.recommendation[64]).max()) + 3)
    assert not kept.proposal.recommendation[outside]
    pointed = kept.add_point(*outside).advance(engine)
    assert pointed.proposal.recommendation[outside]


def test_it_replays_from_its_log_and_is_undone_in_one_step(engine: LocalEngine, begun: Session) -> None:
    kept = begun.keep().advance(engine).pick(0).advance(engine)
    log = SessionLog.model_validate_json(log_of(kept).model_dump_json())
    assert [step.kind for step in log.steps] == ["point", "keep", "pick"]
    same = replay(log, lesion(), engine)
    assert np.array_equal(same.proposal.recommendation, kept.proposal.recommendation)
    assert masks(same.proposal) == masks(kept.proposal)
    assert masks(kept.undo().undo().proposal) == masks(begun.proposal)


def test_only_the_last_answer_keeps(begun: Session) -> None:
    assert begun.add_point(60, 60).request().kept is None
    assert begun.none_of_these().request().kept is None
    assert begun.keep().request().kept is begun.proposal


def test_keeping_is_evidence_for_what_is_like_the_recommendation() -> None:
    engine = load_engine("compact", "cpu")
    proposal = Session.start(lesion(), engine.model, PointPrompt(64, 62)).advance(engine).proposal
    feedback = proposal.feedback
    even = np.full(len(feedback.samples), -np.log(len(feedback.samples)))
    grid = feedback.samples.shape[-1]
    region = Region(feedback.region.centre, feedback.region.size_mm, grid)
    hypotheses = Hypotheses(
        [RegionSamples(region, feedback.samples, even)], (0.7, 0.7), engine.config.harmonics
    )
    answer = _answer(Answered(proposal, None, kept=True), hypotheses)
    assert answer.picked == len(proposal.candidates)
    assert len(answer.shown.areas) == len(proposal.candidates) + 1
    own = proposal.recommendation.sum() * 0.7 * 0.7
    assert answer.shown.areas[-1] == pytest.approx(own, rel=0.1)
