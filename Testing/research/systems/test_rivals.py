"""Every rival as an engine: what it shows, what it is given, and that it keeps nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.candidates import same_mask
from SPASegmentLib.inference.correcting import reach_mm
from SPASegmentLib.inference.messages import Answered, Corrected, Engine, Proposal, ProposalRequest
from SPASegmentLib.research.evaluation.interaction import OracleEngine, interact, slice_image
from SPASegmentLib.research.evaluation.protocol import Draw

CLICK = PointPrompt(23, 23)
ENGINES = ("level-set", "no-interaction", "mask-prompt", "oracle-label", "table3-all")
WITH_PICKS = ("level-set", "mask-prompt", "table3-all")


def ask(engine: Engine, case, answered: tuple[Answered, ...] = ()) -> Proposal:
    return engine.propose(ProposalRequest(slice_image(case), (CLICK,), answered))


def same_proposal(a: Proposal, b: Proposal) -> bool:
    return np.array_equal(a.probability, b.probability) and all(
        np.array_equal(x.mask, y.mask) for x, y in zip(a.candidates, b.candidates, strict=True)
    )


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


class Recorder:
    """Any engine, with all it is asked."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.model = engine, engine.model
        self.requests: list[ProposalRequest] = []
        self.proposals: list[Proposal] = []

    def propose(self, request: ProposalRequest, cancel: object = None) -> Proposal:
        self.requests.append(request)
        self.proposals.append(self.engine.propose(request))
        return self.proposals[-1]


@pytest.mark.parametrize("name", WITH_PICKS)
def test_a_rival_is_given_the_image_the_click_and_the_picks_and_nothing_else(engine_of, case, name):
    recorder = Recorder(engine_of(name))
    trace = interact(recorder, case, Draw(case.masks[3], (3,), CLICK), iterations=3)
    assert len(recorder.requests) == 3
    for number, request in enumerate(recorder.requests):
        assert {f.name for f in fields(request)} == {
            *("image", "points", "answered", "log_prior", "seed", "n_samples", "carried", "corrected"),
            *("alternatives", "usual_area"),
        }
        assert np.array_equal(request.image.pixels, case.image)
        assert request.points == (CLICK,)
        assert request.log_prior is None and request.usual_area is None
        assert request.carried is None and request.corrected is None
        assert [a.picked for a in request.answered] == trace.picks[:number]
        assert all(a.proposal is p for a, p in zip(request.answered, recorder.proposals, strict=False))


def test_a_point_changes_of_a_level_set_only_what_lies_near_it(engine_of, case):
    engine = engine_of("level-set")
    first = ask(engine, case)
    edge = int(np.flatnonzero(first.recommendation[23]).max())
    point = PointPrompt(23, edge, positive=False)
    shown = replace(Corrected.of(first), recommendation=first.recommendation.copy())
    shown.recommendation[:2, -2:] = True  # something the level set would not find again
    request = ProposalRequest(slice_image(case), (CLICK, point), corrected=shown)
    near, anew = engine.propose(request), engine.propose(replace(request, corrected=None))
    reach = reach_mm(request)
    rows, cols = np.indices(first.recommendation.shape)
    far = np.hypot(rows - 23, cols - edge) >= reach
    assert np.array_equal(near.recommendation[far], shown.recommendation[far])
    assert not np.array_equal(anew.recommendation[far], shown.recommendation[far])


@pytest.mark.parametrize("name", ENGINES)
def test_only_the_oracle_can_be_shown_the_target(engine_of, name):
    assert isinstance(engine_of(name), OracleEngine) == (name == "oracle-label")


@pytest.mark.parametrize("name", WITH_PICKS)
def test_another_target_changes_nothing_where_the_picks_are_the_same(engine_of, case, name):
    engine = engine_of(name)
    first = interact(engine, case, Draw(case.masks[0], (0,), CLICK), iterations=1).proposals[0]
    other = interact(engine, case, Draw(case.masks[3], (3,), CLICK), iterations=1).proposals[0]
    assert same_proposal(first, other)
    answered = (Answered(first, 0),)
    assert same_proposal(ask(engine, case, answered), ask(engine_of(name), case, answered))


@pytest.mark.parametrize("name", WITH_PICKS)
def test_an_engine_that_saw_nothing_before_goes_on_with_anothers_picks(engine_of, case, name):
    engine, answered = engine_of(name), ()
    for _ in range(3):
        proposal = ask(engine, case, answered)
        assert same_proposal(proposal, ask(engine_of(name), case, answered))
        answered = (*answered, Answered(proposal, len(proposal.candidates) - 1))


def test_no_interaction_shows_the_level_sets_first_recommendation_and_no_candidate(engine_of, case):
    plain, rival = ask(engine_of("no-interaction"), case), ask(engine_of("level-set"), case)
    assert np.array_equal(plain.recommendation, rival.recommendation)
    assert plain.candidates == ()
    assert plain.fewer_reason
    assert dice(plain.recommendation, case.masks[1]) > 0.6


