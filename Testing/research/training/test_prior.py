"""The prior of what picks may change is learnt from the raters, kept in the checkpoint, and used."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy import ndimage
from stack_toys import ball, disc_with_core, nodule

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import Answered, ProposalRequest
from SPASegmentLib.network.checkpoint import load_checkpoint, read_header, save_checkpoint
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.research.training.loop import StackData, TrainingData, train
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.prior import SMALLEST, deviations_of, fitted, keep_prior

GRID, HARMONICS = 32, 2
QUIET = Console(quiet=True)
ENTRIES = {
    "steps": 24,
    "batch": 8,
    "rounds": (1.0,),
    "learning_rate": 1.5e-2,
    "validate_every": 24,
    "checkpoint_every": 24,
    "validation_cases": 4,
    "precision": "32-true",
    "accelerator": "cpu",
    "devices": 1,
    "network": {
        "grid": 32,
        "channels": 16,
        "widths": [8, 8, 16, 16],
        "head_channels": 8,
        "decoder_heads": 2,
        "decoder_mlp": 32,
        "components": 4,
        "samples": 12,
        "default_region": 32.0,
    },
}


def distance_to(mask: np.ndarray) -> np.ndarray:
    """Signed distance to an outline in pixels, negative inside."""
    return ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)


def cone() -> torch.Tensor:
    """(G, G) logits of a disc with a soft rim."""
    axis = torch.arange(GRID) - (GRID - 1) / 2
    return 9 - torch.hypot(axis[:, None], axis)


def wanted(levels: np.ndarray, tilts: np.ndarray) -> torch.Tensor:
    """(n, G, G) what users draw whose masks differ by a level and by one side (the cosine of the angle)."""
    axis = torch.arange(GRID) - (GRID - 1) / 2
    cosine = axis / torch.hypot(axis[:, None], axis)
    changes = torch.tensor(levels)[:, None, None] + torch.tensor(tilts)[:, None, None] * cosine
    return (cone() + changes > 0).float()


@pytest.mark.parametrize(("level", "tilt"), [(2.0, 0.0), (0.5, 1.5)])
def test_fits_find_by_how_much_users_differ_and_in_what(level, tilt):
    rng = np.random.default_rng(0)
    levels, tilts = rng.normal(0, max(level, 1e-9), 60), rng.normal(0, max(tilt, 1e-9), 60)
    found = deviations_of(np.array(fitted(cone(), wanted(levels, tilts), HARMONICS)))
    assert found[0] == pytest.approx(level, abs=0.3)
    # cos and sin share a deviation, and only the cosine varies
    assert found[1] == pytest.approx(max(tilt / math.sqrt(2), SMALLEST), abs=0.3)
    assert found[2] < 0.4


def test_masks_nobody_drew_are_no_part_of_it():
    assert fitted(cone(), torch.zeros(3, GRID, GRID), HARMONICS) == []


def apart(data: TrainingData, spread: float) -> TrainingData:
    """The same discs by four raters whose outlines lie up to 2 * spread pixels apart."""
    distances = np.stack([distance_to(mask) for mask in data.masks[:, 1]])
    shifts = spread * np.array([-1, -0.5, 0.5, 1])
    return replace(data, masks=distances[:, None] < shifts[:, None, None])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_data) -> Path:
    """The checkpoint of a training on raters who agree."""
    folder = tmp_path_factory.mktemp("prior")
    return train(apart(tiny_data, 0.0), folder, TrainOptions(**ENTRIES), False, QUIET)


def network_of(path: Path) -> SPAConfig:
    return SPAConfig.from_dict(read_header(path).config)


def prior_of(path: Path) -> tuple[float, ...]:
    return network_of(path).prior_deviations


def with_prior(path: Path, to: Path, prior: dict | None) -> Path:
    """The same weights with another prior, or none."""
    state, header = load_checkpoint(path)
    config = {name: value for name, value in header.config.items() if name != "prior_deviations"}
    save_checkpoint(to, state, replace(header, config=config if prior is None else {**config, **prior}))
    return to


def test_raters_who_differ_leave_a_larger_level_than_raters_who_agree(trained, tmp_path, tiny_data):
    levels = []
    for spread in (0.0, 1.5, 4.0):
        path = with_prior(trained, tmp_path / f"{spread}.safetensors", None)
        learn, _ = apart(tiny_data, spread).batches(network_of(path), TrainOptions(users=4))
        keep_prior(path, lambda index, learn=learn: learn.batch(0, index, 8), 6, torch.device("cpu"))
        assert len(prior_of(path)) == 5
        levels.append(prior_of(path)[0])
    assert levels[1] > levels[0] + 0.5 and levels[2] > levels[1] + 0.5, levels


def test_the_weights_keep_their_hash_and_a_finished_run_its_prior(trained, tmp_path, tiny_data):
    assert len(prior_of(trained)) == 5
    without = with_prior(trained, tmp_path / "without.safetensors", None)
    assert load_checkpoint(trained)[1].hash == read_header(without).hash
    before = trained.read_bytes()
    assert train(apart(tiny_data, 4.0), trained.parent, TrainOptions(**ENTRIES), True, QUIET) == trained
    assert trained.read_bytes() == before


def test_a_network_of_any_structure_learns_it_from_its_sets(tmp_path):
    sets = {"made-up-discs": [disc_with_core()], "made-up-balls": [ball()], "lidc": [nodule()]}
    seen = {"fusion": "linear", "context": 3.0, "neighbours": 1, "extent_bins": 20, "harmonics": 3}
    planes = ["picked", "recommendation", "belief", "carried"]
    entries = {"steps": 1, "batch": 4, "network": {**ENTRIES["network"], **seen, "planes": planes}}
    path = train(StackData(sets, sets, {}), tmp_path, TrainOptions(**{**ENTRIES, **entries}), False, QUIET)
    assert len(prior_of(path)) == 4


def test_what_picks_do_follows_the_prior_of_the_checkpoint(trained, tmp_path):
    defaults = [DEFAULT.level_deviation, *DEFAULT.shape_deviations]
    priors = {
        "own": {"prior_deviations": list(prior_of(trained))},
        "none": None,
        "same": {"prior_deviations": defaults},
    }
    shown = {
        name: after_a_pick(with_prior(trained, tmp_path / f"{name}.safetensors", prior))
        for name, prior in priors.items()
    }
    assert shown["none"] == shown["same"]
    assert shown["own"] != shown["none"]
    assert shown["own"] == after_a_pick(trained)


def after_a_pick(path: Path) -> tuple[bytes, ...]:
    """What is shown after the first candidate was picked, to the last bit."""
    rows, cols = np.mgrid[:48, :48]
    pixels = 0.16 + 0.67 / (1 + np.exp(np.hypot(rows - 24, cols - 24) - 7))
    request = ProposalRequest(SliceImage(pixels.astype(np.float32), (1.0, 1.0), ""), (PointPrompt(24, 24),))
    engine = load_engine(path, "cpu")
    first = engine.propose(request)
    later = engine.propose(replace(request, answered=(Answered(first, 0),)))
    return (later.probability.tobytes(), *(candidate.mask.tobytes() for candidate in later.candidates))


@pytest.mark.parametrize(
    "bad", [[1.0, 1.0], [1.0, 1, 1, 1, 0.0], [1.0, 1, 1, 1, -2], [1.0, 1, 1, 1, "1"], 3.0, "five!"]
)
def test_a_prior_that_is_none_is_refused_in_a_sentence(trained, tmp_path, bad):
    path = with_prior(trained, tmp_path / "bad.safetensors", {"prior_deviations": bad})
    with pytest.raises(CheckpointError, match=r"^prior_deviations must be 5 numbers above 0.*\.$"):
        load_engine(path, "cpu")
