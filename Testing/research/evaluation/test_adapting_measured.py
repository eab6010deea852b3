"""What adapting brings, measured on a set: who teaches, who is judged, and the table of docs/adapt.md."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_sets import nested_discs
from rich.console import Console

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.profiles.approvals import ApprovalFolder
from SPASegmentLib.research.datasets.any_structure import open_any
from SPASegmentLib.research.evaluation import adapting_measured
from SPASegmentLib.research.evaluation.adapting_measured import measure, objects_of
from SPASegmentLib.research.training.adapting import Recipe

ROOT = Path(__file__).resolve().parents[3]
ENTRIES = {f"p{n}__{k}": ("test" if n > 3 else "train") for n in range(1, 6) for k in "ab"}


@pytest.fixture
def a_set(tmp_path: Path) -> Path:
    """Five patients with two pictures each."""
    for name, content in nested_discs("discs", ENTRIES).items():
        path = tmp_path / "sets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "sets" / "discs"


def test_each_patient_gives_one_object_and_those_of_the_test_split_come_last(a_set: Path) -> None:
    (one,) = open_any(a_set)
    found = list(objects_of(one, "outer", 9))
    assert [one.group for one in found] == ["p1", "p2", "p3", "p4", "p5"]
    assert all(one.mask[one.click] and one.mask.sum() > 100 for one in found)
    assert len(list(objects_of(one, "outer", 2))) == 2


@pytest.mark.parametrize(
    ("structure", "count", "words"), [("liver", 1, "no 2-D structure"), ("outer", 5, "5")]
)
def test_a_set_without_the_structure_or_the_patients_is_refused(
    a_set: Path, a_model: Path, structure: str, count: int, words: str
) -> None:
    with pytest.raises(DatasetError, match=words):
        list(measure(a_model, a_set, structure, [count], 3, Recipe(steps=1), Console(quiet=True)))


def test_nobody_is_judged_by_a_model_that_learnt_from_them(
    a_set: Path, a_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[list[str]] = []
    judged: list[list[str]] = []

    def adapted(start, objects, recipe, console):
        learnt.append([one.group for one in objects])
        return {}

    real = adapting_measured.dice_after_click

    def dice(state, header, objects):
        judged.append([one.group for one in objects])
        return real(state, header, objects) if state else real(before, header, objects) + 0.1

    before = adapting_measured.load_checkpoint(a_model)[0]
    monkeypatch.setattr(adapting_measured, "adapted_state", adapted)
    monkeypatch.setattr(adapting_measured, "dice_after_click", dice)
    found = list(measure(a_model, a_set, "outer", [0, 1, 3], 5, Recipe(), Console(quiet=True)))
    assert learnt == [["p1"], ["p1", "p2", "p3"]]
    assert all(groups == ["p4", "p5"] for groups in judged)
    assert [one.objects for one in found] == [0, 1, 3]
    assert found[2].dice == pytest.approx(found[0].dice + 0.1)
    assert found[2].low == pytest.approx(0.1) and found[2].high == pytest.approx(0.1)


def the_script(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("measure_adapt", ROOT / "docs" / "measure_adapt.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "STRUCTURES", (("discs", "outer"),))
    return script


def test_the_objects_that_teach_are_kept_alike_each_time(
    a_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = the_script(monkeypatch)
    options = ["--data", a_set.parent, "--only", "discs", "--counts", 3, "--limit", 2]
    for folder in ("one", "two"):
        given = ["measure_adapt.py", *options, "--keep", tmp_path / folder]
        monkeypatch.setattr(sys, "argv", list(map(str, given)))
        script.main()
    one, two = (ApprovalFolder(tmp_path / name).read() for name in ("one", "two"))
    assert [kept.group for kept in one] == [kept.group for kept in two] == ["p1", "p2", "p3"]
    assert all(np.array_equal(a.mask, b.mask) and a.click == b.click for a, b in zip(one, two, strict=True))


def test_the_command_of_the_page_prints_its_table(
    a_set: Path, a_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = the_script(monkeypatch)
    options = ["--data", a_set.parent, "--model", a_model, "--counts", 0, 2, "--limit", 2, "--steps", 1]
    monkeypatch.setattr(sys, "argv", ["measure_adapt.py", *map(str, options)])
    script.main()
    head, rule, none, two = capsys.readouterr().out.splitlines()
    assert head.count("|") == rule.count("|") == none.count("|") == two.count("|")
    assert none.startswith("| discs, outer | 0 | 0.") and " to " not in none
    assert two.startswith("| discs, outer | 2 | ") and " to " in two
