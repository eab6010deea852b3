"""`spasegment adapt`, from kept approvals to a model by name, and back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.imaging.sample import sample_seeds
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.network.checkpoint import load_checkpoint, read_header
from SPASegmentLib.profiles.approvals import ApprovalFolder, ApprovedObject
from SPASegmentLib.research.evaluation import adapting

AT = ("--seed-ras", *sample_seeds(0, rotated=True)[0].ras)


@pytest.fixture(autouse=True)
def a_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPASEGMENT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "models"


@pytest.fixture
def a_store(tmp_path: Path) -> Path:
    """Four discs of four volumes."""
    store = ApprovalFolder(tmp_path / "approved")
    rows, cols = np.mgrid[:96, :96]
    for number in range(4):
        mask = np.hypot(rows - 48, cols - 48) < 8 + 2 * number
        image = SliceImage((0.2 + 0.5 * mask).astype(np.float32), (1.0, 1.0), "CT")
        store.keep(ApprovedObject(image, mask, (48, 48), str(number)))
    return store.folder


def adapt(run, store: Path, model: Path, *options: object):
    return run("adapt", "--from", store, "--model", model, "--out", "ours", "--steps", 1, *options)


def test_nothing_is_kept_unless_a_folder_is_named(run, a_ct, a_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("segment", a_ct, *AT, "--model", a_model, "--picks", "1").code == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_approval_is_kept_where_a_folder_is_named(run, a_ct, a_model, tmp_path):
    ran = run("segment", a_ct, *AT, "--model", a_model, "--picks", "1", "--keep-approved", tmp_path / "k")
    (kept,) = ApprovalFolder(tmp_path / "k").read()
    (path,) = (tmp_path / "k").iterdir()
    assert f"Kept for `spasegment adapt`: {path}" in ran.err + ran.out
    assert kept.mask[kept.click] and kept.image.modality == "CT"


def test_what_nobody_was_asked_about_is_not_kept(run, a_ct, a_model, tmp_path):
    ran = run("segment", a_ct, *AT, "--model", a_model, "--keep-approved", tmp_path / "k")
    assert ran.code == 0 and "Nothing was kept: nobody was asked" in ran.err + ran.out
    assert not (tmp_path / "k").exists()


@pytest.mark.long
def test_a_model_is_adapted_used_by_name_and_deleted(run, a_store, a_model, a_ct, tmp_path, a_models_folder):
    before = a_model.read_bytes()
    ran = adapt(run, a_store, a_model, "--force")
    assert ran.code == 0, ran.err
    said = ran.err + ran.out
    assert "4 approved objects of 4 volumes" in said
    assert re.search(r"Own objects: Dice after the click 0\.\d{3} before, 0\.\d{3} after", said)
    assert "Lung nodules: not checked" in said and "--check-lidc" in said
    assert a_model.read_bytes() == before, "what was adapted stays"
    about = read_header(a_models_folder / "own" / "ours.safetensors").provenance
    assert about["approved"] == {"objects": 4, "groups": 4} and about["judged"]["lidc"] is None
    assert about["started_from"]["hash"] == read_header(a_model).hash

    assert "ours" in run("models", "list").out
    assert "ours is whole" in run("models", "verify", "ours").err + run("models", "verify", "ours").out
    used = run("segment", a_ct, *AT, "--model", "ours", "--out", tmp_path / "mask.nii.gz")
    assert used.code == 0 and "objects approved here" in used.err + used.out
    again = adapt(run, a_store, a_model, "--force")
    assert again.code == 1 and "There is a model ours already" in again.err
    assert run("models", "download", "ours").err.startswith("The model ours was made on this computer")
    assert run("models", "delete", "ours").code == 0
    assert list((a_models_folder / "own").iterdir()) == []
    assert "ours" not in run("models", "list").out


def test_a_model_that_is_no_better_is_not_written_without_force(
    run, a_store, a_model, monkeypatch, a_models_folder
):
    monkeypatch.setattr(adapting, "adapted_state", lambda start, *others: load_checkpoint(start)[0])
    monkeypatch.setattr(adapting, "dice_after_click", lambda state, header, some: np.full(len(some), 0.5))
    ran = adapt(run, a_store, a_model)
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("Nothing was written: it is not better on the own objects")
    assert not a_models_folder.exists()


@pytest.mark.parametrize("name", ["general", "../out", "a b", "", "x.safetensors"])
def test_names_that_cannot_be_are_refused(run, a_store, a_model, name):
    ran = run("adapt", "--from", a_store, "--model", a_model, "--out", name)
    assert ran.code == 1 and ("cannot be called" in ran.err or "is taken by a model" in ran.err)


def test_a_store_that_is_not_there_is_said(run, a_model, tmp_path):
    ran = run("adapt", "--from", tmp_path / "none", "--model", a_model, "--out", "ours")
    assert ran.code == 1 and ran.err.startswith("There is no folder")
