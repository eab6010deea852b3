"""Every command the README tells a newcomer to type works, typed as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from SPASegmentLib.network.registry import model_path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
IS_SET_UP = (ROOT / ".venv" / ".complete").exists()
HAS_MODEL = model_path("compact").exists()


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands(language: str) -> list[str]:
    """Every line of the README's code blocks of a language; a backslash at the end joins two."""
    return [
        line for block in blocks(language) for line in block.replace("\\\n", " ").splitlines() if line.strip()
    ]


@pytest.fixture(scope="module")
def a_desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader has it: the command `spasegment` at hand, and `my-data` from two people."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "bin").mkdir()
    command = desk / "bin" / "spasegment"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m SPASegmentLib.cli.main "$@"\n')
    command.chmod(0o755)
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    for patient in range(8):
        folder = desk / "my-data" / f"patient{patient:02d}__slice-1"
        folder.mkdir(parents=True)
        distance = np.hypot(rows - random.uniform(24, 40), columns - random.uniform(24, 40))
        grey = 60 + 140 / (1 + np.exp(distance - 12)) + random.normal(0, 8, distance.shape)
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / "image.png")
        for rater, radius in (("anna", 11), ("ben", 14)):
            Image.fromarray(((distance < radius) * 255).astype(np.uint8)).save(folder / f"rater-{rater}.png")
    names = [f"patient{patient:02d}" for patient in range(8)]
    splits = {"train": names[:4], "val": names[4:6], "test": names[6:]}
    (desk / "my-data" / "splits.json").write_text(json.dumps(splits))
    return desk


@cache
def type_in(command: str, desk: Path) -> str:
    """What a command says, typed at the desk without a terminal; each is typed once."""
    environment = os.environ | {
        "PATH": f"{desk / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SPASEGMENT_MODELS": str(desk / "models"),
        "DEMO": str(desk / "demo"),
        "MPLCONFIGDIR": str(desk / "matplotlib"),
        "SPASEGMENT_STATE": str(desk / "state"),
        "SPASEGMENT_DEBUG": "1",
    }
    folder = ROOT if command.startswith("make") else desk
    result = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


LONG = re.compile(r"make demo|spasegment (benchmark|train|evaluate|view)")


@pytest.mark.parametrize(
    "command",
    [pytest.param(one, marks=[pytest.mark.long] * bool(LONG.match(one)), id=one) for one in commands("bash")],
)
def test_the_command_works_as_it_stands_there(command: str, a_desk: Path) -> None:
    if command.startswith("make") and not IS_SET_UP:
        pytest.skip("this environment was not built by `make setup`, which the command would start")
    if not HAS_MODEL and re.match(r"spasegment (segment|benchmark|models verify|view)|make demo", command):
        pytest.skip("the shipped model is not in Resources/Models")
    type_in(command, a_desk)


@pytest.mark.long
def test_the_commands_leave_what_the_readme_promises(a_desk: Path) -> None:
    if not HAS_MODEL:
        pytest.skip("the shipped model is not in Resources/Models")
    assert (a_desk / "nodule.seg.nrrd").stat().st_size > 0
    assert list((a_desk / "pictures").glob("*.png"))
    assert json.loads((a_desk / "nodule.json").read_text(encoding="utf-8"))
    assert "dice" in json.dumps(
        json.loads((a_desk / "results" / "quick" / "results.json").read_text(encoding="utf-8"))
    )


def test_the_python_of_the_readme_gives_a_mask(a_desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not HAS_MODEL:
        pytest.skip("the shipped model is not in Resources/Models")
    monkeypatch.chdir(a_desk)
    type_in("spasegment sample chest.nrrd", a_desk)
    [code] = blocks("python")
    assert len([line for line in code.splitlines() if line]) == 6, "the import and five lines"
    said: dict[str, Any] = {}
    exec(code, said)
    assert said["mask"].any() and said["predictor"].volume_mask().any()
    assert all(candidate.name and candidate.area_mm2 for candidate in said["proposal"].candidates)
    for word in ("add_point", "none_of_these", "undo", "volume_mask", "set_image", "click"):
        assert f"`{word}" in README and hasattr(said["predictor"], word)


@pytest.mark.long
def test_the_demo_says_where_its_pictures_are(a_desk: Path) -> None:
    if not (IS_SET_UP and HAS_MODEL):
        pytest.skip("needs an environment built by `make setup` and the shipped model")
    said = type_in("make demo", a_desk)
    assert str(a_desk / "demo" / "report") in said
    assert len(list((a_desk / "demo" / "report").glob("*.png"))) == 3


@pytest.mark.parametrize(
    "command", [*commands("console"), "make help", "make setup", "make lint", "make lists"]
)
def test_the_targets_of_make_exist(command: str) -> None:
    assert re.fullmatch(r"make [a-z]+", command)
    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=True)


def test_every_file_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert "LICENSE" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_section_the_readme_points_to_exists() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", README, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_the_readme_says_the_commands_of_the_program() -> None:
    used = {words[1] for words in map(str.split, commands("bash")) if words[0] == "spasegment"}
    assert used == {"sample", "segment", "benchmark", "models", "train", "evaluate", "view"}


def test_the_readme_says_what_it_is_not() -> None:
    assert "Not a medical device" in README
    assert "zhu2025spa" in README and "CC BY 3.0" in README


def test_the_first_screen_says_for_whom_what_for_and_the_limits() -> None:
    first = [line for line in README.splitlines()[1:] if line][:3]
    for line, word in zip(first, ("For whom", "What for", "Limits"), strict=True):
        assert line.startswith(f"- **{word}:**"), line
    assert "not a medical device" in first[2] and re.search(r"Dice 0\.\d\d", first[2])


def test_better_and_worse_than_other_tools_stands_in_a_table_with_figures() -> None:
    table = README.split("## Beside other tools")[1].split("\n## ")[0]
    head = table.strip().splitlines()[0]
    assert all(name in head for name in ("nnInteractive", "MedSAM", "Segment Editor"))
    assert re.search(r"\| Dice, .*0\.\d{3}; 0\.\d{3}", table)
    assert "What is worse here" in table


def test_a_whole_object_is_shown_in_a_moving_picture() -> None:
    above = README.split("\n## ")[0]
    (name,) = re.findall(r"\]\((\S+\.webp)\)", above)
    with Image.open(ROOT / name) as film:
        assert getattr(film, "n_frames", 1) >= 5
    assert Path(name).name in (ROOT / "Testing/viewer/test_appearance.py").read_text(encoding="utf-8")


def test_how_to_start_usual_problems_and_the_level_sets_row_are_there() -> None:
    assert "source .venv/bin/activate" in README and "pip install" in README
    assert README.count('\n- *"') + README.count("\n- *The") >= 4, "usual problems"
    rows = [
        line.count("|") for line in README.splitlines() if line.startswith(("| `compact`", "| `level-set`"))
    ]
    assert len(rows) == 2 and rows[0] == rows[1], "level-set stands beside compact"
