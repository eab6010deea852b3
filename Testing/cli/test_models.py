"""`spasegment models`."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def a_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPASEGMENT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "models"


def test_every_known_model_is_listed_with_its_state_and_licence(run, a_models_folder):
    ran = run("models", "list")
    assert ran.code == 0
    for word in ("compact", "sam_vit_b", "medsam_vit_b", "missing", "375", "CC BY 4.0", str(a_models_folder)):
        assert word in ran.out


def test_nothing_is_downloaded_without_consent(run, a_models_folder):
    ran = run("models", "download", "sam_vit_b")
    assert ran.code == 1
    assert "375 MB from" in ran.out, "what would be agreed to is said first"
    assert ran.err.startswith("The model sam_vit_b is downloaded (375 MB) only after you agree")
    assert not a_models_folder.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("download", "nonsense"), "There is no model called 'nonsense'"),
        (("download", "compact"), "The model compact comes with SPASegment"),
        (("delete", "compact"), "The model compact comes with SPASegment and stays"),
        (("delete", "sam_vit_b"), "The model sam_vit_b is not on this computer"),
        (("verify", "sam_vit_b"), "The model sam_vit_b is not on this computer yet"),
    ],
)
def test_what_cannot_be_done_is_said(run, arguments, sentence):
    ran = run("models", *arguments)
    assert ran.code == 1
    assert ran.err.startswith(sentence)


def test_a_damaged_model_is_found_and_can_be_deleted(run, a_models_folder):
    a_models_folder.mkdir()
    (a_models_folder / "sam_vit_b_01ec64.pth").write_bytes(b"not the model")
    assert "damaged" in run("models", "list").out
    for arguments in (("verify", "sam_vit_b"), ("verify",)):
        ran = run("models", *arguments)
        assert ran.code == 1
        assert "sam_vit_b" in ran.err
    assert "is deleted" in run("models", "delete", "sam_vit_b").out
    assert list(a_models_folder.iterdir()) == []
