"""A study in the panel: images of a plan, one by one, hidden until Start and recorded at Next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds
from SPASegmentLib.study.plan import StudyCase, make_plan, write_plan

RAS = sample_seeds()[0].ras


@pytest.fixture(scope="module")
def an_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "Mustermann.nrrd"
    write_sample_volume(path, make_sample_volume())
    return path


@pytest.fixture
def a_plan(tmp_path: Path, an_image: Path) -> Path:
    shutil.copy(an_image, tmp_path)
    case = StudyCase(id="C1", file="Mustermann.nrrd", seed_ras=RAS, structure="Nodule")
    write_plan(tmp_path / "plan.json", make_plan([case], ("picks", "clicks"), 1))
    return tmp_path / "plan.json"


@pytest.fixture
def user(application: Any, tmp_path: Path) -> Any:
    application.open_panel()
    from SPASegmentWidgets import selftest

    user = selftest.open_panel(tmp_path)
    user.ui.samplesSpin.value = 8
    user.panel.advanced.on_samples()
    return user


def records(plan: Path) -> list[dict[str, Any]]:
    text = (plan.with_name("plan-records") / "U01.jsonl").read_text(encoding="utf-8")
    return [line for line in map(json.loads, text.splitlines()) if "position" in line]


def behind_views() -> set[str | None]:
    import slicer

    manager = slicer.app.layoutManager()
    return {
        manager.sliceWidget(name).sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID()
        for name in manager.sliceViewNames()
    }


def press(user: Any, button: Any) -> None:
    import slicer

    button.click()
    slicer.app.processEvents()
    user.wait()


def test_two_images_from_the_plan_to_the_records(user: Any, a_plan: Path) -> None:
    import slicer

    study = user.panel.study
    assert not study.frame.visible
    user.answers.answers = [a_plan, "U01"]
    press(user, study.open_button)
    assert str(study.words.text) == "Case 1 of 2 \N{MIDDLE DOT} pick alternatives"
    assert "Nodule" in str(study.how.text) and not study.frame.isHidden()
    assert user.status == "Press Start when you are ready."
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []

    press(user, study.start_button)
    (node,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert node.GetName() == "C1" and behind_views() == {node.GetID()}
    press(user, study.next_button)
    assert user.status == "Approve the mask (Enter) before Next, or press Skip if it cannot be segmented."
    user.look_at(RAS)
    user.seed(RAS)
    assert user.screen.iteration == 1
    user.click("excludeButton")
    assert user.status.startswith("This image is for pick alternatives") and user.panel.views.placing is None
    user.press("cardPicture2")
    press(user, study.start_button)  # Pause
    assert str(study.start_button.text) == "Start" and behind_views() == {None}
    user.click("approveButton")
    assert user.status == "The study is paused; press Start to go on."
    press(user, study.start_button)
    assert behind_views() == {node.GetID()}
    user.panel.shortcuts._act("approve")
    user.wait()
    wanted = user.voxels()
    assert wanted.any()
    press(user, study.next_button)

    (first,) = records(a_plan)
    counted = {key: first[key] for key in ("picks", "points", "iterations", "keys")}
    assert counted == {"picks": 1, "points": 1, "iterations": 2, "keys": 1}
    assert first["clicks"] >= 3 and first["seconds"] > 0 and first["condition"] == "picks"
    found = read_volume(a_plan.with_name("plan-records") / "masks" / first["mask"])
    assert np.array_equal(found.array > 0, wanted)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    left = [one.GetName() for one in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
    assert left == ["SPASegment proposal"]  # what the views show of any image
    assert str(study.words.text) == "Case 2 of 2 \N{MIDDLE DOT} corrective clicks"

    press(user, study.start_button)
    user.look_at(RAS)
    user.seed(RAS)
    assert user.screen.iteration == 1
    assert not user.ui.cardPicture1.enabled
    assert not user.panel.controller._selection.small
    assert "or correct the mask with a click" in user.status
    user.panel.shortcuts._act("pick:0")
    user.wait()
    assert user.screen.iteration == 1
    user.seed(tuple(np.add(RAS, (4.0, 0.0, 0.0))), positive=False)
    assert user.screen.iteration == 2
    press(user, study.skip_button)
    assert str(study.words.text) == "All 2 images are done. Thank you."
    second = records(a_plan)[1]
    assert second["gave_up"] and (second["points"], second["iterations"]) == (2, 2)

    press(user, study.open_button)  # Leave the study
    assert study.frame.isHidden() and study.run is None


SQUARE = [(-8.0, -8.0), (0.0, 0.0), (8.0, 8.0)]
BESIDE = [(14.0, -8.0), (14.0, 0.0), (14.0, 8.0)]


def drag(user: Any, path: list[tuple[float, float]], *, ctrl: bool = False) -> None:
    import scenarios

    scenarios.drag_in_view(RAS, path, ctrl=ctrl)
    user.panel.queue.drain()
    user.wait()


def test_a_box_and_a_line_are_clicks_of_the_condition(user: Any, a_plan: Path) -> None:
    study, views = user.panel.study, user.panel.views
    user.answers.answers = [a_plan, "U01"]
    press(user, study.open_button)
    user.click("boxButton")
    assert user.status == "Press Start when you are ready." and views.drawing is None
    press(user, study.start_button)
    user.look_at(RAS)
    user.click("boxButton")
    drag(user, SQUARE)
    assert user.screen.iteration == 1
    user.click("scribbleButton")
    assert user.status.startswith("This image is for pick alternatives") and views.drawing is None
    views.draw("scribble")  # as where it was announced before the proposal came
    drag(user, BESIDE, ctrl=True)
    assert user.status.startswith("This image is for pick alternatives") and len(user.screen.seeds) == 1
    press(user, study.skip_button)
    (first,) = records(a_plan)
    assert (first["condition"], first["points"], first["iterations"]) == ("picks", 1, 1)
    assert first["clicks"] == 4, "two buttons and two drags"

    press(user, study.start_button)
    user.look_at(RAS)
    user.click("boxButton")
    drag(user, SQUARE)
    user.click("scribbleButton")
    drag(user, BESIDE, ctrl=True)
    assert len(user.screen.seeds) > 2, "several points stand for the line"
    press(user, study.skip_button)
    second = records(a_plan)[1]
    assert (second["condition"], second["points"], second["iterations"]) == ("clicks", 2, 2)


def test_leaving_keeps_what_is_recorded_and_a_file_that_is_no_plan_is_refused(
    user: Any, a_plan: Path
) -> None:
    import slicer

    study = user.panel.study
    user.answers.answers = [a_plan.with_name("Mustermann.nrrd")]
    press(user, study.open_button)
    assert "is no plan of a study" in user.answers.told[-1][0]
    assert study.run is None
    user.answers.answers = [a_plan, "U01"]
    press(user, study.open_button)
    press(user, study.start_button)
    press(user, study.open_button)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == [] and records(a_plan) == []
    user.answers.answers = [a_plan, "U01"]
    press(user, study.open_button)
    press(user, study.start_button)
    press(user, study.skip_button)
    assert [record["attempts"] for record in records(a_plan)] == [2]
