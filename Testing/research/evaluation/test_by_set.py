"""Figures by set: each set weighs alike, and what may teach is told apart from what never does."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from any_sets import nested_discs
from evaluation_toys import ToyDataset, toy
from rich.console import Console
from untrained_engines import untrained, untrained_level_set

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.research.datasets.any_cases import AnyCases
from SPASegmentLib.research.evaluation import Options, TransferOptions, evaluate, run, run_transfer
from SPASegmentLib.research.evaluation.metrics import bootstrap_macro_means, bootstrap_means
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.subgroups import corrections, figures_by_set, nested_coverage

PARTS = {"large": "may teach", "small": "may teach", "closed": "unseen"}
USERS = ("always-pick", "approve", "correct", "mixed")


def a_record(case: str, dice: float, **more: object) -> CaseRecord:
    return CaseRecord(case, case.split("__")[0], dice=[dice] * 6, candidates=[[0.0]] * 6, **more)  # type: ignore[arg-type]


@pytest.fixture
def records() -> list[CaseRecord]:
    large = [a_record(f"large/p{number}__a", 0.8) for number in range(8)]
    return [*large, a_record("small/p0__a", 0.2), a_record("small/p1__a", 0.4), a_record("closed/p0__a", 0.5)]


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Two sets that may teach, of five and three entries, and one that never does."""
    for name, count, may in (("large", 5, True), ("small", 3, True), ("closed", 2, False)):
        entries = {f"p{number}__a": "test" for number in range(count)}
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for member, content in nested_discs(name, entries, side=32, train=may).items():
                archive.writestr(member, content)
    return tmp_path


def test_the_macro_mean_weighs_each_set_alike(records: list[CaseRecord]) -> None:
    told = figures_by_set({"m": records}, PARTS, users=("always-pick",), resamples=200)["m"]
    assert told["sets"]["small"]["users"]["always-pick"]["dice"]["1"] == pytest.approx(0.3)
    assert told["macro"]["may teach"]["users"]["always-pick"]["dice"]["1"] == pytest.approx(0.55)
    assert told["macro"]["unseen"]["users"]["always-pick"]["dice"]["6"] == pytest.approx(0.5)
    assert (told["macro"]["may teach"]["sets"], told["macro"]["may teach"]["cases"]) == (2, 10)
    low, high = told["macro"]["may teach"]["users"]["always-pick"]["interval"]["1"]
    assert (low, high) == pytest.approx((0.5, 0.6))


def test_one_group_has_the_interval_of_its_cases() -> None:
    rng = np.random.default_rng(0)
    values, patients = rng.random((20, 2)), [f"p{number // 2}" for number in range(20)]
    assert bootstrap_macro_means([(values, patients)], 500) == pytest.approx(
        bootstrap_means(values, patients, 500)
    )
    with pytest.raises(ValueError, match="at least one group"):
        bootstrap_macro_means([])


def test_corrections_are_counted_over_all_points_and_far_changes_by_their_median() -> None:
    given = [
        {"held": [[2, 2], [2, 3]], "far": [[1, 10], [0, 0]]},
        {"held": [[2, 2]], "far": [[9, 10]]},
    ]
    rows = [a_record(f"a/p{at}", 0.5, users={"correct": one}) for at, one in enumerate(given)]
    told = corrections(rows, "correct")
    assert told is not None
    assert (told["corrections"], told["points_checked"], told["points_held"]) == (3, 7, 6)
    assert told["far_changed_median"] == pytest.approx(0.1)
    assert corrections(rows, "mixed") is None


def test_a_structure_is_covered_where_the_first_masks_come_near_the_last() -> None:
    rows = [
        a_record("a/p0", 0.5, nested=[[0.7, 0.84], [0.7, 0.86]]),
        a_record("a/p1", 0.5),
        a_record("a/p2", 0.5, nested=[[0.9, 0.8], [0.1, 0.2]]),
    ]
    found = nested_coverage(rows, 200)
    assert found is not None
    assert (found["clicks"], found["structures"], found["covered"]) == (2, 4, 0.75)
    assert (found["best_first"], found["best_last"]) == (0.6, 0.675)
    assert found["covered_interval"] == [0.5, 1.0]  # of either patient alone
    assert nested_coverage(rows[1:2], 200) is None


def test_coverage_is_relative_to_the_best_the_network_can_do() -> None:
    """The same first masks cover less where picks lead further."""
    first = [[0.5, 0.5], [0.5, 0.64]], [[0.5, 0.66], [0.5, 0.9]]
    shares = [nested_coverage([a_record("a/p0", 0.5, nested=nested)], 50) for nested in first]
    assert [share and share["covered"] for share in shares] == [1.0, 0.0]


def test_the_limit_is_per_set_and_a_larger_one_only_adds(sets: Path) -> None:
    few, more = (
        {row["case"] for row in evaluate({"toy": toy()}, AnyCases([sets]), options).targets["cases"]}
        for options in (Options(limit=2, resamples=50), Options(limit=4, resamples=50))
    )
    assert sorted(case.split("/")[0] for case in few) == ["closed"] * 2 + ["large"] * 2 + ["small"] * 2
    assert few < more and len(more) == 9


