"""What reaches the engine, and what is written down of an interaction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_toys import RecordingEngine, ToyDataset, ToyEngine

from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.evaluation.interaction import interact, run_case
from SPASegmentLib.research.evaluation.metrics import dice
from SPASegmentLib.research.evaluation.protocol import Draw, TargetRule, draw
from SPASegmentLib.research.evaluation.records import CaseRecord, from_line, to_line, unpack_mask


@pytest.fixture
def a_case() -> Case:
    return ToyDataset()[2]


@pytest.fixture
def its_draw(a_case: Case) -> Draw:
    drawn = draw(a_case, 0)
    assert drawn is not None
    return drawn


def fingerprint(request: ProposalRequest) -> tuple:
    """All that a request tells an engine; its own earlier proposals by identity of content."""
    told = [
        (answer.picked, answer.proposal.recommendation.tobytes(), answer.proposal.feedback.samples.tobytes())
        for answer in request.answered
    ]
    return (request.image.key, request.image.modality, request.points, request.seed, request.n_samples, told)


def test_the_engine_is_told_the_click_and_the_picks_and_nothing_else(a_case: Case, its_draw: Draw) -> None:
    engine = RecordingEngine()
    trace = interact(engine, a_case, its_draw)
    assert [len(request.answered) for request in engine.requests] == [0, 1, 2, 3, 4, 5]
    for number, request in enumerate(engine.requests):
        assert request.points == (its_draw.click,)
        assert (request.image.pixels == a_case.image).all()
        assert [answer.picked for answer in request.answered] == trace.picks[:number]
        for answer, proposal in zip(request.answered, trace.proposals, strict=False):
            assert answer.proposal is proposal
        assert request.log_prior is None


def test_a_target_swapped_after_the_click_changes_nothing_before_the_first_pick(
    a_case: Case, its_draw: Draw
) -> None:
    ours, theirs = RecordingEngine(), RecordingEngine()
    first = interact(ours, a_case, its_draw)
    only_the_click = np.zeros_like(its_draw.target)
    only_the_click[int(its_draw.click.row), int(its_draw.click.col)] = True
    second = interact(theirs, a_case, replace(its_draw, target=only_the_click))
    assert fingerprint(ours.requests[0]) == fingerprint(theirs.requests[0])
    assert (first.proposals[0].recommendation == second.proposals[0].recommendation).all()
    assert first.picks[0] != second.picks[0]
    told = [answer.picked for answer in theirs.requests[1].answered]
    assert told == [second.picks[0]]


def test_equal_picks_give_equal_requests_whatever_the_target(a_case: Case, its_draw: Draw) -> None:
    """Two targets that lead to the same picks cannot be told apart by the engine."""
    almost = its_draw.target.copy()
    almost[0, 0] = True
    ours, theirs = RecordingEngine(), RecordingEngine()
    first = interact(ours, a_case, its_draw)
    second = interact(theirs, a_case, replace(its_draw, target=almost))
    assert first.picks == second.picks
    assert list(map(fingerprint, ours.requests)) == list(map(fingerprint, theirs.requests))
    assert first.dice != second.dice


def test_masks_of_raters_never_reach_the_engine(a_case: Case, its_draw: Draw) -> None:
    engine = RecordingEngine()
    others = replace(a_case, masks=a_case.masks[:, ::-1].copy())
    interact(engine, a_case, its_draw)
    before = list(map(fingerprint, engine.requests))
    engine.requests.clear()
    interact(engine, others, its_draw)
    assert list(map(fingerprint, engine.requests)) == before


def test_picks_are_the_best_candidates_and_dice_is_of_the_recommendations(
    a_case: Case, its_draw: Draw
) -> None:
    trace = interact(ToyEngine(), a_case, its_draw)
    for number, proposal in enumerate(trace.proposals):
        assert trace.dice[number] == dice(proposal.recommendation, its_draw.target)
        expected = [dice(candidate.mask, its_draw.target) for candidate in proposal.candidates]
        assert trace.candidates[number] == expected
        if number < 5:
            assert expected[trace.picks[number]] == max(expected)


def test_the_approving_user_goes_the_same_way_and_stops_earlier(its_draw: Draw) -> None:
    stopped = 0
    for case in ToyDataset(12):
        drawn = draw(case, 0, TargetRule("majority"))
        assert drawn is not None
        whole = interact(ToyEngine(), case, drawn)
        short = interact(ToyEngine(), case, drawn, may_approve=True)
        length = len(short.dice)
        assert short.dice == whole.dice[:length]
        assert short.picks == whole.picks[: length - 1]
        assert length == 6 or short.dice[-1] > max(short.candidates[-1])
        assert all(d <= max(c) for d, c in zip(short.dice[:-1], short.candidates[:-1], strict=True))
        stopped += length < 6
    assert stopped > 0


def test_without_candidates_the_last_dice_stands(a_case: Case, its_draw: Draw) -> None:
    record = run_case(ToyEngine(candidates=0), a_case, its_draw)
    assert record.dice == [record.dice[0]] * 6
    assert record.picks == []
    assert record.candidates == [[]]
    assert len(record.seconds) == 1
    assert len(record.rater_dice) == 6


def test_an_image_the_engine_refuses_counts_as_nothing_segmented() -> None:
    case = ToyDataset(4, constant=(2,))[2]
    drawn = draw(case, 0)
    assert drawn is not None
    record = run_case(ToyEngine(), case, drawn)
    assert record.dice == [0.0] * 6
    assert "constant" in record.error


def test_the_record_holds_every_figure_of_the_case(a_case: Case, its_draw: Draw) -> None:
    named = replace(a_case, raters=("Ann", "Bob", "Cy", "Di"))
    record = run_case(ToyEngine(), named, its_draw)
    trace = interact(ToyEngine(), named, its_draw)
    assert record.dice == pytest.approx(trace.dice, abs=1e-8)
    assert record.picks == trace.picks
    assert [len(row) for row in record.similarity] == [6] * 6
    assert np.shape(record.rater_dice) == (6, 4)
    for row, proposal in zip(record.rater_dice, trace.proposals, strict=True):
        assert row == pytest.approx([dice(m, proposal.recommendation) for m in named.masks], abs=1e-8)
    assert (unpack_mask(record.pictures["last"]) == trace.proposals[-1].recommendation).all()
    assert record.included == list(its_draw.included)
    assert np.sum(record.calibration, axis=0)[0] == a_case.image.size
    assert from_line(CaseRecord, to_line(record)) == record


def test_the_number_of_samples_and_the_prior_reach_the_engine(a_case: Case, its_draw: Draw) -> None:
    engine = RecordingEngine()
    prior = np.array([0.0, 1.0, 2.0, 3.0])
    interact(engine, a_case, its_draw, iterations=1, n_samples=24, log_prior=prior)
    [request] = engine.requests
    assert request.n_samples == 24
    assert request.log_prior is not None
    assert request.log_prior.tolist() == prior.tolist()
