"""Users who pick by the distance between outlines, or at random now and then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_toys import RecordingEngine, ToyDataset, ToyEngine

from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.evaluation.interaction import interact, run_case
from SPASegmentLib.research.evaluation.metrics import dice_of_each
from SPASegmentLib.research.evaluation.protocol import BOUNDARY, KEEP, NOISE, NOISY, Draw, draw
from SPASegmentLib.research.evaluation.results import course
from SPASegmentLib.research.evaluation.surfaces import mean_boundary_distance, surface_dice
from SPASegmentLib.research.evaluation.users import choice_of

FURTHER = (BOUNDARY, NOISY)


@pytest.fixture
def a_case() -> Case:
    return ToyDataset()[2]


@pytest.fixture
def its_draw(a_case: Case) -> Draw:
    found = draw(a_case, 0)
    assert found is not None
    return found


def shown_with(case: Case, wanted: Draw, *masks: np.ndarray) -> tuple[Proposal, list[float]]:
    """A proposal that shows these masks, and their Dice."""
    proposal = interact(ToyEngine(), case, wanted, iterations=1).proposals[0]
    candidates = tuple(replace(one, mask=mask) for one, mask in zip(proposal.candidates, masks, strict=False))
    values = dice_of_each(np.stack(masks), wanted.target)
    return replace(proposal, candidates=candidates), [float(value) for value in values]


def test_who_goes_by_the_boundary_minds_a_far_speck_that_hardly_changes_dice(a_case: Case) -> None:
    target = np.zeros((32, 32), bool)
    target[8:20, 8:20] = True
    wanted = Draw(target, (0,), draw(a_case, 0).click)  # type: ignore[union-attr]
    speck, thin = target.copy(), np.zeros_like(target)
    speck[29:31, 29:31] = True
    thin[9:20, 8:20] = True
    proposal, dice = shown_with(a_case, wanted, speck, thin)
    assert dice[0] > dice[1]
    assert choice_of("always-pick", a_case, target, 0)(proposal, 0.9, dice) == 0
    assert choice_of(BOUNDARY, a_case, target, 0)(proposal, 0.9, dice) == 1
    equal, values = shown_with(a_case, wanted, thin, thin, speck)
    assert choice_of(BOUNDARY, a_case, target, 0)(equal, 0.9, values) == 0


def test_the_boundary_user_takes_the_nearest_outline_at_every_iteration(a_case: Case, its_draw: Draw) -> None:
    engine = RecordingEngine()
    run_case(engine, a_case, its_draw, users=(BOUNDARY,))
    last = engine.requests[-1].answered
    assert len(last) == 5
    for answer in last:
        shown = [candidate.mask for candidate in answer.proposal.candidates]
        away = [mean_boundary_distance(mask, its_draw.target, a_case.spacing) for mask in shown]
        assert answer.picked == int(np.argmin(away))


def test_who_may_keep_does_so_where_no_candidate_is_better(a_case: Case, its_draw: Draw) -> None:
    proposal = interact(ToyEngine(), a_case, its_draw, iterations=1).proposals[0]
    choose = choice_of(KEEP, a_case, its_draw.target, 0)
    assert choose(proposal, 0.8, [0.7, 0.9, 0.9]) == 1
    assert choose(proposal, 0.9, [0.7, 0.9, 0.9]) is None
    assert choose(proposal, 0.95, [0.7, 0.9, 0.9]) is None


def test_the_engine_is_told_what_was_kept_and_the_record_counts_it(a_case: Case, its_draw: Draw) -> None:
    engine = RecordingEngine()
    record = run_case(engine, a_case, its_draw, users=(KEEP,))
    answered = engine.requests[-1].answered
    assert len(answered) == 5 and 0 < sum(answer.kept for answer in answered) < 5
    for answer in answered:
        shown = [answer.proposal.recommendation, *(one.mask for one in answer.proposal.candidates)]
        values = dice_of_each(np.stack(shown), its_draw.target)
        assert answer.kept == (answer.picked is None) == (values[1:].max() <= values[0])
    found = record.users[KEEP]
    assert (found["picks"], found["keeps"]) == (5 - found["keeps"], sum(one.kept for one in answered))
    assert course([record], KEEP).picks.tolist() == [found["picks"]]


def test_the_noisy_user_errs_in_fifteen_of_a_hundred_picks(a_case: Case, its_draw: Draw) -> None:
    proposal = interact(ToyEngine(), a_case, its_draw, iterations=1).proposals[0]
    dice, picked = [0.1, 0.2, 0.9, 0.3], []
    for number in range(400):
        choose = choice_of(NOISY, replace(a_case, case_id=f"case-{number}"), its_draw.target, 0)
        picked += [choose(proposal, 0.5, dice) for _ in range(5)]
    shares = np.bincount(picked, minlength=4) / len(picked)
    assert shares[2] == pytest.approx(1 - NOISE * 3 / 4, abs=0.015)
    assert shares[[0, 1, 3]] == pytest.approx([NOISE / 4] * 3, abs=0.015)


def test_the_noisy_users_whims_are_those_of_data_set_case_and_seed(a_case: Case, its_draw: Draw) -> None:
    proposal = interact(ToyEngine(), a_case, its_draw, iterations=1).proposals[0]

    def whims(case: Case, seed: int) -> list[int]:
        choose = choice_of(NOISY, case, its_draw.target, seed)
        return [choose(proposal, 0.5, [0.1, 0.9, 0.2, 0.3]) for _ in range(60)]

    assert whims(a_case, 0) == whims(a_case, 0)
    others = [replace(a_case, case_id="other"), replace(a_case, dataset="other")]
    assert whims(a_case, 0) not in [whims(a_case, 1), *(whims(case, 0) for case in others)]


def test_a_record_keeps_them_beside_the_user_who_goes_by_dice(a_case: Case, its_draw: Draw) -> None:
    alone = run_case(ToyEngine(), a_case, its_draw)
    record = run_case(ToyEngine(), a_case, its_draw, users=FURTHER)
    assert set(record.users) == set(FURTHER) and not alone.users
    assert (record.dice, record.picks, record.surface) == (alone.dice, alone.picks, alone.surface)
    for user in FURTHER:
        assert len(record.users[user]["dice"]) == len(record.users[user]["surface"]) == 6
        assert record.users[user]["dice"][0] == record.dice[0]
        assert course([record], user).dice[0].tolist() == record.users[user]["dice"]
        assert course([record], user).picks.tolist() == [5]
    seeds = [run_case(ToyEngine(), a_case, its_draw, users=(NOISY,), protocol_seed=seed) for seed in range(9)]
    assert len({tuple(one.users[NOISY]["dice"]) for one in seeds}) > 1


def test_surface_dice_is_within_a_millimetre_or_two_pixels_of_unknown_size(
    a_case: Case, its_draw: Draw
) -> None:
    first = interact(ToyEngine(), a_case, its_draw, iterations=1).proposals[0].recommendation
    wanted = replace(its_draw, target=np.roll(first, 2, axis=0))  # two pixels of 0.7 mm away
    found = {}
    for known, tolerance in ((True, 1.0), (False, 1.4)):
        record = run_case(ToyEngine(), replace(a_case, spacing_known=known), wanted, iterations=1)
        assert record.surface == pytest.approx(surface_dice(first, wanted.target, (0.7, 0.7), [tolerance]))
        found[known] = record.surface[0]
    assert found[True] < found[False] == 1


def test_a_refused_image_has_no_surface_in_common(its_draw: Draw) -> None:
    record = run_case(ToyEngine(), ToyDataset(constant=(2,))[2], its_draw, users=FURTHER)
    assert record.error and record.surface == [0.0] * 6
    assert course([record], NOISY).dice.tolist() == [[0.0] * 6]
