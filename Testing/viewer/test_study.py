"""A study in a real browser: covered until Start, limited to its condition, recorded, and its restart."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.study.plan import StudyCase, make_plan, write_plan


@pytest.fixture(scope="module")
def a_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One user, one image, first by picks and then by clicks."""
    return a_plan_in(tmp_path_factory.mktemp("study"))


def a_plan_in(folder: Path) -> Path:
    write_sample_volume(folder / "chest.nrrd", make_sample_volume())
    case = StudyCase(id="C1", file="chest.nrrd", seed_ras=sample_seeds()[0].ras, structure="Nodule")
    write_plan(folder / "plan.json", make_plan([case], ("picks", "clicks"), 1))
    return folder / "plan.json"


@pytest.fixture(scope="module")
def a_server(new_server: Callable[..., Any], a_plan: Path) -> Any:
    return new_server("--study", str(a_plan), "--user", "U01")


def records(plan: Path) -> list[dict[str, Any]]:
    text = (plan.with_name("plan-records") / "U01.jsonl").read_text(encoding="utf-8")
    return [line for line in map(json.loads, text.splitlines()) if "position" in line]


def phase(page: Any, wanted: str) -> None:
    page.wait("(phase) => trame.state.get('study').phase === phase", wanted)


@pytest.mark.long
def test_two_images_from_start_to_the_end_with_a_kill_between(
    a_server: Any, a_plan: Path, new_page: Callable[..., Any]
) -> None:
    page = new_page(a_server.address)
    words = page.page.locator("#study-words")
    assert words.inner_text() == "Case 1 of 2 · pick alternatives"
    assert page.page.locator(".between").is_visible()
    assert page.page.locator("#volume").count() == 0 and page.page.locator("#open-file").count() == 0
    page.said("Press Start when you are ready.")
    page.page.keyboard.press("Enter")  # before Start nothing is done, and nothing counts
    page.wait("() => trame.state.get('problem').startsWith('Press Start')")

    began = time.monotonic()
    page.page.click("#study-start")
    phase(page, "running")
    assert page.page.locator(".between").count() == 0
    page.said("Click a seed on the object.")
    page.page.click("#study-next")
    page.said("Approve the mask (Enter) before Next")
    page.page.click("#dismiss")
    page.click_at()
    page.proposed(1)
    page.click_at(0.52, 0.5)
    page.said("This image is for pick alternatives")
    page.page.keyboard.press("2")
    page.proposed(2)
    assert page.state("problem") == ""
    page.page.click("#study-pause")
    phase(page, "paused")
    assert page.page.locator(".between").is_visible()
    page.page.keyboard.press("1")
    page.said("The study is paused")
    page.page.wait_for_timeout(2000)
    page.page.click("#study-start")
    phase(page, "running")
    page.page.keyboard.press("Enter")
    page.said("Approved")
    about, (mask,) = a_server.truth()
    assert about["segments"] == ["Nodule"] and mask.any()
    page.page.click("#study-next")
    page.wait("() => document.querySelector('#study-words').innerText.startsWith('Case 2 of 2')")
    phase(page, "ready")
    whole = time.monotonic() - began

    (first,) = records(a_plan)
    counted = {key: first[key] for key in ("picks", "points", "iterations", "keys", "clicks", "attempts")}
    assert counted == {"picks": 1, "points": 1, "iterations": 2, "keys": 2, "clicks": 3, "attempts": 1}
    assert (first["condition"], first["case"], first["gave_up"]) == ("picks", "C1", False)
    assert first["paused"] >= 2.0 and 0 < first["seconds"] < whole - first["paused"] + 0.1
    assert first["model"].startswith("general ")
    found = read_volume(a_plan.with_name("plan-records") / "masks" / first["mask"])
    assert np.array_equal(found.array > 0, mask)

    # The second time the same image is as if never seen, and offers no alternatives.
    page.page.click("#study-start")
    phase(page, "running")
    about, masks = a_server.truth()
    assert not any(one.any() for one in masks) and about["points"] == []
    page.click_at()
    page.wait("() => { const s = trame.state.get('screen'); return !s.busy && s.iteration === 1; }")
    assert page.screen["cards"] == [] and "pick:0" not in page.screen["enabled"]
    page.said("or correct the mask with a click")
    assert not page.page.locator(".grid").is_visible()
    page.page.keyboard.press("1")
    page.said("This image is for corrective clicks")
    assert page.screen["iteration"] == 1
    assert page.complaints == []

    a_server.stop(signal.SIGKILL)
    a_server.start()
    again = new_page(a_server.address)
    assert again.page.locator("#study-words").inner_text() == "Case 2 of 2 · corrective clicks"
    assert again.state("resume_offer") == ""
    again.page.click("#study-start")
    phase(again, "running")
    again.click_at()
    again.wait("() => { const s = trame.state.get('screen'); return !s.busy && s.iteration === 1; }")
    again.click_at(0.55, 0.5)
    again.wait("() => { const s = trame.state.get('screen'); return !s.busy && s.iteration === 2; }")
    again.page.click("#study-skip")
    phase(again, "finished")
    assert again.page.inner_text("#study-words") == "All 2 images are done. Thank you."
    second = records(a_plan)[1]
    assert second["attempts"] == 2 and second["gave_up"] and "mask" not in second
    assert (second["points"], second["picks"], second["iterations"]) == (2, 0, 2)
    assert a_server.errors == "" or "Traceback" not in a_server.errors


