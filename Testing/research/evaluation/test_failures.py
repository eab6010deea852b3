"""Cases that stay below a Dice, and those of a model that offers nothing to pick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_toys import ToyDataset, toy

from SPASegmentLib.research.evaluation import run
from SPASegmentLib.research.evaluation.metrics import bootstrap_ratio
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.results import summarise
from SPASegmentLib.research.evaluation.subgroups import against_no_interaction, offers_nothing


def a_record(case: str, dice: list[float], candidates: int = 2) -> CaseRecord:
    shown = [[0.1] * candidates] * len(dice)
    return CaseRecord(case, case, dice=dice, candidates=shown, similarity=[[]] * len(dice), picks=[0, 0])


STEERED = [a_record("a", [0.5, 0.8, 0.6]), a_record("b", [0.6, 0.6, 0.6]), a_record("c", [0.9, 0.9, 0.9])]
STILL = [a_record(name, [value] * 3, 0) for name, value in (("a", 0.5), ("b", 0.6), ("c", 0.9))]


def figures(records: list[CaseRecord]) -> dict:
    return summarise(
        records, users=("always-pick",), headline="always-pick", thresholds=(0.7, 0.95), resamples=300
    )


def test_failing_is_never_to_reach_a_dice_and_being_below_is_told_by_iteration() -> None:
    found = figures(STEERED)
    assert found["failure_rate"] == {"0.70": pytest.approx(1 / 3, abs=1e-6), "0.95": 1.0}
    assert found["below"]["0.70"] == pytest.approx({"1": 2 / 3, "2": 1 / 3, "3": 2 / 3}, abs=1e-6)
    assert found["failure_interval"]["0.95"] == [1.0, 1.0]
    low, high = found["failure_interval"]["0.70"]
    assert low == 0 and 2 / 3 - 0.01 < high <= 1


def test_each_gain_has_an_interval_around_it() -> None:
    found = figures(STEERED)
    assert found["gain"] == pytest.approx({"1-2": 0.1, "2-3": -0.2 / 3, "overall": 0.1 / 3}, abs=1e-6)
    assert found["gain_interval"]["1-2"] == [0.0, 0.3]
    for step, value in found["gain"].items():
        low, high = found["gain_interval"][step]
        assert low <= value <= high


def test_failures_are_compared_with_the_model_that_offers_nothing() -> None:
    assert offers_nothing(STILL) and not offers_nothing(STEERED)
    [pair] = against_no_interaction(
        {"spa": STEERED, "still": STILL}, user="always-pick", thresholds=(0.5, 0.7), resamples=300
    )
    assert (pair["model"], pair["rival"]) == ("spa", "still")
    assert pair["thresholds"]["0.70"]["ratio"] == 0.5
    assert pair["thresholds"]["0.50"] == {"rate": 0.0, "rival_rate": 0.0, "ratio": None, "interval": None}
    assert against_no_interaction({"spa": STEERED}, user="always-pick", thresholds=(0.7,), resamples=9) == []


def test_a_model_that_refused_every_case_is_not_taken_for_one_without_candidates() -> None:
    assert not offers_nothing([CaseRecord("a", "a", dice=[0.0], error="constant")])


def test_a_ratio_resamples_patients_and_may_be_unbounded() -> None:
    first, second = np.array([1, 0, 0, 0]), np.array([1, 1, 0, 0])
    found = bootstrap_ratio(first, second, list("abcd"), 2000)
    assert (found.mean, found.low) == (0.5, 0.0)
    assert found.high == 1.0
    tight = bootstrap_ratio(np.tile(first, 100), np.tile(second, 100), [str(i) for i in range(400)], 2000)
    assert 0.4 < tight.low < 0.5 < tight.high < 0.6
    assert bootstrap_ratio(first, np.zeros(4), list("abcd")) is None
    assert bootstrap_ratio(np.ones(4), np.array([1, 0, 0, 0]), list("abcd"), 500).high == np.inf


def test_the_report_compares_failures_where_a_model_offers_nothing(tmp_path: Path) -> None:
    engines = {"toy": toy(), "still": toy("still", candidates=0)}
    results = run(engines, ToyDataset(12), out=tmp_path)
    [pair] = results.summary["against_no_interaction"]
    assert pair["model"] == "toy"
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    found = pair["thresholds"]["0.80"]
    assert "| toy / still |" in text
    assert f"{100 * found['rate']:.1f}% / {100 * found['rival_rate']:.1f}%" in text
    assert "below 0.70, by iteration" in text
    low, high = results.summary["models"]["toy"]["gain_interval"]["1-2"]
    assert f"[{100 * low:+.2f}, {100 * high:+.2f}]" in text
