"""What the report makes of records whose answer is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.masks import write_labels
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.research.study.report import analyse, with_dice, write_report
from SPASegmentLib.research.study.tables import show
from SPASegmentLib.study.plan import StudyCase, StudyPlan, make_plan
from SPASegmentLib.study.records import StudyRecord

Seconds = Callable[[str, str, str, int], float]


def a_plan(cases: int = 12, users: int = 4, **more: Any) -> StudyPlan:
    """Two images of each patient."""
    listed = [StudyCase(id=f"C{n}", file=f"{n}.nrrd", group=f"P{n // 2}") for n in range(cases)]
    return make_plan(listed, ("picks", "clicks"), users, **more)


def recorded(plan: StudyPlan, seconds: Seconds, **more: Any) -> list[StudyRecord]:
    """Every image, in seconds by user, case, condition and place in the order."""
    return [
        StudyRecord(
            position=position,
            user=user,
            case=one.case,
            condition=one.condition,
            practice=one.practice,
            seconds=seconds(user, one.case, one.condition, position),
            iterations=2 if one.condition == "picks" else 4,
            **more,
        )
        for user, order in plan.users.items()
        for position, one in enumerate(order, 1)
    ]


def noisy(user: str, case: str, condition: str, position: int) -> float:
    """4 s by picks, 6 s by clicks, times what the user and the case make of it."""
    by_user = 1 + 0.2 * np.sin(int(user[1:]))
    by_case = 1 + 0.3 * np.cos(3 * int(case[1:]))
    return float((4.0 if condition == "picks" else 6.0) * by_user * by_case)


def test_the_figures_are_means_over_images_and_the_claim_is_their_ratio() -> None:
    plan = a_plan()
    found = analyse(plan, recorded(plan, lambda u, c, condition, p: 4.0 if condition == "picks" else 6.0))
    assert found["conditions"]["picks"]["seconds"] == [4.0, 4.0, 4.0]
    assert found["conditions"]["clicks"]["iterations"] == [4.0, 4.0, 4.0]
    compared = found["compared"]["clicks"]
    assert compared["more_images"] == [0.5, 0.5, 0.5]  # 15 and 10 in a minute
    assert compared["fewer_iterations"] == [0.5, 0.5, 0.5]
    assert compared["seconds_less"] == [2.0, 2.0, 2.0]
    assert found["by_user"]["U03"]["clicks"] == {"images": 12, "seconds": 6.0, "iterations": 4.0}
    assert not found["simulated"] and found["recorded"] == found["planned"] == 96
    assert (found["users"], found["patients"]) == (4, 6)


def test_what_users_and_cases_have_in_common_cancels_in_the_comparison_but_not_in_the_means() -> None:
    plan = a_plan()
    found = analyse(plan, recorded(plan, noisy))
    mean, low, high = found["conditions"]["picks"]["seconds"]
    assert low < mean < high and high - low > 0.4
    assert found["compared"]["clicks"]["more_images"] == pytest.approx([0.5, 0.5, 0.5])


def test_intervals_are_as_wide_as_few_users_and_few_patients_make_them() -> None:
    def width(by: Callable[[str, str], float], **sizes: int) -> float:
        plan = a_plan(**sizes)
        _, low, high = analyse(plan, recorded(plan, lambda u, c, condition, p: 5 + by(u, c)))["conditions"][
            "picks"
        ]["seconds"]
        return float(high - low)

    def by_user(user: str, case: str) -> float:
        return float(int(user[1:]) % 2)

    def by_patient(user: str, case: str) -> float:
        return float(int(case[1:]) // 2 % 2)

    # The deviation of a mean of n values that are 0 or 1 is 0.5 / sqrt(n); 95% are 3.92 of them.
    assert width(by_user, users=16) == pytest.approx(3.92 * 0.5 / 4, rel=0.2)
    assert width(by_patient, cases=32) == pytest.approx(3.92 * 0.5 / 4, rel=0.2)
    assert width(by_patient, cases=128, users=2) < 0.6 * width(by_patient, cases=32, users=2)
    assert width(by_patient, cases=32, users=1) > 0


def test_practice_is_left_out_and_restarts_are_told() -> None:
    plan = a_plan(practice=2)
    slow = recorded(plan, lambda u, case, condition, p: 500.0 if case in ("C0", "C1") else 5.0)
    again = slow[10].model_copy(update={"attempts": 2})
    found = analyse(plan, [*slow[:10], again, *slow[11:]])
    assert found["conditions"]["picks"]["seconds"][0] == 5.0
    assert found["restarted"] == 1 and found["recorded"] == 80
    with pytest.raises(InputError, match="Nothing but practice"):
        analyse(plan, [record for record in slow if record.practice])


def test_a_study_half_done_is_reported_as_far_as_it_is() -> None:
    plan = a_plan()
    found = analyse(plan, recorded(plan, noisy)[:30])
    assert found["recorded"] == 30 and found["planned"] == 96
    assert found["by_user"]["U02"]["picks"] is None and "U04" not in found["by_user"]
    only = [record for record in recorded(plan, noisy) if record.condition == "clicks"]
    assert analyse(plan, only)["compared"] == {}


@pytest.mark.parametrize("users", [1, 6])
def test_the_learning_curve_finds_how_much_quicker_each_image_is(users: int) -> None:
    plan = a_plan(cases=24, users=users)
    rng = np.random.default_rng(0)

    def quicker(user: str, case: str, condition: str, position: int) -> float:
        place = (position - 1) % 24 + 1
        hard = 1 + (0.4 * np.cos(3 * int(case[1:])) if users > 1 else 0)
        learns = 0.97 if condition == "picks" else 1.0
        return float(8 * hard * learns**place * np.exp(rng.normal(0, 0.03)))

    found = analyse(plan, recorded(plan, quicker))["learning"]
    mean, low, high = found["picks"]["change"]
    assert mean == pytest.approx(-0.03, abs=0.004) and low < mean < high < -0.02
    mean, low, high = found["clicks"]["change"]
    assert low < 0.002 and high > -0.002 and abs(mean) < 0.004
    assert len(found["picks"]["seconds"]) == 24
    assert found["picks"]["seconds"][0] > 1.4 * found["picks"]["seconds"][-1] or users == 1


def test_at_which_reading_time_both_would_take_as_long() -> None:
    plan = a_plan()
    records = [
        record.model_copy(update={"looks": 8 if record.condition == "picks" else 3})
        for record in recorded(plan, lambda u, c, condition, p: 4.0 if condition == "picks" else 6.0)
    ]
    found = analyse(plan, records)
    assert found["simulated"]
    # Picks take 5 looks of 0.4 s more; at 0.8 s a look they would take 2 s longer, as long as clicks.
    assert found["compared"]["clicks"]["look"] == pytest.approx(0.4 + 2.0 / 5)
    fewer = [record.model_copy(update={"looks": 3}) for record in records]
    assert analyse(plan, fewer)["compared"]["clicks"]["look"] is None


def test_the_report_says_what_is_simulated_and_what_is_not(tmp_path: Path) -> None:
    plan = a_plan(title="Nodules")
    people = analyse(plan, recorded(plan, noisy))
    simulated = analyse(plan, recorded(plan, noisy, looks=3, dice=0.9))
    write_report(people, tmp_path / "people")
    write_report(simulated, tmp_path / "simulated", "spasegment study simulate")
    of_people = (tmp_path / "people" / "study.md").read_text(encoding="utf-8")
    of_none = (tmp_path / "simulated" / "study.md").read_text(encoding="utf-8")
    assert of_people.startswith("# Nodules\n") and "simulat" not in of_people.lower()
    title, first = of_none.split("\n\n")[:2]
    assert title == "# Nodules: a simulation" and first.startswith("**This is a simulation: no person")
    assert "spasegment study simulate" in of_none and "0.900" in of_none
    assert "50% (50 to 50)" in of_people and "| given up |" in of_people and "| by hand |" in of_none
    for folder in ("people", "simulated"):
        kept = json.loads((tmp_path / folder / "results.json").read_text(encoding="utf-8"))
        assert kept["compared"]["clicks"]["fewer_iterations"][0] == 0.5
        for picture in ("conditions.png", "learning.png"):
            with Image.open(tmp_path / folder / picture) as drawn:
                assert drawn.width > 500 and len(drawn.convert("RGB").getcolors(1 << 24) or ()) > 20
    before = {path.name: path.read_bytes() for path in (tmp_path / "people").iterdir()}
    write_report(people, tmp_path / "people")
    assert {path.name: path.read_bytes() for path in (tmp_path / "people").iterdir()} == before
    console = Console(record=True, width=80)
    show(simulated, console)
    shown = console.export_text()
    assert "no person took part" in shown and max(map(len, shown.splitlines())) <= 80


def test_masks_of_people_are_compared_with_the_reference(tmp_path: Path) -> None:
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1, 1:3, 1:3] = 1
    wanted = np.zeros_like(mask)
    wanted[1, 1:3, 1:4] = 1
    (tmp_path / "masks").mkdir()
    write_labels(tmp_path / "masks" / "U01-001.nii.gz", mask, Volume(mask, np.eye(4)), {})
    write_labels(tmp_path / "true.nii.gz", wanted, Volume(wanted, np.eye(4)), {})
    other = np.zeros((3, 4, 6), np.uint8)
    write_labels(tmp_path / "other.nii.gz", other, Volume(other, np.eye(4)), {})
    cases = [StudyCase(id="C1", file="1.nrrd", reference="true.nii.gz"), StudyCase(id="C2", file="2.nrrd")]
    plan = make_plan(cases, ("picks", "clicks"), 1)
    records = recorded(plan, lambda *_: 5.0, mask="U01-001.nii.gz")
    found = with_dice(tmp_path / "plan.json", plan, records, tmp_path)
    assert {record.dice for record in found if record.case == "C1"} == {0.8}
    assert {record.dice for record in found if record.case == "C2"} == {None}
    assert analyse(plan, found)["conditions"]["picks"]["dice"] is None
    wrong = plan.model_copy(
        update={"cases": (cases[0].model_copy(update={"reference": "other.nii.gz"}), cases[1])}
    )
    with pytest.raises(InputError, match=r"other\.nii\.gz is not on the voxels"):
        with_dice(tmp_path / "plan.json", wrong, records, tmp_path)
