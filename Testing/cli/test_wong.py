"""`spasegment wong`, from the command line to its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

SMALL = {
    "batch": 4,
    "images": 12,
    "validation_images": 10,
    "held_out_images": 20,
    "checkpoint_every": 2,
    "precision": "32-true",
}


@pytest.fixture
def wong(run, tmp_path: Path):
    """The experiment with options so small that a run takes a second, into one folder."""
    config = tmp_path / "small.json"
    config.write_text(json.dumps(SMALL))
    return lambda *more: run("wong", "--out", tmp_path / "out", "--config", config, "--steps", 4, *more)


def test_one_command_leaves_networks_table_numbers_and_picture(wong, tmp_path):
    ran = wong("--runs", 2, "--inputs", 2, "--samples", 3)
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    found = json.loads((out / "wong.json").read_text(encoding="utf-8"))
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    assert found["paper"] == {"dice": 0.87, "foreground": 52, "background": 31}
    assert set(found["holds"]) == {"dice", "foreground", "background"}
    assert all(run["images"] == 20 and run["broken"] == 0 for run in found["runs"])
    mean = sum(run["dice"] for run in found["runs"]) / 2
    assert found["over_runs"]["dice"]["mean"] == pytest.approx(mean, abs=1e-5)
    page = (out / "wong.md").read_text(encoding="utf-8")
    assert f"{mean:.3f}" in page and "wong.png" in page
    with Image.open(out / "wong.png") as picture:
        assert picture.width > 300 and picture.height > 300
    assert all((out / f"seed-{seed}" / "wong.safetensors").exists() for seed in (0, 1))
    assert not list(out.rglob("*.part"))


def test_the_same_command_again_gives_the_same_bytes_without_training(wong, tmp_path):
    assert wong().code == 0
    files = [tmp_path / "out" / name for name in ("wong.json", "wong.md", "wong.png")]
    before = [file.read_bytes() for file in files]
    log = (tmp_path / "out" / "seed-0" / "log.jsonl").read_text(encoding="utf-8")
    assert wong().code == 0
    assert [file.read_bytes() for file in files] == before
    assert (tmp_path / "out" / "seed-0" / "log.jsonl").read_text(encoding="utf-8") == log


def test_bad_input_gets_one_sentence(run, wong, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"beta1": "much"}')
    (tmp_path / "a file").write_text("")
    for arguments, words in (
        (("--out", tmp_path / "x", "--config", wrong), "wrong at beta1"),
        (("--out", tmp_path / "x", "--config", tmp_path / "missing.json"), "cannot be read"),
        (("--out", tmp_path / "a file"), "is a file"),
    ):
        ran = run("wong", *arguments)
        assert ran.code == 1 and words in ran.err and "Traceback" not in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    assert wong().code == 0
    ran = wong("--seed-value", 0, "--steps", 5)
    assert ran.code == 1 and "other options" in ran.err
