"""Rivals by name: on the command line, on disk, and what is said where they are not there."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.cli import main as cli
from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.research.systems.registry import RIVALS, RivalFactory, rival_factory


@pytest.fixture(autouse=True)
def an_empty_models_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPASEGMENT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def a_folder(tmp_path) -> Path:
    """Five patients, bright discs, two raters."""
    rows, cols = np.mgrid[:48, :48]
    patients = [f"p{number}" for number in range(5)]
    for number, patient in enumerate(patients):
        folder = tmp_path / "data" / patient
        folder.mkdir(parents=True)
        distance = np.hypot(rows - 24, cols - 23) - 6 - number / 2
        noise = np.random.default_rng(number).normal(0, 5, rows.shape)
        save(folder / "image.png", 40 + 170 / (1 + np.exp(distance)) + noise)
        for rater, shift in (("ann", -1.5), ("bob", 1.5)):
            save(folder / f"rater-{rater}.png", 255.0 * (distance < shift))
    split = {"train": patients[:3], "val": patients[3:4], "test": patients[4:]}
    (tmp_path / "data" / "splits.json").write_text(json.dumps(split))
    return tmp_path / "data"


def save(path: Path, values: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.clip(values, 0, 255).astype(np.uint8)), str(path))


def spasegment(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.mark.long
def test_a_trained_rival_is_evaluated_by_its_name_beside_a_model(
    tmp_path, a_folder, options_of, checkpoint_of, an_empty_models_folder
):
    spa = checkpoint_of("table3-all")
    options = options_of("table3-all", steps=2).model_dump(mode="json")
    (tmp_path / "spa.json").write_text(json.dumps(options))
    data = ("--dataset", "folder", "--path", a_folder)
    run = tmp_path / "run"
    assert (
        spasegment("train", *data, "--out", run, "--config", tmp_path / "spa.json", "--model", "level-set")
        == 0
    )
    assert (an_empty_models_folder / "level-set.safetensors").is_file()
    out = tmp_path / "results"
    models = [spa, "level-set", "no-interaction", f"level-set-area={run / 'best.safetensors'}"]
    named = [part for model in (*models, f"oracle-label={spa}") for part in ("--model", model)]
    assert spasegment("evaluate", *data, "--split", "test", *named, "--out", out) == 0
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))["models"]
    assert list(found) == ["best", "level-set", "no-interaction", "level-set-area", "oracle-label"]
    assert found["level-set"]["dice"]["1"] == found["no-interaction"]["dice"]["6"]
    assert [name for name, model in found.items() if model["oracle"]] == ["oracle-label"]


def test_a_rival_that_is_not_trained_is_refused_with_the_command_that_trains_it():
    with pytest.raises(CheckpointError, match="spasegment train --model level-set ") as refused:
        rival_factory("no-interaction")
    assert str(refused.value).startswith("no-interaction is not trained yet")


def test_an_unknown_rival_is_answered_with_all_there_are(capsys, tmp_path):
    with pytest.raises(InputError, match="no rival called 'levelset'") as refused:
        rival_factory("levelset=x.safetensors")
    assert all(name in str(refused.value) for name in RIVALS)
    assert (
        spasegment(
            "train", "--dataset", "folder", "--path", tmp_path, "--out", tmp_path / "o", "--model", "x"
        )
        == 1
    )
    assert "There is no rival called 'x'" in capsys.readouterr().err


def test_a_missing_checkpoint_is_said_in_a_sentence():
    with pytest.raises(CheckpointError, match="no checkpoint at nowhere"):
        rival_factory("level-set=nowhere.safetensors")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "other"),
    [("level-set", "table3-all"), ("table3-all", "level-set"), ("mask-prompt", "level-set")],
)
def test_anothers_checkpoint_is_refused(checkpoint_of, name, other):
    with pytest.raises(CheckpointError, match=f"is no checkpoint of {name}"):
        RivalFactory(name, checkpoint_of(other), "cpu")()


def test_names_and_paths_of_models_are_no_rivals(tmp_path):
    assert rival_factory("compact") is None
    assert rival_factory("runs/best.safetensors") is None
    odd = tmp_path / "a=b.safetensors"
    odd.touch()
    assert rival_factory(str(odd)) is None


def test_the_shipped_model_answers_with_other_numbers_of_samples():
    factory = rival_factory("n-24")
    assert factory is not None
    assert pickle.loads(pickle.dumps(factory)) == factory
    assert RIVALS["n-24"].samples == 24
    assert factory.path.name == "compact.safetensors"
