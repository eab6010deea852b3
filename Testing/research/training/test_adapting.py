"""A model learns from approved objects: what changes, what stays, and what cannot be learnt from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint, save_checkpoint
from SPASegmentLib.network.config import compact_config, sam_config
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.profiles.approvals import ApprovedObject
from SPASegmentLib.research.training.adapting import (
    LEARNING,
    Recipe,
    adapted_header,
    adapted_state,
    blended,
    stack_of,
)

QUIET = Console(quiet=True)
SMALL = Recipe(steps=3, batch=4, learning_rate=1e-3)


def an_object(seed: int, side: int = 48, radius: float = 9, group: str = "") -> ApprovedObject:
    """A bright disc somewhere on a noisy slice."""
    rng = np.random.default_rng(seed)
    row, col = rng.integers(18, side - 18, 2)
    rows, cols = np.mgrid[:side, :side]
    mask = np.hypot(rows - row, cols - col) < radius
    pixels = np.clip(0.2 + 0.5 * mask + rng.normal(0, 0.03, mask.shape), 0, 1).astype(np.float32)
    return ApprovedObject(
        SliceImage(pixels, (1.0, 1.0), "MR"), mask, (int(row), int(col)), group or str(seed)
    )


@pytest.fixture(scope="module")
def a_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights."""
    torch.manual_seed(1)
    sizes = {"channels": 32, "widths": (8, 16, 16, 16), "head_channels": 16, "decoder_mlp": 32}
    config = compact_config(grid=32, default_region=32.0, components=4, decoder_heads=4, **sizes)
    network = SPANetwork(config)
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    about = {"trained_on": "nothing", "modalities": ["CT"]}
    save_checkpoint(path, network.state_dict(), CheckpointHeader(config.to_dict(), about))
    return path


def test_the_late_layers_learn_and_the_early_ones_stay_with_their_statistics(a_start: Path) -> None:
    before, content = load_checkpoint(a_start)[0], a_start.read_bytes()
    after = adapted_state(a_start, [an_object(0), an_object(1)], SMALL, QUIET)
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert all(name.startswith(LEARNING) for name in moved)
    assert not any("running_" in name or "num_batches" in name for name in moved)
    for part in ("fusion.", "decoder.", "generator.", "image_encoder.up1."):
        assert any(name.startswith(part) for name in moved), part
    assert a_start.read_bytes() == content


def test_equal_objects_and_seed_give_equal_weights_and_another_seed_others(a_start: Path) -> None:
    objects = [an_object(0), an_object(1)]
    first, again, other = (
        adapted_state(a_start, objects, replace(SMALL, seed=seed), QUIET) for seed in (0, 0, 1)
    )
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_a_share_of_the_change_can_be_kept() -> None:
    start = {"w": torch.zeros(2), "n": torch.tensor(3)}
    end = {"w": torch.ones(2), "n": torch.tensor(9)}
    mixed = blended(start, end, 0.25)
    assert mixed["w"].tolist() == [0.25, 0.25] and int(mixed["n"]) == 3


def test_an_object_learns_with_the_slices_that_were_there() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    planes = [np.full((40, 40), value, np.float32) for value in (0.2, 0.4, 0.6)]
    image = SliceImage(planes[1], (0.5, 1.0), "CT", neighbours=(None, planes[0], planes[2], None))
    stack = stack_of(ApprovedObject(image, mask, (12, 12), "a"))
    assert [int(plane[0, 0]) for plane in stack.pixels] == [51, 102, 153]
    assert stack.shown == {(0, 0): np.array([1])}
    assert stack.steps(0) == (1.0, 2.0)
    missing = replace(image, neighbours=(planes[0], None, None, planes[2]))
    alone = stack_of(ApprovedObject(missing, mask, (12, 12), "a"))
    assert [int(plane[0, 0]) for plane in alone.pixels] == [102], "none beyond a gap"


def test_specks_teach_nothing(a_start: Path) -> None:
    with pytest.raises(InputError, match="large enough to learn from"):
        adapted_state(a_start, [an_object(0, radius=1)], SMALL, QUIET)


def test_a_network_on_sams_encoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sam.safetensors"
    save_checkpoint(path, {"w": torch.ones(1)}, CheckpointHeader(sam_config().to_dict()))
    with pytest.raises(InputError, match="SAM's encoder"):
        adapted_state(path, [an_object(0)], SMALL, QUIET)


def test_what_it_learnt_from_is_said_without_saying_whose_it_was() -> None:
    objects = [an_object(0, group="secret"), an_object(1, group="secret")]
    said = adapted_header({"trained_on": "CT", "modalities": ["CT"], "window": [0, 1]}, objects)
    assert said["trained_on"] == "CT; then 2 objects approved here"
    assert said["approved"] == {"objects": 2, "groups": 1}
    assert said["modalities"] == ["CT", "MR"] and said["window"] == [0, 1]
    assert "secret" not in str(said)
    assert "modalities" not in adapted_header({}, objects), "a model for anything stays one"
