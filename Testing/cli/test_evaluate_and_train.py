"""`spasegment evaluate` and `spasegment train` on a made-up folder of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import typer
from any_sets import nested_discs, persons

from SPASegmentLib.cli.evaluate import check_learn_from, labels
from SPASegmentLib.cli.shared import Split, console
from SPASegmentLib.cli.train import read_data
from SPASegmentLib.errors import DatasetError
from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.profiles.records import SliceEvidence, new_id, now
from SPASegmentLib.profiles.store import FOLDER_VARIABLE, ProfileStore
from SPASegmentLib.research.training.options import TrainOptions

TINY = {
    "grid": 32,
    "channels": 32,
    "widths": [8, 16, 16, 16],
    "head_channels": 16,
    "decoder_heads": 4,
    "decoder_mlp": 32,
    "components": 4,
    "default_region": 32.0,
}
OPTIONS = {
    "steps": 4,
    "batch": 2,
    "checkpoint_every": 2,
    "validate_every": 2,
    "validation_cases": 2,
    "precision": "32-true",
    "accelerator": "cpu",
    "devices": 1,
    "network": TINY,
}


@pytest.fixture(scope="session")
def a_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients, bright discs, three raters; the pictures differ in size."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    patients = [f"p{number}" for number in range(8)]
    for number, patient in enumerate(patients):
        rows, cols = np.mgrid[: 48 + 4 * (number % 2), :50]
        distance = np.hypot(rows - 24, cols - 25) - random.uniform(5, 9)
        image = 40 + 170 / (1 + np.exp(distance)) + random.normal(0, 6, rows.shape)
        folder = root / patient
        folder.mkdir()
        save(folder / "image.png", image)
        for rater, shift in (("ann", -1), ("bob", 0), ("cy", 1)):
            save(folder / f"rater-{rater}.png", 255.0 * (distance < shift))
    split = {"train": patients[:4], "val": patients[4:6], "test": patients[6:]}
    (root / "splits.json").write_text(json.dumps(split))
    return root


def save(path: Path, values: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.clip(values, 0, 255).astype(np.uint8)), str(path))


def test_evaluating_shows_a_table_and_writes_the_results(run, a_folder, a_model, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ran = run(
        *("evaluate", "--dataset", "folder", "--path", a_folder, "--split", "test", "--model", a_model),
        *("--out", tmp_path / "out", "--subset", "all4", "--samples", 12),
    )
    assert ran.code == 0, ran.err
    assert "tiny" in ran.out
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    dice = results["models"]["tiny"]["dice"]
    assert {"1", "2", "3", "6"} <= set(dice)
    assert all(0 < value <= 1 for value in dice.values())
    assert results["models"]["tiny"]["cases"] == 2
    assert results["n_samples"] == 12
    assert (tmp_path / "out" / results["targets_file"]).exists()


@pytest.mark.long
def test_any_structure_is_measured_on_held_out_entries_set_by_set(run, a_model, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    splits = {"p1__a": "train", "p2__a": "val", "p3__a": "test"}
    for name, may in (("free", True), ("closed", False)):
        for member, content in nested_discs(name, splits, train=may).items():
            (tmp_path / "sets" / member).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "sets" / member).write_bytes(content)
    given = ("evaluate", "--dataset", "any", "--path", tmp_path / "sets", "--model", a_model)
    ran = run(*given, "--limit", 2, "--user", "always-pick", "--user", "correct", "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "Dice by set: tiny" in ran.out and "correct sees the target" in ran.out
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["models"]["tiny"]["cases"] == 4
    told = results["by_set"]["tiny"]["macro"]
    assert {part: macro["sets"] for part, macro in told.items()} == {"may teach": 1, "unseen": 1}
    targets = json.loads((tmp_path / "out" / "targets.json").read_text(encoding="utf-8"))["cases"]
    assert {row["case"].split("/")[1] for row in targets} == {"p2__a", "p3__a"}
    refused = run(*given, "--target", "largest")
    assert refused.code == 2 and "go by raters" in " ".join(refused.err.replace("│", " ").split())


def test_no_case_to_measure_with_ever_teaches(tmp_path):
    for member, content in nested_discs("closed", {"p1__a": "train", "p2__a": "val"}, train=False).items():
        (tmp_path / member).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / member).write_bytes(content)
    with pytest.raises(DatasetError, match="never teach"):
        read_data("any", [tmp_path], TrainOptions(), console())


@pytest.mark.parametrize(
    ("split", "learn_from"),
    [("test", "test"), ("all", "val"), ("held-out", "val"), ("test", "held-out")],
)
def test_profiles_never_learn_from_what_they_are_judged_on(split, learn_from):
    with pytest.raises(typer.BadParameter, match="learn from one split"):
        check_learn_from(Split(split), Split(learn_from), True)
    check_learn_from(Split.held_out, Split.train, True)


def test_the_same_slices_shown_in_another_way_are_compared_with_intervals(
    run, a_folder, a_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    options = ("--dataset", "folder", "--path", a_folder, "--invariance", "--model", a_model)
    ran = run("evaluate", *options, "--limit", 2, "--out", tmp_path)
    assert ran.code == 0, ran.err
    first = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    (figures,) = first["models"].values()
    assert figures["cases"] == 2
    assert figures["invariance"]["as it is"]["change"] == [0, 0, 0]
    for way, found in figures["invariance"].items():
        assert way in ran.out
        low, high = found["change"][1:]
        assert low <= found["change"][0] <= high
        plain = figures["invariance"]["as it is"]["dice"][0]
        assert found["change"][0] == pytest.approx(found["dice"][0] - plain, abs=1e-4)
    assert run("evaluate", *options, "--limit", 2, "--out", tmp_path).code == 0
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == first


def test_the_limit_takes_so_many_cases(run, a_folder, a_model, tmp_path):
    run(
        "evaluate",
        *("--dataset", "folder", "--path", a_folder, "--model", a_model, "--limit", 1, "--out", tmp_path),
    )
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["models"]["tiny"]["cases"] == 1


@pytest.mark.long
def test_a_saved_profile_is_evaluated_beside_its_model(run, a_folder, a_model, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "profiles"))
    given = ("evaluate", "--dataset", "folder", "--path", a_folder, "--model", a_model, "--split", "test")
    missing = run(*given, "--profile", "Dr. A")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    assert 'There is no profile "Dr. A"' in missing.err
    assert run("profile", "create", "Dr. A", "--model", a_model).code == 0
    sure = np.full(16, -9.0)
    sure[5] = 0.0
    item = SliceEvidence(
        id=new_id(), image=new_id(), date=now(), outcome="approved", approval=tuple(sure.tolist())
    )
    before = ProfileStore().commit("Dr. A", item)
    ran = run(*given, "--profile", "Dr. A", "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    models = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["models"]
    assert list(models) == ["tiny", "tiny + Dr. A"]
    assert models["tiny"]["dice"]["1"] != models["tiny + Dr. A"]["dice"]["1"]
    assert ProfileStore().load("Dr. A") == before, "an evaluation teaches nothing"


def test_models_are_called_by_their_names_and_numbered_where_they_repeat():
    assert labels(["compact", "runs/a/best.safetensors", "runs/b/best.safetensors", "best"]) == [
        *("compact", "best", "best-2", "best-3")
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--dataset", "nonsense"), "There is no data set 'nonsense'; choose one of lidc"),
        (("--dataset", "lidc"), "."),
        (("--dataset", "folder", "--model", "nonsense"), "There is no model called 'nonsense'"),
        (("--dataset", "folder", "--target", "mine"), "'mine' is no target"),
        (("--dataset", "folder", "--user", "me"), "There is no such user model"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused_in_one_sentence(run, a_folder, a_model, options, sentence):
    ran = run("evaluate", "--path", a_folder, "--model", a_model, *options)
    assert ran.code == 1
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_training_makes_a_model_that_segments(run, a_folder, a_ct, tmp_path):
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    train = (
        *("train", "--dataset", "folder", "--path", a_folder, "--out", tmp_path / "run"),
        *("--config", tmp_path / "options.json"),
    )
    ran = run(*train)
    assert ran.code == 0, ran.err
    best = tmp_path / "run" / "best.safetensors"
    assert str(best) in ran.out
    about = read_header(best).provenance
    assert about["trained_on"] == "4 images of 4 patients or sources of the data set folder"
    assert (
        run(
            *("segment", a_ct, "--seed-ijk", 100, 100, 80, "--model", best, "--out", tmp_path / "mask.nii.gz")
        ).code
        == 0
    )
    again = run(*train)
    assert again.code == 1
    assert "holds a training run; add --resume" in again.err
    assert run(*train, "--resume").code == 0


def test_data_for_training_is_read_with_all_its_raters_and_padded_to_one_size(a_folder):
    data = read_data("folder", [a_folder], TrainOptions(network=TINY), console())
    assert data.images.shape == (4, 52, 50)
    assert data.images.dtype == np.uint8
    assert data.masks.shape == (4, 3, 52, 50)
    assert len(data.validation_images) == 2
    inner, middle, outer = data.masks[0].sum(axis=(1, 2))
    assert 0 < inner < middle < outer
    np.testing.assert_array_equal(data.images[0, 48:], np.repeat(data.images[0, 47:48], 4, axis=0))
    assert not data.masks[0, :, 48:].any()
    colour = read_data("folder", [a_folder], TrainOptions(network={"image_channels": 3}), console())
    assert colour.images.shape == (4, 52, 50, 3)
    np.testing.assert_array_equal(colour.images[..., 0], data.images)


@pytest.mark.long
def test_a_model_trained_without_a_rater_is_measured_on_what_they_drew(run, a_folder, a_model, tmp_path):
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    given = ("--dataset", "folder", "--path", a_folder)
    ran = run(
        *("train", *given, "--without", "bob", "--out", tmp_path / "run"),
        *("--config", tmp_path / "options.json"),
    )
    assert ran.code == 0, ran.err
    best = tmp_path / "run" / "best.safetensors"
    assert read_header(best).provenance["raters_left_out"] == ["bob"]
    ran = run(
        *("evaluate", *given, "--split", "test", "--model", a_model, "--samples", 8),
        *("--unseen", f"bob={best}", "--out", tmp_path / "out"),
    )
    assert ran.code == 0, ran.err
    found = json.loads((tmp_path / "out" / "unseen-raters.json").read_text(encoding="utf-8"))
    assert set(found["raters"]["bob"]["best"]["dice"]) == set("123456")
    assert "| bob, best |" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_every_rater_is_left_out_in_turn_of_a_model_that_saw_none(run, a_folder, a_model, tmp_path):
    ran = run(
        *("evaluate", "--dataset", "folder", "--path", a_folder, "--split", "test", "--model", a_model),
        *("--samples", 8, "--limit", 1, "--unseen", f"all={a_model}", "--out", tmp_path),
    )
    assert ran.code == 0, ran.err
    found = json.loads((tmp_path / "unseen-raters.json").read_text(encoding="utf-8"))
    assert list(found["raters"]) == ["ann", "bob", "cy"]


@pytest.mark.long
def test_profiles_of_a_sets_raters_are_taught_and_judged_apart(run, a_model, tmp_path):
    for member, content in persons("people", {f"p{n}__a": "test" for n in range(4)}).items():
        (tmp_path / member).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / member).write_bytes(content)
    given = (
        "evaluate",
        "--dataset",
        "any",
        "--path",
        tmp_path / "people",
        "--model",
        a_model,
        "--samples",
        8,
    )
    assert run(*given, "--teach", 2).code == 2
    ran = run(
        *given, "--transfer", "--teach", 2, "--limit", 3, "--against", "tiny", "--out", tmp_path / "out"
    )
    assert ran.code == 0, ran.err
    told = json.loads((tmp_path / "out" / "transfer.json").read_text(encoding="utf-8"))
    assert told["apart"] and list(told["models"]["tiny"]["users"]) == ["raters:a", "raters:b", "raters:c"]
    assert told["models"]["tiny"]["users"]["raters:b"]["cases"] == 1
    wrong = run(*given, "--limit", 1, "--against", "rival")
    assert wrong.code == 1 and "no model 'rival' in this run" in wrong.err


@pytest.mark.long
def test_profiles_taught_on_other_patients_are_judged_on_the_split(run, a_folder, a_model, monkeypatch):
    given = ("evaluate", "--dataset", "folder", "--path", a_folder, "--model", a_model, "--split", "test")
    ran = run(*given, "--transfer", "--learn-from", "train", "--samples", 8)
    assert ran.code == 1, "four patients are fewer than the ten that teach"
    assert "A profile is judged after 10 cases" in ran.err
    wrong = run(*given, "--transfer", "--learn-from", "test")
    assert wrong.code == 2
    assert "judged on another" in wrong.err
    assert run(*given, "--unseen", "bob").code == 2
    assert run(*given, "--transfer-user", "largest").code == 2
    nobody = run(*given, "--transfer", "--transfer-user", "tallest", "--samples", 8)
    assert nobody.code == 1
    assert "'tallest' is no target" in nobody.err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read; check the path."),
        ("{", "are wrong at the file"),
        ('{"steps": 0}', "are wrong at steps"),
        ('{"stepz": 3}', "are wrong at stepz"),
    ],
)
def test_wrong_training_options_are_refused_in_one_sentence(run, a_folder, tmp_path, text, sentence):
    path = tmp_path / "options.json"
    if text is not None:
        path.write_text(text)
    ran = run("train", "--dataset", "folder", "--path", a_folder, "--out", tmp_path / "run", "--config", path)
    assert ran.code == 1
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_training_without_validation_patients_is_refused(tmp_path, a_folder):
    (tmp_path / "only").mkdir()
    for name in ("image.png", "rater-ann.png"):
        (tmp_path / "only" / name).write_bytes((a_folder / "p0" / name).read_bytes())
    (tmp_path / "splits.json").write_text('{"train": ["only"], "val": [], "test": []}')
    with pytest.raises(DatasetError):
        read_data("folder", [tmp_path], TrainOptions(), console())