def test_an_evaluation_tells_sets_and_users_and_goes_on_where_it_was(sets: Path, tmp_path: Path) -> None:
    out, console = tmp_path / "out", Console(file=io.StringIO(), width=80)
    run(
        {"toy": toy(), "narrow": toy("narrow", step=0.3)},
        AnyCases([sets]),
        out=out,
        limit=2,
        users=USERS,
        console=console,
    )
    summary = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert set(summary["by_set"]) == {"toy", "narrow"}
    told = summary["by_set"]["toy"]
    assert {name: one["part"] for name, one in told["sets"].items()} == {
        "large": "may teach",
        "small": "may teach",
        "closed": "unseen",
    }
    for user in USERS:
        means = [told["sets"][name]["users"][user]["dice"]["3"] for name in ("large", "small")]
        macro = told["macro"]["may teach"]["users"][user]["dice"]["3"]
        assert macro == pytest.approx(np.mean(means), abs=1e-5)
    assert told["macro"]["unseen"]["corrections"]["correct"]["corrections"] > 0
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("Dice by set: toy", "closed", "unseen:", "sees the target", "share a click"):
        assert words in shown
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "## By set" in report and "**may teach: mean, 2 sets**" in report
    nested = told["macro"]["may teach"]["nested"]
    assert f"| toy, may teach | {nested['clicks']} | {nested['structures']} | " in report
    assert report.count("sees the target") >= 4
    targets = json.loads((out / "targets.json").read_text(encoding="utf-8"))["cases"]
    assert {row["structure"] for row in targets} <= {"inner", "outer"}
    before = (out / "cases" / "toy.jsonl").read_bytes()
    again = evaluate({"toy": toy()}, AnyCases([sets]), Options(limit=2, users=USERS), out=out)
    assert again.summary["by_set"]["toy"] == told
    assert (out / "cases" / "toy.jsonl").read_bytes() == before
    with pytest.raises(SPASegmentError, match="holds another evaluation"):
        evaluate({"toy": toy()}, AnyCases([sets]), Options(limit=2), out=out)


@pytest.mark.long
def test_workers_change_no_figure(sets: Path) -> None:
    options = {"limit": 2, "users": USERS, "resamples": 50}
    one, two = (
        evaluate({"toy": toy()}, AnyCases([sets]), Options(workers=workers, **options)).summary["by_set"]
        for workers in (1, 2)
    )
    assert one == two


@pytest.mark.long
def test_a_rival_is_measured_in_the_same_run_on_the_same_cases(sets: Path) -> None:
    models = {"spa": untrained, "level-set": untrained_level_set}
    found = evaluate(models, AnyCases([sets / "closed.zip"]), Options(users=USERS, resamples=50))
    assert set(found.summary["by_set"]) == set(models)
    for rows in found.records.values():
        assert [row.error for row in rows] == ["", ""]
        assert all(set(row.users) == {"correct", "mixed"} for row in rows)
    spa, rival = (
        [(row.case, row.click, row.target_hash, row.structure) for row in rows]
        for rows in found.records.values()
    )
    assert spa == rival


def test_a_data_set_of_one_kind_is_not_told_by_set() -> None:
    assert "by_set" not in evaluate({"toy": toy()}, ToyDataset(3), Options(resamples=50)).summary


def test_a_profile_is_taught_and_judged_for_each_structure_of_the_sets(sets: Path) -> None:
    cases = AnyCases([sets], split="test")
    options = Options(resamples=100, iterations=2)
    found = run_transfer({"toy": toy()}, cases, options, TransferOptions(warm=2, apart=True))
    told = found.summary["models"]["toy"]
    assert told["users"] and all(user.startswith("structure:") for user in told["users"])
    for record in found.records["toy"]:
        where, structure = record.user.removeprefix("structure:").split("/")
        for case_id, taught in zip(record.cases, record.taught, strict=True):
            case = cases.case(cases.case_ids().index(case_id), 0)
            assert case_id.startswith(f"{where}/") and case.structure.partition("#")[0] == structure
            assert taught <= 2
    judged = sum(sum(record.judged) for record in found.records["toy"])
    assert told["all"]["cases"] == judged > 0
    sooner = run_transfer({"toy": toy()}, cases, options, TransferOptions(warm=1, apart=True))
    parts, everything = (sooner.summary["models"]["toy"][key] for key in ("parts", "all"))
    assert set(parts) == {"may teach", "unseen"}
    closed = [r for r in sooner.records["toy"] if r.user.startswith("structure:closed/")]
    assert parts["unseen"]["cases"] == sum(sum(record.judged) for record in closed) > 0
    assert sum(part["cases"] for part in parts.values()) == everything["cases"]
    with pytest.raises(SPASegmentError, match="judged after 5 cases"):
        run_transfer({"toy": toy()}, cases, options, TransferOptions(warm=5, apart=True))


def test_raters_of_one_set_among_others_are_one_structure(sets: Path) -> None:
    entries = {f"p{number}__a": "test" for number in range(4)}
    readers = nested_discs("all-first", entries, side=32, kind="raters", structures=["disc"], nested=[])
    with zipfile.ZipFile(sets / "all-first.zip", "w") as archive:
        for member, content in readers.items():
            archive.writestr(member, content)
    cases = AnyCases([sets], split="test")
    assert cases[0].raters and not cases.raters
    options = Options(resamples=50, iterations=1)
    found = run_transfer({"toy": toy()}, cases, options, TransferOptions(warm=2, apart=True))
    assert "structure:all-first/disc" in found.summary["models"]["toy"]["users"]
