"""Every rival trains and resumes; the switches leave out what they say and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rich.console import Console

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.network.belief import Belief
from SPASegmentLib.network.checkpoint import load_checkpoint, save_checkpoint
from SPASegmentLib.network.config import build_config
from SPASegmentLib.network.generator import PreferenceGenerator
from SPASegmentLib.research.systems.registry import RIVALS
from SPASegmentLib.research.training.answers import oracle_point
from SPASegmentLib.research.training.loop import spa_run, train
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.rounds import SHOWN_LEVELS, even_levels, play_levels

QUIET = Console(quiet=True)
TRAINED = [rival.name for rival in RIVALS.values() if not rival.network]


@pytest.mark.parametrize("name", TRAINED)
def test_a_rival_resumes_to_the_weights_of_an_uninterrupted_run(tmp_path, tiny_data, options_of, name):
    options = options_of(name, steps=2, batch=2, checkpoint_every=1, rounds=[0.0, 1.0])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny_data, whole, options, False, QUIET)
    parts.mkdir()
    spa_run(tiny_data, parts, options, QUIET).step(0)
    train(tiny_data, parts, options, True, QUIET)
    ends = [load_checkpoint(folder / "last.safetensors")[0] for folder in (whole, parts)]
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key
        assert torch.isfinite(value.float()).all(), key


def test_a_run_of_before_the_switches_goes_on(tmp_path, tiny_data, options_of):
    options = options_of("table3-all", steps=2, checkpoint_every=1)
    spa_run(tiny_data, tmp_path, options, QUIET).step(0)
    last = tmp_path / "last.safetensors"
    state, header = load_checkpoint(last)
    for added in ("candidates", "oracle_points"):
        del header.config["options"][added]
    del header.config["network"]["preference"]
    save_checkpoint(last, state, header)
    assert train(tiny_data, tmp_path, options, True, QUIET).exists()
    with pytest.raises(CheckpointError, match="other options"):
        train(tiny_data, tmp_path, options.model_copy(update={"oracle_points": True}), True, QUIET)


def generator_of(preference: str) -> PreferenceGenerator:
    torch.manual_seed(0)
    return PreferenceGenerator(build_config({"channels": 8, "components": 3, "preference": preference}))


@pytest.mark.parametrize(
    ("preference", "moves", "weighs"),
    [
        ("mixture", True, True),
        ("gaussians", True, False),
        ("weights", False, True),
        ("random", False, False),
        ("point", True, False),
    ],
)
def test_a_switch_decides_what_the_interaction_changes(preference, moves, weighs):
    network = generator_of(preference)
    with torch.no_grad():
        distribution = network(5 * torch.randn(2, 24))
    assert torch.equal(distribution.means[0], distribution.means[1]) != moves
    assert torch.equal(distribution.log_weights[0], distribution.log_weights[1]) != weighs
    assert distribution.log_weights.exp().sum(dim=1).tolist() == pytest.approx([1, 1])
    assert any(p.requires_grad for p in network.parameters()) == (moves or weighs)
    spread = distribution.one_per_component() - distribution.means
    assert (float(spread.abs().max()) < 1e-4) == (preference == "point")


def test_an_unknown_switch_is_refused_in_a_sentence():
    with pytest.raises(CheckpointError, match="There is no preference 'none'; choose one of mixture"):
        build_config({"preference": "none"})


def cone(grid: int = 32) -> torch.Tensor:
    axis = torch.arange(grid) - grid / 2
    return torch.sigmoid((8 - torch.hypot(axis[:, None], axis)) / 2)[None, None]


@pytest.mark.parametrize("wanted", [0, 1, 2, 3])
def test_the_best_level_set_is_picked_and_moves_the_belief(wanted):
    maps, belief = cone(), Belief(0.05)
    target = (maps[:, 0] >= SHOWN_LEVELS[wanted]).float()
    outcome = play_levels(maps, target, belief)
    assert outcome.pick.tolist() == [wanted]
    assert torch.equal((outcome.picked[:, 0] >= 0.5).float(), target)
    larger = outcome.belief.sum() > outcome.recommendation.sum()
    assert bool(larger) == (wanted >= 2)


def test_even_levels_average_to_the_map():
    maps = cone()
    levels = torch.tensor(even_levels(64))[None, :, None, None]
    assert torch.allclose((maps >= levels).float().mean(dim=1), maps[:, 0], atol=0.01)


def test_the_leaked_point_lies_where_pick_and_recommendation_differ_and_bears_the_targets_label():
    maps = cone()
    picked, recommendation = (maps >= 0.2).float(), (maps >= 0.5).float()
    differs = (picked != recommendation)[0, 0]
    for target, label in ((picked, 1.0), (recommendation, 0.0)):
        points, labels = oracle_point(picked, recommendation, target[:, 0])
        col, row = points[0, 0].long().tolist()
        assert differs[row, col]
        assert labels.tolist() == [[label]]
    assert oracle_point(picked, picked, picked[:, 0])[1].tolist() == [[-1.0]]


def test_a_rival_is_trained_as_spa_is_but_for_what_it_leaves_out(options_of):
    spa = TrainOptions(steps=7, batch=3, seed=5, network={"grid": 32, "components": 24})
    from SPASegmentLib.research.systems.registry import training_options

    rival = training_options("level-set", spa)
    assert (rival.steps, rival.batch, rival.seed, rival.learning_rate) == (7, 3, 5, spa.learning_rate)
    network = build_config(rival.network)
    assert (network.grid, network.components, network.preference) == (32, 1, "point")
    assert network.widths == build_config(spa.network).widths
    assert training_options("table3-all", spa) == spa
    assert np.isclose(sum(rival.rounds), 1) and len(rival.rounds) == 1


@pytest.mark.parametrize("name", ["no-interaction", "n-24"])
def test_a_rival_without_a_network_of_its_own_is_not_trained(options_of, name):
    with pytest.raises(InputError, match="needs no training of its own"):
        options_of(name)