def drag(viewer: Any, path: list[tuple[float, float]], *, ctrl: bool = False) -> None:
    """Drag in the large view. path: mm to the right and up from the middle of the nodule."""
    import vtk

    node, to_view = viewer.large.node, vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_view)
    across = np.array([[node.GetSliceToRAS().GetElement(r, c) for c in range(2)] for r in range(3)])
    interactor = viewer.large.view.interactor()
    for number, (right, up) in enumerate(path):
        ras = np.array(sample_seeds()[0].ras) + across @ (right, up)
        x, y = to_view.MultiplyPoint((*ras, 1.0))[:2]
        interactor.SetEventInformation(round(x), round(y), int(ctrl), 0, "\0", 0, None)
        interactor.InvokeEvent("MouseMoveEvent" if number else "LeftButtonPressEvent")
    interactor.InvokeEvent("LeftButtonReleaseEvent")


async def settled(viewer: Any) -> Any:
    """The screen once nothing is computed any more."""
    for _ in range(2):
        await asyncio.sleep(0.05)
        while viewer.controller.working:
            await asyncio.sleep(0.02)
    return viewer.controller.screen


def test_a_box_and_a_line_are_clicks_of_the_condition(in_viewer: Callable[..., None], tmp_path: Path) -> None:
    plan = a_plan_in(tmp_path)
    square = [(-8.0, -8.0), (0.0, 0.0), (8.0, 8.0)]
    beside = [(14.0, -8.0), (14.0, 0.0), (14.0, 8.0)]

    async def use(viewer: Any) -> None:
        state, study = viewer.server.state, viewer.study
        viewer.input.draw("box")
        assert not state.drawing and state.problem == "Press Start when you are ready."
        await study.start()
        viewer.input.draw("scribble")  # a line may begin an object, too
        assert state.drawing == "scribble"
        viewer.input.draw("box")
        drag(viewer, square)
        assert (await settled(viewer)).iteration == 1 and not state.drawing
        viewer.input.draw("scribble")
        assert not state.drawing and state.problem.startswith("This image is for pick alternatives")
        viewer.messages.complain("")
        viewer.input._drawing.begin("scribble")  # as where it was announced before the proposal came
        drag(viewer, beside, ctrl=True)
        assert len((await settled(viewer)).seeds) == 1
        assert state.problem.startswith("This image is for pick alternatives")
        await study.next(gives_up=True)
        await study.start()
        viewer.input.draw("box")
        drag(viewer, square)
        await settled(viewer)
        viewer.input.draw("scribble")
        drag(viewer, beside, ctrl=True)
        assert len((await settled(viewer)).seeds) > 2, "several points stand for the line"
        study.pause()
        viewer.input._drawing.begin("scribble")
        drag(viewer, beside, ctrl=True)
        assert state.problem == "The study is paused; press Start to go on."
        await study.start()
        await study.next(gives_up=True)

    in_viewer(use, study=plan, user="U01")
    counted = [(one["condition"], one["points"], one["iterations"]) for one in records(plan)]
    assert counted == [("picks", 1, 1), ("clicks", 2, 2)]


def test_what_cannot_be_run_is_refused_before_anything_is_shown(
    a_plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from SPASegmentLib.cli.main import main

    for arguments, sentence in (
        (["--study", str(a_plan)], "Give the code of who takes part"),
        (["--user", "U01"], "give its plan with --study"),
        (["--study", str(a_plan), "--user", "U07"], "The plan has no user U07"),
        (["--study", str(a_plan), "--user", "U01", "--profile", "Dr. A"], "without a profile"),
        (["--study", str(a_plan.parent / "no.json"), "--user", "U01"], "cannot be read"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["view", "--no-browser", *arguments])
        assert ended.value.code == 1
        assert sentence in capsys.readouterr().err
