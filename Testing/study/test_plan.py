"""Plans: orders balanced over users, and files that are checked."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.study.plan import (
    StudyCase,
    balanced_sequences,
    make_plan,
    read_cases,
    read_plan,
    write_plan,
)

CASES = [StudyCase(id=f"C{number}", file=f"{number}.nrrd") for number in range(1, 9)]


@pytest.mark.parametrize("count", range(1, 8))
def test_every_condition_stands_equally_often_at_every_place_and_after_every_other(count: int) -> None:
    rows = balanced_sequences(count)
    assert all(sorted(row) == list(range(count)) for row in rows)
    assert {len(set(Counter(column).values())) for column in zip(*rows, strict=True)} == {1}
    followed = Counter(pair for row in rows for pair in pairwise(row))
    assert len(followed) == count * (count - 1)
    assert len(set(followed.values())) <= 1


def test_in_a_crossed_plan_every_user_meets_every_image_under_every_condition_in_blocks() -> None:
    plan = make_plan(CASES, ("picks", "clicks", "editing"), 6)
    for order in plan.users.values():
        assert Counter((one.case, one.condition) for one in order) == Counter(
            (case.id, condition) for case in CASES for condition in plan.conditions
        )
        assert sum(a.condition != b.condition for a, b in pairwise(order)) == 2
    firsts = Counter(order[0].condition for order in plan.users.values())
    assert firsts == {"picks": 2, "clicks": 2, "editing": 2}
    assert len({tuple(one.case for one in order[:8]) for order in plan.users.values()}) == 6


@pytest.mark.parametrize("conditions", [("picks", "clicks"), ("picks", "clicks", "editing")])
def test_in_a_split_plan_every_image_comes_once_and_meets_all_conditions_equally_often(
    conditions: tuple[str, ...],
) -> None:
    rows = len(balanced_sequences(len(conditions)))
    plan = make_plan(CASES, conditions, rows * len(conditions), design="split")
    for order in plan.users.values():
        assert sorted(one.case for one in order) == sorted(case.id for case in CASES)
    met = Counter((one.case, one.condition) for order in plan.users.values() for one in order)
    assert set(met.values()) == {rows}
    early = make_plan(CASES, conditions, len(conditions), design="split")
    met = Counter((one.case, one.condition) for order in early.users.values() for one in order)
    assert set(met.values()) == {1} and len(met) == len(CASES) * len(conditions)


def test_practice_comes_first_in_every_block_and_nowhere_else() -> None:
    plan = make_plan(CASES, ("picks", "clicks"), 2, practice=2)
    for order in plan.users.values():
        assert [one.case for one in order if one.practice] == ["C1", "C2"] * 2
        assert [n for n, one in enumerate(order) if one.practice] == [0, 1, 8, 9]
        assert {one.case for one in order if not one.practice} == {case.id for case in CASES[2:]}


def test_the_seed_decides_all_orders_and_nothing_else_does() -> None:
    def plan(seed: int):
        return make_plan(CASES, ("picks", "clicks"), 3, seed=seed)

    assert plan(5) == plan(5) and plan(5).digest == plan(5).digest
    assert plan(5).users != plan(6).users


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputError, match="too few images"):
        make_plan(CASES[:2], ("picks", "clicks"), 2, practice=2)
    with pytest.raises(InputError, match="too few images"):
        make_plan(CASES[:1], ("picks", "clicks"), 2, design="split")


def test_a_plan_is_read_as_it_was_written_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(path, make_plan(CASES, ("picks", "clicks"), 2))
    assert read_plan(path) == make_plan(CASES, ("picks", "clicks"), 2)
    text = path.read_text(encoding="utf-8")
    for before, after in (
        ('"U01"', '"Ann"'),
        ('"case": "C3"', '"case": "C33"'),
        ('"id": "C2"', '"id": "C1"'),
        ('"condition": "picks"', '"condition": "pricks"'),
        ('"version": 1', '"version": 2'),
        ("}", ""),
    ):
        path.write_text(text.replace(before, after, 1), encoding="utf-8")
        with pytest.raises(InputError, match="is no plan of a study"):
            read_plan(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_plan(tmp_path / "nowhere.json")


def test_a_table_of_cases_is_read_with_what_it_says_of_them(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.nrrd", "b.nrrd", "b-mask.nrrd"):
        (tmp_path / "images" / name).touch()
    table, plan = tmp_path / "images" / "cases.csv", tmp_path / "plan.json"
    table.write_text(
        "file,r,a,s,structure,reference,group\na.nrrd,1,-2.5,3,nodule,,P1\nb.nrrd,,,,,b-mask.nrrd,\n",
        encoding="utf-8",
    )
    first, second = read_cases(table, plan)
    assert first == StudyCase(
        id="C01", file="images/a.nrrd", seed_ras=(1, -2.5, 3), structure="nodule", group="P1"
    )
    assert second == StudyCase(id="C02", file="images/b.nrrd", reference="images/b-mask.nrrd")
    for line, sentence in (
        ("file,name\na.nrrd,Ann\n", "is no list of cases"),
        ("file\nmissing.nrrd\n", "which is not there"),
        ("file,r,a,s\na.nrrd,1,x,3\n", "Line 2"),
        ("file,id\na.nrrd,no id\n", "Line 2"),
        ("", "is no list of cases"),
    ):
        table.write_text(line, encoding="utf-8")
        with pytest.raises(InputError, match=sentence):
            read_cases(table, plan)
