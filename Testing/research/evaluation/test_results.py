"""Figures of a model from records worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.results import course, default_thresholds, paired_difference, summarise


def a_record(case: str, dice: list[float], best: list[float], patient: str = "") -> CaseRecord:
    """A record in which one candidate is the best and another 0.1 worse."""
    return CaseRecord(
        case,
        patient or case,
        dice=dice,
        candidates=[[value - 0.1, value] for value in best],
        similarity=[[0.9 - 0.1 * i] for i in range(len(best))],
        picks=[1] * (len(best) - 1),
        ged=0.2,
        d_max=0.9,
        ged_16=0.25,
        hm_iou_16=0.6,
        d_max_16=0.85,
        calibration=[[10.0, 4.0, 3.0], [10.0, 9.0, 9.0]],
        seconds=[1.0, 0.2, 0.4],
    )


UP = a_record("up", [0.5, 0.6, 0.7], [0.6, 0.7, 0.8])
STOPS = a_record("stops", [0.5, 0.9, 0.8], [0.9, 0.8, 0.7])
NOTHING = CaseRecord("nothing", "nothing", dice=[0.0] * 3, error="constant")


def figures(*records: CaseRecord) -> dict:
    return summarise(
        records,
        users=("always-pick", "approve"),
        headline="always-pick",
        thresholds=(0.6, 0.75),
        resamples=200,
    )


def test_dice_gain_noi_and_failure_by_hand() -> None:
    found = figures(UP, STOPS)
    assert found["dice"] == {"1": 0.5, "2": 0.75, "3": 0.75}
    assert found["gain"] == {"1-2": 0.25, "2-3": 0.0, "overall": 0.25}
    assert found["noi"] == {"0.60": 2.0, "0.75": 6.0}
    assert found["failure_rate"] == {"0.60": 0.0, "0.75": 0.5}
    assert found["picks"] == 2


def test_the_approving_user_keeps_what_it_approved() -> None:
    run = course([UP, STOPS], "approve")
    assert run.dice.tolist() == [[0.5, 0.6, 0.7], [0.5, 0.9, 0.9]]
    assert run.picks.tolist() == [2, 1]
    found = figures(UP, STOPS)["users"]["approve"]
    assert found["dice"] == {"1": 0.5, "2": 0.75, "3": 0.8}
    assert found["picks"] == 1.5


def test_the_headline_is_the_always_picking_user() -> None:
    found = figures(UP, STOPS)
    assert found["dice"] == found["users"]["always-pick"]["dice"]


def test_candidates_uncertainty_and_seconds() -> None:
    found = figures(UP, STOPS)
    assert found["candidate_similarity"] == {"1": 0.9, "2": 0.8, "3": 0.7}
    assert found["best_candidate_gain"] == {"1": 0.25, "2": 0.0, "3": 0.0}
    assert found["candidates_shown"] == {"1": 2.0, "2": 2.0, "3": 2.0}
    assert (found["ged"], found["d_max"]) == (0.2, 0.9)
    assert (found["ged_16"], found["hm_iou_16"], found["d_max_16"]) == (0.25, 0.6, 0.85)
    assert found["ged_drawn"] is None
    assert found["ece"] == pytest.approx(0.05)
    assert (found["seconds_per_click"], found["seconds_per_pick"]) == (1.0, 0.3)


def test_a_refused_case_counts_with_dice_zero_and_has_no_other_figures() -> None:
    found = figures(UP, NOTHING)
    assert found["dice"]["3"] == 0.35
    assert found["failure_rate"]["0.60"] == 0.5
    assert found["errors"] == 1
    assert found["ged"] == 0.2
    alone = figures(NOTHING)
    assert alone["ged"] is None
    assert alone["seconds_per_click"] is None
    assert alone["candidate_similarity"] == {}


def test_two_models_are_compared_on_the_cases_both_have() -> None:
    first = [a_record("a", [0.5, 0.7], [0.6, 0.6]), a_record("b", [0.6, 0.9], [0.6, 0.6]), UP]
    second = [a_record("a", [0.4, 0.5], [0.6, 0.6]), a_record("b", [0.6, 0.7], [0.6, 0.6])]
    found = paired_difference(first, second, user="always-pick", resamples=500)
    assert found["cases"] == 2
    assert found["dice"] == {"1": 0.05, "2": 0.2}
    assert found["interval"] == {"1": [0.0, 0.1], "2": [0.2, 0.2]}
    assert paired_difference(first, [], user="always-pick", resamples=10)["cases"] == 0


def test_the_area_under_dice_and_surface_dice_by_hand() -> None:
    rows = [replace(UP, surface=[0.2, 0.4, 0.6]), replace(STOPS, surface=[0.4, 0.8, 1.0])]
    found = figures(*rows)["users"]
    assert found["always-pick"]["auc"] == pytest.approx((0.6 + (0.7 + 0.85) / 2) / 2)
    assert found["always-pick"]["surface_dice"] == {"1": 0.3, "2": 0.6, "3": 0.8}
    assert found["always-pick"]["surface_interval"]["3"] == [0.6, 1.0]
    assert found["approve"]["surface_dice"] == {"1": 0.3, "2": 0.6, "3": 0.7}
    assert figures(UP, STOPS)["surface_dice"] is None


def test_a_user_is_compared_with_the_one_who_always_picks_the_best() -> None:
    worse = {"noisy": {"dice": [0.5, 0.4, 0.6], "surface": [0.1] * 3, "picks": 2}}
    rows = [replace(UP, users=worse), replace(STOPS, users={"noisy": {**worse["noisy"], "dice": STOPS.dice}})]
    users = ("always-pick", "noisy")
    found = summarise(rows, users=users, headline="always-pick", thresholds=(0.6,), resamples=200)["users"]
    assert "against_always_pick" not in found["always-pick"]
    assert found["noisy"]["against_always_pick"]["dice"] == {"1": 0.0, "2": -0.1, "3": -0.05}
    assert found["noisy"]["against_always_pick"]["interval"]["2"] == [-0.2, 0.0]
    other = summarise(rows, users=("noisy",), headline="noisy", thresholds=(0.6,), resamples=50)["users"]
    assert "against_always_pick" not in other["noisy"]


def test_how_often_the_recommendation_was_kept_is_told_of_users_who_may() -> None:
    runs = [{"dice": [0.5] * 3, "surface": [0.5] * 3, "picks": 2 - kept, "keeps": kept} for kept in (0, 1)]
    rows = [replace(UP, users={"keep": runs[0]}), replace(STOPS, users={"keep": runs[1]})]
    users = ("always-pick", "keep")
    found = summarise(rows, users=users, headline="always-pick", thresholds=(0.6,), resamples=50)["users"]
    assert (found["keep"]["picks"], found["keep"]["keeps"]) == (1.5, 0.5)
    assert "keeps" not in found["always-pick"]


def test_models_are_compared_for_every_user_and_by_the_area_too() -> None:
    better, worse = (
        [replace(row, users={"noisy": {"dice": [0.5] * 3, "surface": [0.5] * 3, "picks": 2}})]
        for row in (UP, STOPS)
    )
    worse = [replace(worse[0], case="up")]
    found = paired_difference(
        better, worse, user="always-pick", resamples=50, users=("always-pick", "approve", "noisy")
    )
    assert found["dice"] == {"1": 0.0, "2": -0.3, "3": -0.1}
    assert found["auc"] == pytest.approx(-0.175)
    assert list(found["users"]) == ["approve", "noisy"]
    assert found["users"]["approve"]["dice"]["3"] == -0.2
    assert found["users"]["noisy"]["dice"] == {"1": 0.0, "2": 0.0, "3": 0.0}


def test_optic_cups_have_their_own_thresholds() -> None:
    assert default_thresholds("lidc") == (0.60, 0.70, 0.75, 0.80)
    assert default_thresholds("drishti-cup") == (0.70, 0.80, 0.84, 0.87)
