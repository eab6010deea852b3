"""One user's run: the clock, what is counted and allowed, and records that outlive a kill."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.study.plan import StudyCase, make_plan, write_plan
from SPASegmentLib.study.run import StudyRun, mask_digest

GRID = np.diag([0.5, 0.5, 2.0, 1.0])


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def a_clock() -> Clock:
    return Clock()


@pytest.fixture
def a_plan(tmp_path: Path) -> Path:
    """Two images under three conditions for two users."""
    (tmp_path / "Mustermann-Max.nrrd").touch()
    cases = [StudyCase(id=f"C{n}", file="Mustermann-Max.nrrd", group="Max") for n in (1, 2)]
    path = tmp_path / "plan.json"
    write_plan(path, make_plan(cases, ("picks", "clicks", "editing"), 2))
    return path


@pytest.fixture
def labels() -> np.ndarray:
    found = np.zeros((2, 3, 4), np.uint8)
    found[1, 1, 2] = 1
    return found


def lines(plan: Path, user: str = "U01") -> list[dict[str, Any]]:
    text = (plan.with_name("plan-records") / f"{user}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_an_image_is_recorded_with_active_seconds_counts_and_mask(a_plan, a_clock, labels) -> None:
    run = StudyRun(a_plan, "U01", clock=a_clock)
    assert (run.phase, run.words) == ("ready", "Case 1 of 6 · pick alternatives")
    a_clock.now += 50
    run.count("keys")  # before Start
    run.start()
    a_clock.now += 4.5
    run.count("keys")
    run.count("clicks", 2)
    run.pause()
    a_clock.now += 1000
    run.count("clicks")  # in a pause
    run.start()
    a_clock.now += 2
    run.count("picks")
    run.count("iterations", 2)
    run.next(labels, Volume(labels, GRID), model="general 0123")
    head, begun, record = lines(a_plan)
    assert head["user"] == "U01" and begun == {"begun": 1}
    assert record == {
        "position": 1,
        "user": "U01",
        "case": run.plan.users["U01"][0].case,
        "condition": "picks",
        "practice": False,
        "seconds": 6.5,
        "paused": 1000.0,
        "attempts": 1,
        "keys": 1,
        "clicks": 2,
        "picks": 1,
        "points": 0,
        "rejections": 0,
        "keeps": 0,
        "iterations": 2,
        "gave_up": False,
        "mask": "U01-001.nii.gz",
        "mask_hash": mask_digest(labels),
        "model": "general 0123",
    }
    found = read_volume(a_plan.with_name("plan-records") / "masks" / "U01-001.nii.gz")
    assert np.array_equal(found.array, labels) and np.allclose(found.ijk_to_ras, GRID)
    assert (run.phase, run.position, run.counts.total()) == ("ready", 2, 0)


def test_no_record_says_who_or_whose_image_it_was_or_when(a_plan, a_clock, labels) -> None:
    run = StudyRun(a_plan, "U02", clock=a_clock)
    for _ in range(2):
        run.start()
        run.next(labels, Volume(labels, GRID, name="Mustermann, Max"))
    folder = a_plan.with_name("plan-records")
    for path in folder.rglob("*.*"):
        assert not re.search(rb"(?i)muster|max|\d{4}-\d\d-\d\d|/", path.read_bytes()), path
    text = (folder / "U02.jsonl").read_text(encoding="utf-8")
    assert "C1" in text and str(a_plan.parent) not in text
    assert {path.name for path in (folder / "masks").iterdir()} == {"U02-001.nii.gz", "U02-002.nii.gz"}


def test_a_restart_goes_on_at_the_image_that_was_not_finished_and_says_it_was_begun_twice(
    a_plan, a_clock, labels
) -> None:
    run = StudyRun(a_plan, "U01", clock=a_clock)
    run.start()
    run.next(labels, Volume(labels, GRID))
    run.start()
    a_clock.now += 30  # and killed
    again = StudyRun(a_plan, "U01", clock=a_clock)
    assert (again.position, again.phase) == (2, "ready")
    again.start()
    a_clock.now += 3
    again.next(None, None)
    record = lines(a_plan)[-1]
    assert (record["position"], record["attempts"], record["seconds"]) == (2, 2, 3.0)
    assert record["gave_up"] and "mask" not in record
    assert StudyRun(a_plan, "U02", clock=a_clock).position == 1


def test_a_line_cut_short_by_a_kill_is_dropped_and_no_later_one_is_lost(a_plan, a_clock, labels) -> None:
    run = StudyRun(a_plan, "U01", clock=a_clock)
    run.start()
    run.next(labels, Volume(labels, GRID))
    path = a_plan.with_name("plan-records") / "U01.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:70])
    again = StudyRun(a_plan, "U01", clock=a_clock)
    assert again.position == 2
    again.start()
    again.next(labels, Volume(labels, GRID))
    assert [line["position"] for line in lines(a_plan) if "position" in line] == [1, 2]


def test_all_images_finished_is_the_end(a_plan, a_clock, labels) -> None:
    run = StudyRun(a_plan, "U01", clock=a_clock)
    for _ in range(6):
        run.start()
        run.next(labels, Volume(labels, GRID))
    assert (run.phase, run.words) == ("finished", "All 6 images are done. Thank you.")
    assert run.refusal("approve") == "All images of the study are done."
    run.start()
    run.next(labels, None)
    assert run.phase == "finished" and StudyRun(a_plan, "U01").phase == "finished"


ALLOWED = {
    "picks": {"seed", "pick:0", "take:3", "none_of_these", "keep"},
    "clicks": {"seed", "point"},
    "editing": set(),
}


@pytest.mark.parametrize("condition", ALLOWED)
def test_a_condition_leaves_its_own_actions_only(a_plan, a_clock, condition: str) -> None:
    run = StudyRun(a_plan, "U01", clock=a_clock)
    while run.condition.name != condition:
        run.start()
        run.next(None, None)
    assert run.refusal("seed") == "Press Start when you are ready."
    run.start()
    asked = {"seed", "point", "pick:0", "take:3", "none_of_these", "keep", "continue_segment"}
    assert {action for action in asked if not run.refusal(action)} == ALLOWED[condition]
    assert (run.refusal("approve") == "") == (condition != "editing")
    run.pause()
    assert run.refusal("seed") == "The study is paused; press Start to go on."


@pytest.mark.parametrize("approved", [True, False])
def test_a_disk_that_refuses_leaves_the_image_at_hand(a_plan, a_clock, labels, monkeypatch, approved) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    given = (labels, Volume(labels, GRID)) if approved else (None, None)
    run = StudyRun(a_plan, "U01", clock=a_clock)
    run.start()
    a_clock.now += 7
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(InputError, match="disk is full" if approved else "no space left"):
            run.next(*given)
    assert (run.position, run.phase) == (1, "paused")
    run.start()
    run.next(*given)
    records = [line for line in lines(a_plan) if "position" in line]
    assert [record["seconds"] for record in records] == [7.0]


def test_what_cannot_be_run_is_refused_in_a_sentence(a_plan, a_clock, tmp_path) -> None:
    with pytest.raises(InputError, match="has no user U09; choose among U01, U02"):
        StudyRun(a_plan, "U09")
    StudyRun(a_plan, "U01")
    other = make_plan([StudyCase(id="C1", file="Mustermann-Max.nrrd")], ("picks",), 2)
    write_plan(a_plan, other)
    with pytest.raises(InputError, match="recorded with another plan"):
        StudyRun(a_plan, "U01")
    lost = tmp_path / "lost.json"
    write_plan(lost, make_plan([StudyCase(id="C1", file="gone.nrrd")], ("picks",), 1))
    with pytest.raises(InputError, match=r"names gone\.nrrd, which is not there"):
        StudyRun(lost, "U01")
    write_plan(lost, make_plan([StudyCase(id="C1", file="plan.json")], ("level-set",), 1))
    with pytest.raises(InputError, match="there for simulated users"):
        StudyRun(lost, "U01")
