"""The sub-row of cases whose first drawn target was not empty."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_toys import ToyDataset, toy
from rich.console import Console

from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.evaluation import Results, run
from SPASegmentLib.research.evaluation.protocol import TargetRule, draw
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.results import WORDS, kept


class OneDrew(ToyDataset):
    """Toys in every other of which three of four raters drew nothing."""

    def __getitem__(self, at: int) -> Case:
        case = super().__getitem__(at)
        if at % 2:
            case.masks[1:] = False
            case.masks[0] |= case.masks[0].sum() == 0
        return case


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results, str]:
    out, shown = tmp_path_factory.mktemp("out"), io.StringIO()
    console = Console(file=shown, width=100)
    engines = {"toy": toy(), "other": toy("other", step=0.5)}
    return out, run(engines, OneDrew(40), out=out, console=console), shown.getvalue()


def a_lonely_case(number: int) -> Case:
    masks = np.zeros((4, 3, 3), bool)
    masks[2, 1, 1] = True
    return Case("made-up", str(number), "p", np.zeros((3, 3), np.float32), masks)


def test_a_draw_says_whether_the_first_one_was_empty() -> None:
    redrawn = [draw(a_lonely_case(number), 0).redrawn for number in range(600)]
    assert 0.68 < np.mean(redrawn) < 0.79  # 11 of 15 subsets give an empty target here
    whole = a_lonely_case(0)
    whole.masks[:] = True
    assert draw(whole, 0).redrawn is False
    assert draw(whole, 0, TargetRule("largest")).redrawn is None


def test_the_sub_row_is_the_mean_over_the_cases_that_were_not_redrawn(a_run: tuple) -> None:
    _, results, _ = a_run
    for name, records in results.records.items():
        few = [record for record in records if not record.redrawn]
        assert 20 <= len(few) < 40
        found = results.summary["models"][name]["first_draw"]
        assert found["cases"] == len(few)
        dice = np.mean([record.dice for record in few], axis=0)
        assert list(found["users"]["always-pick"]["dice"].values()) == pytest.approx(dice, abs=1e-6)
    [pair] = results.summary["paired"]
    assert pair["first_draw"]["cases"] == len(few) < pair["cases"]
    first, second = (
        results.summary["models"][n]["first_draw"]["users"]["always-pick"] for n in ("toy", "other")
    )
    assert pair["first_draw"]["dice"]["6"] == pytest.approx(
        first["dice"]["6"] - second["dice"]["6"], abs=2e-6
    )


def test_report_terminal_and_files_show_it_beside_all_cases(a_run: tuple) -> None:
    out, results, shown = a_run
    text = (out / "report.md").read_text(encoding="utf-8")
    few = results.summary["models"]["toy"]["first_draw"]
    low, high = few["users"]["always-pick"]["interval"]["1"]
    value = few["users"]["always-pick"]["dice"]["1"]
    assert f"| toy, {WORDS} | {few['cases']} | {value:.4f} [{low:.3f}, {high:.3f}]" in text
    assert f"toy - other, {WORDS}" in text
    assert WORDS in shown
    redrawn = json.loads((out / "targets.json").read_text(encoding="utf-8"))["redrawn"]
    assert len(redrawn) == 40 - few["cases"]
    assert f"In {len(redrawn)} of 40 cases the first draw was empty." in text


def test_there_is_no_sub_row_where_it_would_be_the_same_or_is_not_known() -> None:
    known = [CaseRecord("a", "p", redrawn=False), CaseRecord("b", "p", redrawn=True)]
    assert kept(known) == known[:1]
    assert kept(known[:1]) is None
    assert kept(known[1:]) is None
    assert kept([*known, CaseRecord("c", "p")]) is None
    assert run({"toy": toy()}, ToyDataset(3)).summary["models"]["toy"]["first_draw"] is None
