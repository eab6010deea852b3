"""Dice with single raters, those in the target and those left out."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation_toys import ToyDataset, toy
from rich.console import Console

from SPASegmentLib.errors import DatasetError, SPASegmentError
from SPASegmentLib.research.evaluation import Options, evaluate, run
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.runner import evaluate_unseen_raters
from SPASegmentLib.research.evaluation.subgroups import alignment

PEOPLE = ("Ann", "Bob", "Cy", "Di")
QUICK = Options(resamples=100)


def a_record(case: str, included: list[int], first: list[float], last: list[float]) -> CaseRecord:
    return CaseRecord(
        case, case, raters=["Ann", "Bob"], drew=[True, True], included=included, rater_dice=[first, last]
    )


def test_included_and_excluded_raters_are_averaged_apart() -> None:
    records = [
        a_record("a", [0], [0.5, 0.6], [0.7, 0.5]),
        a_record("b", [0], [0.7, 0.8], [0.9, 0.7]),
        a_record("c", [0, 1], [0.6, 0.4], [0.6, 0.8]),
    ]
    found = alignment(records, 200)
    assert found is not None
    ann, bob = found["raters"]["Ann"], found["raters"]["Bob"]
    assert ann["included"]["cases"] == 3
    assert ann["included"]["dice"] == {"1": 0.6, "2": pytest.approx(0.733333)}
    assert "excluded" not in ann
    assert bob["excluded"]["dice"] == {"1": 0.7, "2": 0.6}
    assert bob["excluded"]["change"] == -0.1
    assert bob["excluded"]["change_interval"] == [-0.1, -0.1]
    assert bob["included"]["change"] == 0.4
    assert found["mean"]["included"]["cases"] == 4


def test_a_rater_who_drew_nothing_is_left_out_of_the_case() -> None:
    record = a_record("a", [0], [0.5, 0.0], [0.7, 0.0])
    record.drew = [True, False]
    found = alignment([record], 10)
    assert found is not None
    assert list(found["raters"]) == ["Ann"]


def test_anonymous_raters_have_no_alignment() -> None:
    found = evaluate({"toy": toy()}, ToyDataset(4), QUICK)
    assert found.summary["models"]["toy"]["alignment"] is None


def test_picks_bring_the_toy_to_the_raters_in_the_target() -> None:
    """Paper Table 2: the target is made of some raters, the others are left out."""
    options = Options(resamples=200, target="raters:Cy+Di")
    found = evaluate({"toy": toy()}, ToyDataset(16, names=PEOPLE), options).summary["models"]["toy"][
        "alignment"
    ]
    assert list(found["raters"]["Di"]) == ["included"]
    assert list(found["raters"]["Ann"]) == ["excluded"]
    assert found["mean"]["included"]["change_interval"][0] > 0
    assert found["mean"]["excluded"]["change"] < 0


def test_each_unseen_rater_is_the_target_of_the_models_that_never_saw_them(tmp_path: Path) -> None:
    models = {rater: {"toy": toy(), "narrow": toy("narrow", step=0.3)} for rater in ("Ann", "Di")}
    dataset = ToyDataset(6, names=PEOPLE)
    found = evaluate_unseen_raters(models, dataset, QUICK, out=tmp_path)
    alone = evaluate(models["Di"], dataset, Options(resamples=100, target="raters:Di"))
    assert found["raters"]["Di"]["toy"]["dice"] == alone.summary["models"]["toy"]["dice"]
    both = [found["raters"][rater]["toy"]["noi"]["0.80"] for rater in ("Ann", "Di")]
    assert found["mean"]["toy"]["noi"]["0.80"] == pytest.approx(sum(both) / 2, abs=1e-6)
    assert list(found["mean"]) == ["toy", "narrow"]
    assert (tmp_path / "unseen-raters.json").exists()
    [pair] = found["paired"]
    assert (pair["first"], pair["second"], pair["cases"]) == ("toy", "narrow", 11)  # Ann skips one case
    means = [found["mean"][name]["dice"]["6"] for name in ("toy", "narrow")]
    assert pair["dice"]["6"] == pytest.approx(means[0] - means[1], abs=0.01)
    assert pair["interval"]["6"][0] < pair["dice"]["6"] < pair["interval"]["6"][1]
    named = evaluate_unseen_raters(models, dataset, replace(QUICK, against="toy"), out=tmp_path)["paired"]
    assert [(one["first"], one["second"]) for one in named] == [("narrow", "toy")]
    assert named[0]["dice"]["6"] == -pair["dice"]["6"]


def test_models_that_not_every_rater_has_are_not_compared() -> None:
    models = {"Ann": {"toy": toy()}, "Di": {"toy": toy(), "narrow": toy("narrow", step=0.3)}}
    assert evaluate_unseen_raters(models, ToyDataset(2, names=PEOPLE), QUICK)["paired"] == []


def test_an_unseen_rater_must_be_in_the_data() -> None:
    with pytest.raises(DatasetError, match="no rater 'Eve'"):
        evaluate_unseen_raters({"Eve": {"toy": toy()}}, ToyDataset(2, names=PEOPLE), QUICK)
    with pytest.raises(SPASegmentError, match="no rater to leave out"):
        evaluate_unseen_raters({}, ToyDataset(2, names=PEOPLE), QUICK)


def test_terminal_and_report_show_the_raters_left_out(tmp_path: Path) -> None:
    shown = io.StringIO()
    unseen = {"Ann": {"toy": toy()}, "Di": {"toy": toy(), "other": toy("other", step=0.5)}}
    results = run(
        {"toy": toy()},
        ToyDataset(6, names=PEOPLE),
        out=tmp_path,
        unseen=unseen,
        console=Console(file=shown, width=80),
    )
    assert results.unseen is not None
    dice = results.unseen["raters"]["Di"]["other"]["dice"]
    row = " | ".join(f"{value:.4f}" for value in dice.values())
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"| Di, other | {row} |" in text
    assert "| **mean, toy** |" in text
    assert "Di, other" in shown.getvalue()
    assert "raters left out of training" in shown.getvalue()
