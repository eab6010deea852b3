"""`spasegment study`, from the plan to the report."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from SPASegmentLib.cli import main as cli
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.study.plan import read_plan
from SPASegmentLib.study.run import StudyRun

PAGE = Path(__file__).resolve().parents[2] / "docs" / "study.md"


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.nrrd" for name in ("a", "b", "c")]
    for path in paths:
        path.touch()
    return paths


@pytest.fixture(scope="module")
def my_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of a bright disc, each drawn by two people."""
    root = tmp_path_factory.mktemp("my-data")
    rows, cols = np.mgrid[:64, :64]
    for number in range(3):
        folder = root / f"patient{number}__slice-1"
        folder.mkdir()
        distance = np.hypot(rows - 30 - number, cols - 33)
        noise = np.random.default_rng(number).normal(0, 8, distance.shape)
        grey = 60 + 140 / (1 + np.exp(distance - 12)) + noise
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / "image.png")
        for rater, radius in (("anna", 11), ("ben", 14)):
            Image.fromarray(((distance < radius) * 255).astype(np.uint8)).save(folder / f"rater-{rater}.png")
    return root


def test_a_plan_is_run_and_reported(run, images, tmp_path, monkeypatch):
    plan = tmp_path / "study.json"
    ran = run("study", "plan", *images, "--users", 2, "--practice", 1, "--out", plan)
    assert ran.code == 0, ran.err
    assert "U01" in ran.out and "picks, clicks" in ran.out and "clicks, picks" in ran.out
    assert f"spasegment view --study {plan} --user U01" in ran.out
    made = read_plan(plan)
    assert [case.file for case in made.cases] == ["a.nrrd", "b.nrrd", "c.nrrd"]

    early = run("study", "report", plan, "--out", tmp_path / "results")
    assert early.code == 1 and "There are no records of this plan" in early.err

    for user in made.users:
        clock = iter(np.arange(0, 1000, 2.5).tolist())
        one = StudyRun(plan, user, clock=lambda clock=clock: next(clock))
        labels = np.ones((1, 2, 2), np.uint8)
        while one.phase != "finished":
            one.start()
            one.count("iterations", 2 if one.condition.name == "picks" else 3)
            one.next(labels, Volume(labels, np.eye(4)))
    ran = run("study", "report", plan, "--out", tmp_path / "results")
    assert ran.code == 0, ran.err
    assert "picks against" in ran.out and "no person took part" not in ran.out
    found = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert found["compared"]["clicks"]["fewer_iterations"][0] == pytest.approx(1 / 3, abs=1e-5)
    assert found["conditions"]["picks"]["seconds"][0] == 2.5 and found["recorded"] == 8
    assert (tmp_path / "results" / "study.md").read_text(encoding="utf-8").startswith("# Study\n")

    again = run("study", "plan", *images, "--out", plan)
    assert again.code == 1 and "There are records of the plan" in again.err


def test_one_command_simulates_and_reports_and_the_same_seed_gives_the_same_bytes(run, my_data, tmp_path):
    def simulated(out: Path, *more: object) -> dict[str, bytes]:
        ran = run(
            *("study", "simulate", "--dataset", "folder", "--path", my_data, "--split", "all"),
            *("--users", 2, "--limit", 1, "--picks", "compact", "--clicks", "compact", "--seed", 3),
            *("--out", out, *more),
        )
        assert ran.code == 0, ran.err
        assert "no person took part" in ran.out
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file() and path.name != "study.md"
        }

    first = simulated(tmp_path / "first")
    assert {"plan.json", "plan-records/U02.jsonl", "results.json", "conditions.png"} <= set(first)
    assert simulated(tmp_path / "second") == first
    results = json.loads(first["results.json"])
    assert list(results["conditions"]) == ["picks-compact", "clicks-compact", "editing"]
    assert results["simulated"] and results["recorded"] == 2 * 3
    page = (tmp_path / "first" / "study.md").read_text(encoding="utf-8")
    assert page.splitlines()[0].endswith(": a simulation") and "no person took part" in page
    slower = json.loads(simulated(tmp_path / "slower", "--look", 4, "--no-editing")["results.json"])
    for name, found in slower["conditions"].items():
        before = results["conditions"][name]
        assert found["looks"] == before["looks"]
        assert found["seconds"][0] == pytest.approx(before["seconds"][0] + 3.6 * before["looks"], abs=1e-3)


def test_bad_input_gets_one_sentence(run, images, tmp_path, my_data):
    out = ("--out", tmp_path / "plan.json")
    data = ("--dataset", "folder", "--path", my_data, "--split", "all", "--out", tmp_path / "out")
    for arguments, code, sentence in (
        (("plan", *out), 2, "give the images"),
        (("plan", tmp_path / "no.nrrd", *out), 1, "no.nrrd; check the path"),
        (("plan", images[0], "--practice", 1, *out), 1, "too few images"),
        (("plan", "--cases", tmp_path / "no.csv", *out), 1, "cannot be read"),
        (("report", images[0], *out), 1, "is no plan of a study"),
        (("simulate", *data, "--satisfied", 0.9, 0.8), 2, "two values of Dice"),
        (("simulate", *data, "--picks", "all"), 2, "one by one"),
        (("simulate", *data, "--picks", "nosuch"), 1, "nosuch"),
    ):
        ran = run("study", *arguments)
        assert ran.code == code and sentence in " ".join(ran.err.split()), (arguments, ran.err)
        assert "Traceback" not in ran.err


def parsed(words: list[str]) -> dict[str, Any]:
    """What a command of the program would be called with."""
    command: Any = typer.main.get_command(cli.app)
    context = command.make_context("spasegment", list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return dict(context.params)


def test_every_command_of_the_page_works_as_it_stands_there(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        (tmp_path / f"chest-{number}.nrrd").touch()
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [shlex.split(line) for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    assert [line[1:3] for line in lines] == [
        ["study", "simulate"],
        ["study", "plan"],
        ["view", "--study"],
        ["study", "report"],
    ]
    for line in lines:
        given = parsed(line[1:])
        if line[2] == "simulate":
            assert given["out"] == Path("results/study") and given["seed"] == 0  # run above, on fewer images
        elif line[1] == "view":
            one = StudyRun(given["study"], given["user"])
            labels = np.ones((1, 2, 2), np.uint8)
            one.start()
            one.next(labels, Volume(labels, np.eye(4)))
            one.start()
            one.next(labels, Volume(labels, np.eye(4)))
        else:
            ran = run(*line[1:])
            assert ran.code == 0, ran.err
    assert (tmp_path / "results" / "study.md").exists()