@pytest.mark.parametrize("name", ["level-set", "level-set-area", "level-set-probability"])
def test_four_level_sets_are_nested_and_distinct(engine_of, case, name):
    proposal = ask(engine_of(name), case)
    masks = [c.mask for c in proposal.candidates]
    assert len(masks) == 4
    assert all((small <= large).all() for large, small in pairwise(masks))
    everything = [proposal.recommendation, *masks]
    assert not any(same_mask(a, b) for i, a in enumerate(everything) for b in everything[:i])


@pytest.mark.parametrize("level", [0.8, 0.35, 0.15])
def test_picks_bring_the_level_set_to_the_one_that_is_wanted(engine_of, case, level):
    engine = engine_of("level-set")
    wanted = ask(engine, case).probability >= level
    trace = interact(engine, case, Draw(wanted, (0,), CLICK))
    assert len(trace.proposals) == 6
    assert trace.dice[0] < trace.dice[2] + 0.02
    assert trace.dice[-1] > 0.95


def test_distinct_masks_are_shown_even_when_the_interval_holds_none(engine_of, case):
    engine = engine_of("level-set")
    trace = interact(engine, case, Draw(case.masks[1], (1,), CLICK))
    last = trace.proposals[-1]
    interval = last.feedback.interval
    assert interval.high - interval.low < 0.1
    assert len(last.candidates) == 4
    assert not any(same_mask(c.mask, last.recommendation) for c in last.candidates)


@pytest.mark.parametrize("name", ["level-set", "mask-prompt"])
def test_none_of_these_brings_other_candidates(engine_of, case, name):
    engine = engine_of(name)
    first = ask(engine, case)
    second = ask(engine, case, (Answered(first, None),))
    assert second.candidates
    assert not any(same_mask(a.mask, b.mask) for a in first.candidates for b in second.candidates)


def test_level_set_keeps_its_level_and_looks_closer_around_it(engine_of, case):
    engine = engine_of("level-set")
    first = ask(engine, case)
    second = ask(engine, case, (Answered(first, None, kept=True),))
    assert same_mask(second.recommendation, first.recommendation)
    assert second.candidates
    assert not any(same_mask(a.mask, b.mask) for a in first.candidates for b in second.candidates)
    width = [p.feedback.interval.high - p.feedback.interval.low for p in (first, second)]
    assert width[1] < 0.6 * width[0]


def test_picks_made_with_another_model_are_refused(engine_of, case):
    foreign = ask(engine_of("mask-prompt"), case)
    with pytest.raises(InputError, match="another model"):
        ask(engine_of("level-set"), case, (Answered(foreign, 0),))


def test_a_pick_reaches_the_network_of_mask_prompt(engine_of, case):
    engine = engine_of("mask-prompt")
    first = ask(engine, case)
    after = [ask(engine, case, (Answered(first, pick),)).probability for pick in (0, 3)]
    assert not np.array_equal(after[0], after[1])
    assert not np.array_equal(after[0], first.probability)


def test_the_hypotheses_of_a_single_map_average_to_it(engine_of, case):
    feedback = ask(engine_of("level-set"), case).feedback
    mean = feedback.samples.astype(float).mean(axis=0) / 255
    assert np.abs(mean - feedback.recommendation / 255).max() < 0.1


def test_the_oracle_answers_nothing_without_the_target(engine_of, case):
    with pytest.raises(InputError, match="only runs in an evaluation"):
        ask(engine_of("oracle-label"), case)


def test_the_oracle_tells_the_network_labels_of_the_target(engine_of, case):
    engine = engine_of("oracle-label")
    recorder = Recorder(engine._engine)
    engine._engine = recorder
    after = []
    for target in (np.ones((48, 48), bool), np.zeros((48, 48), bool)):
        engine.see_target(target)
        after.append(ask(engine, case, (Answered(ask(engine, case), 0),)))
    before, inside, _, outside = recorder.requests
    assert before.points == (CLICK,)
    assert inside.points == (CLICK, replace(outside.points[1], positive=True))
    assert outside.points == (CLICK, replace(inside.points[1], positive=False))
    at = round(inside.points[1].row), round(inside.points[1].col)
    assert after[0].probability[at] > 0.5 > after[1].probability[at]
    first = recorder.proposals[0]
    assert first.recommendation[at] != first.candidates[0].mask[at]


def test_a_seed_far_from_anything_is_answered_with_something(engine_of, case):
    blank = replace(case, image=np.random.default_rng(0).random((48, 48), dtype=np.float32))
    proposal = engine_of("level-set").propose(ProposalRequest(slice_image(blank), (PointPrompt(2, 45),)))
    assert proposal.recommendation.any()
