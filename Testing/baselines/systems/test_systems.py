"""Every comparison system trains, goes on after a stop, and answers as engines do."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from rich.console import Console

from SPASegmentLib.baselines.systems.run import SystemRun, train_system
from SPASegmentLib.baselines.systems.specs import SYSTEMS, get_system, system_options
from SPASegmentLib.engine.messages import ProposalRequest
from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.evaluation.interaction import interact, slice_image
from SPASegmentLib.evaluation.protocol import Draw
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.network.checkpoint import load_checkpoint, read_header
from SPASegmentLib.training.options import TrainOptions

QUIET = Console(quiet=True)
CLICK = PointPrompt(23, 23)
TRAINED = [spec.name for spec in SYSTEMS.values() if not spec.network]
ONE_ITERATION = [spec.name for spec in SYSTEMS.values() if spec.category in ("Det", "Unc")]
UNCERTAIN = [spec.name for spec in SYSTEMS.values() if spec.category == "Unc"]


WITHOUT_DICE = ("probunet", "mrnet")
"""Trained with cross entropy only, which finds small objects later."""
FROM_SCRATCH = [name for name in TRAINED if not SYSTEMS[name].start]


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_the_loss_falls_and_the_object_is_found(system_checkpoint, name):
    best = system_checkpoint(name)
    log = [json.loads(line) for line in (best.parent / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in log if "loss" in row]
    assert losses[-1] < 0.9 * losses[0]
    scores = [row["validation"] for row in log if "validation" in row]
    assert scores[-1][0] > (0.2 if name in WITHOUT_DICE else 0.5)
    about = read_header(best).provenance
    assert about["system"] == name and about["steps"] == 30 and about["seconds"] > 0


@pytest.mark.parametrize("name", TRAINED)
def test_a_system_resumes_to_the_weights_of_an_uninterrupted_run(
    tmp_path, tiny_data, tiny_options, system_checkpoint, name
):
    start = get_system(name).start
    begun = {"start": str(system_checkpoint(start))} if start else {}
    options = tiny_options(name, steps=2, batch=2, checkpoint_every=1, rounds=[0.0, 1.0], **begun)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_system(name, tiny_data, whole, options, False, QUIET)
    parts.mkdir()
    SystemRun(name, tiny_data, parts, options, QUIET).step(0)
    train_system(name, tiny_data, parts, options, True, QUIET)
    ends = [load_checkpoint(folder / "last.safetensors")[0] for folder in (whole, parts)]
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key
        assert torch.isfinite(value.float()).all(), key


def test_a_run_with_other_options_is_not_resumed(tmp_path, tiny_data, tiny_options):
    SystemRun("unet", tiny_data, tmp_path, tiny_options("unet", steps=2, checkpoint_every=1), QUIET).step(0)
    with pytest.raises(CheckpointError, match="other options"):
        train_system("unet", tiny_data, tmp_path, tiny_options("unet", steps=3), True, QUIET)


@pytest.mark.parametrize("name", ONE_ITERATION)
def test_equal_requests_get_equal_proposals_from_a_fresh_engine(system_engine, case, name):
    request = ProposalRequest(slice_image(case), (CLICK,), seed=3)
    first, again = (system_engine(name).propose(request) for _ in range(2))
    assert first.recommendation[23, 23]
    assert np.array_equal(first.probability, again.probability)
    assert np.array_equal(first.recommendation, again.recommendation)
    assert [c.mask.sum() for c in first.candidates] == [c.mask.sum() for c in again.candidates]


@pytest.mark.parametrize("name", [name for name in UNCERTAIN if name not in WITHOUT_DICE])
def test_the_picked_candidate_is_the_result(system_engine, case, name):
    trace = interact(system_engine(name), case, Draw(case.masks[3], (3,), CLICK))
    assert 1 <= len(trace.candidates[0]) <= 4
    assert len(trace.proposals) == 2
    assert trace.dice[1] == max(trace.candidates[0])
    assert trace.proposals[1].candidates == ()


def test_a_deterministic_system_has_one_mask_and_no_candidates(system_engine, case):
    trace = interact(system_engine("unet"), case, Draw(case.masks[3], (3,), CLICK))
    assert len(trace.proposals) == 1
    assert trace.candidates == [[]]


def test_what_the_options_name_stands_over_the_systems_own():
    options = system_options("unet", TrainOptions(steps=7, learning_rate=0.5))
    assert (options.steps, options.learning_rate) == (7, 0.5)


def test_an_unknown_system_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="no comparison system called 'unett'") as refused:
        get_system("unett")
    assert all(name in str(refused.value) for name in SYSTEMS)
