"""Models are known by name, found on disk, verified and deleted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.network import registry
from SPASegmentLib.network.checkpoint import CheckpointHeader, save_checkpoint
from SPASegmentLib.network.registry import (
    KNOWN_MODELS,
    KnownModel,
    delete_model,
    file_sha256,
    find_model,
    get_model,
    list_models,
    model_path,
    model_status,
    models_dir,
    part_path,
    verify_model,
)

SMALL = KnownModel(
    name="small",
    kind="backbone",
    file="small.pth",
    description="eleven bytes",
    licence="none",
    url="http://127.0.0.1:9/small.pth",
    size=11,
    sha256="b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",  # of "hello world"
)


@pytest.fixture(autouse=True)
def a_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPASEGMENT_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_the_known_models_are_stated_in_full() -> None:
    assert [model.name for model in KNOWN_MODELS] == ["compact", "general", "sam_vit_b", "medsam_vit_b"]
    for model in KNOWN_MODELS:
        assert model.description and model.licence
        if not model.is_shipped:
            assert model.url.startswith("https://") and model.url.endswith(model.file)
            assert re.fullmatch("[0-9a-f]{64}", model.sha256)
            assert model.size > 300_000_000


def test_the_folder_is_the_users_unless_a_variable_names_another(
    a_models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert models_dir() == a_models_folder
    monkeypatch.setenv("SPASEGMENT_MODELS", "~/models")
    assert models_dir() == Path.home() / "models"
    monkeypatch.delenv("SPASEGMENT_MODELS")
    assert models_dir().is_absolute() and "spasegment" in str(models_dir())


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="compact, general, sam_vit_b, medsam_vit_b"):
        get_model("unet")


def test_a_file_moves_from_missing_over_partial_to_ready() -> None:
    assert model_status(SMALL).state == "missing"
    part_path(SMALL).write_bytes(b"hello")
    assert (model_status(SMALL).state, model_status(SMALL).bytes_on_disk) == ("partial", 5)
    model_path(SMALL).write_bytes(b"hello world")
    assert (model_status(SMALL).state, model_status(SMALL).bytes_on_disk) == ("ready", 11)
    model_path(SMALL).write_bytes(b"hello")
    assert model_status(SMALL).state == "damaged"


def test_every_known_model_is_listed_with_its_state() -> None:
    states = {status.model.name: status.state for status in list_models()}
    assert (states["sam_vit_b"], states["medsam_vit_b"]) == ("missing", "missing")
    assert states["compact"] in ("ready", "missing")


def test_a_whole_file_is_verified_and_a_changed_one_is_not() -> None:
    model_path(SMALL).write_bytes(b"hello world")
    assert verify_model(SMALL) == SMALL.sha256 == file_sha256(model_path(SMALL))
    model_path(SMALL).write_bytes(b"hello w0rld")
    with pytest.raises(CheckpointError, match="models delete small"):
        verify_model(SMALL)


def test_verifying_what_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(CheckpointError, match="models download sam_vit_b"):
        verify_model("sam_vit_b")
    with pytest.raises(CheckpointError, match="could not be read"):
        verify_model(SMALL)


def test_the_shipped_model_verifies_by_the_hash_it_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "SHIPPED_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match="missing from this installation"):
        verify_model("compact")
    header = save_checkpoint(tmp_path / "compact.safetensors", {"w": torch.ones(3)}, CheckpointHeader())
    assert verify_model("compact") == header.hash
    raw = (tmp_path / "compact.safetensors").read_bytes()
    (tmp_path / "compact.safetensors").write_bytes(raw[:-1] + b"x")
    with pytest.raises(CheckpointError, match="damaged"):
        verify_model("compact")


def test_deleting_frees_the_file_and_the_unfinished_download() -> None:
    model_path(SMALL).write_bytes(b"hello world")
    part_path(SMALL).write_bytes(b"hello")
    assert delete_model(SMALL) == 16
    assert model_status(SMALL).state == "missing"
    with pytest.raises(CheckpointError, match="nothing to delete"):
        delete_model(SMALL)


def test_the_shipped_model_cannot_be_deleted() -> None:
    with pytest.raises(InputError, match="comes with SPASegment"):
        delete_model("compact")


def test_a_model_is_found_by_name_or_by_path(a_models_folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.touch()
    assert find_model(own) == find_model(str(own)) == own
    (a_models_folder / "medsam_vit_b.pth").touch()
    assert find_model("medsam_vit_b") == a_models_folder / "medsam_vit_b.pth"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("sam_vit_b", CheckpointError, "models download sam_vit_b"),
        ("runs/best.safetensors", CheckpointError, "check the path"),
        ("best.safetensors", CheckpointError, "check the path"),
        ("best", InputError, "choose one of compact"),
    ],
)
def test_what_is_not_there_is_answered_with_what_to_do(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        find_model(name)


def test_models_made_on_this_computer_are_known_by_name(a_models_folder: Path) -> None:
    folder = a_models_folder / "own"
    header = save_checkpoint(folder / "ours.safetensors", {"w": torch.ones(3)}, CheckpointHeader())
    (folder / "general.safetensors").touch()
    (folder / "not a name.safetensors").touch()
    assert [model.name for model in registry.own_models()] == ["ours"]
    assert find_model("ours") == folder / "ours.safetensors"
    assert find_model("general").parent == registry.SHIPPED_FOLDER, "a shipped model's name stays its own"
    assert verify_model("ours") == header.hash
    assert {status.model.name: status.state for status in list_models()}["ours"] == "ready"
    assert delete_model("ours") > 0
    with pytest.raises(InputError, match="There is no model called 'ours'"):
        find_model("ours")


@pytest.mark.parametrize("name", ["", ".ours", "../ours", "a/b", "x" * 65, "x.safetensors", "compact"])
def test_what_a_model_cannot_be_called_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        registry.own_model(name)
