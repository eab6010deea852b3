"""The training run: it learns, it resumes to the same weights, and a kill loses little."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import load_checkpoint, read_header
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.training.batches import BatchMaker, Sealed
from SPASegmentLib.research.training.loop import train
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.run import one_cycle
from SPASegmentLib.research.training.step import TrainingStep

QUIET = Console(quiet=True)


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.long
def test_training_improves_the_validation_dice(tmp_path, tiny_data, tiny_options):
    options = TrainOptions(**{**tiny_options, "steps": 45, "validate_every": 15, "batch": 8})
    best = train(tiny_data, tmp_path, options, False, QUIET)
    scores = [entry["validation"][0] for entry in log_of(tmp_path) if "validation" in entry]
    assert scores[-1] > scores[0] + 0.1
    assert read_header(best).provenance["trained_on"] == "made-up discs"


def test_the_best_checkpoint_is_kept_where_later_ones_score_less(tmp_path, tiny_data, tiny_options):
    """First everything is wanted, which is soon learnt; from step 9 on validation wants a few pixels."""
    entries = {"steps": 12, "checkpoint_every": 9, "rounds": (1.0,), "learning_rate": 0.02}
    options = TrainOptions(**{**tiny_options, **entries})
    ones, speck = np.ones_like(tiny_data.masks), np.zeros_like(tiny_data.validation_masks)
    speck[:, :, 24:26, 24:26] = True
    stop_after(tmp_path, replace(tiny_data, masks=ones, validation_masks=ones[:8]), options, 9)
    later = replace(tiny_data, masks=ones, validation_masks=speck)
    header = read_header(train(later, tmp_path, options, True, QUIET))
    scores = {e["step"]: np.mean(e["validation"]) for e in log_of(tmp_path) if "validation" in e}
    assert scores[12] < max(scores.values()) - 0.05
    assert scores[header.provenance["steps"]] == max(scores.values())
    assert header.provenance["validation_score"] == pytest.approx(max(scores.values()), abs=1e-5)


def test_a_checkpoint_has_the_score_it_was_kept_for(tmp_path, tiny_data, tiny_options):
    """The averaged weights are validated, and they are what is written."""
    options = TrainOptions(**{**tiny_options, "validate_every": 1, "steps": 4, "learning_rate": 0.02})
    state, header = load_checkpoint(train(tiny_data, tmp_path, options, False, QUIET))
    network = SPANetwork(SPAConfig.from_dict(header.config))
    network.load_state_dict(state)
    step = TrainingStep(network.to(memory_format=torch.channels_last), options).eval()
    checks = BatchMaker(tiny_data.validation_images, tiny_data.validation_masks, network.config, 1.0)
    batch = Sealed(checks.batch(12345, 0, options.batch))
    with torch.no_grad():
        scores = step(batch, network.config.iterations, torch.Generator().manual_seed(0)).recommendation
    assert header.provenance["validation_score"] == pytest.approx(np.mean(scores), abs=1e-4)


def test_more_users_of_a_click_teach_something_else(tmp_path, tiny_data, tiny_options):
    weights = []
    for users in (1, 4):
        options = TrainOptions(**{**tiny_options, "steps": 2, "users": users})
        train(tiny_data, tmp_path / str(users), options, False, QUIET)
        weights.append(load_checkpoint(tmp_path / str(users) / "last.safetensors")[0])
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_resumed_run_ends_in_the_weights_of_an_uninterrupted_one(tmp_path, tiny_data, tiny_options):
    whole = TrainOptions(**tiny_options)
    train(tiny_data, tmp_path / "whole", whole, False, QUIET)
    train(tiny_data, tmp_path / "parts", whole, False, QUIET)
    half_way = tmp_path / "half"
    half_way.mkdir()
    stop_after(half_way, tiny_data, whole, 4)
    train(tiny_data, half_way, whole, True, QUIET)
    ends = [load_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("whole", "parts", "half")]
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name
        assert torch.equal(value, ends[2][name]), name


def stop_after(folder, data, options, steps):
    """Run until the checkpoint of `steps`, as a run stopped there would have left it."""
    from SPASegmentLib.research.training.loop import spa_run

    run = spa_run(data, folder, options, QUIET)
    for step in range(steps):
        run.step(step)


def test_resuming_with_other_options_is_refused(tmp_path, tiny_data, tiny_options):
    train(tiny_data, tmp_path, TrainOptions(**tiny_options), False, QUIET)
    changed = TrainOptions(**{**tiny_options, "learning_rate": 1e-3})
    with pytest.raises(CheckpointError, match="other options"):
        train(tiny_data, tmp_path, changed, True, QUIET)


def test_a_checkpoint_says_what_its_network_started_from(tmp_path, tiny_data, tiny_options):
    first = train(tiny_data, tmp_path / "first", TrainOptions(**tiny_options), False, QUIET)
    options = TrainOptions(**{**tiny_options, "start": str(first)})
    second = read_header(train(tiny_data, tmp_path / "second", options, False, QUIET))
    assert second.provenance["started_from"]["hash"] == read_header(first).hash
    assert second.effort[0] == second.provenance["steps"] + read_header(first).provenance["steps"]


SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, {testing!r})
import conftest
from rich.console import Console
from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.research.training.loop import TrainingData, train
from SPASegmentLib.research.training.options import TrainOptions
data = TrainingData(*conftest.blobs(24, 0), *conftest.blobs(8, 1), {{}})
train(data, Path({out!r}), TrainOptions(**json.loads({options!r})), True, Console(quiet=True))
"""


@pytest.mark.long
def test_a_killed_run_loses_at_most_the_steps_since_its_last_checkpoint(tmp_path, tiny_options):
    options = {**tiny_options, "steps": 400, "validate_every": 1000}
    script = SCRIPT.format(testing=str(Path(__file__).parent), out=str(tmp_path), options=json.dumps(options))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    last, seen = tmp_path / "last.safetensors", 0
    for attempt in range(3):
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        wait_for_step_beyond(last, seen, process)
        time.sleep(random.Random(attempt).uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        step = read_header(last).provenance["run"]["step"]
        assert step > seen, "the run went on from where the last one was"
        assert step % options["checkpoint_every"] == 0
        seen = step


@pytest.mark.long
def test_two_processes_train_one_network_together(tmp_path, tiny_options):
    options = {**tiny_options, "devices": 2}
    script = tmp_path / "two.py"
    code = SCRIPT.format(testing=str(Path(__file__).parent), out=str(tmp_path), options=json.dumps(options))
    script.write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(script)], env=environment, check=True, timeout=200)
    assert read_header(tmp_path / "last.safetensors").provenance["run"]["step"] == options["steps"]
    assert load_checkpoint(tmp_path / "best.safetensors")[0]


def wait_for_step_beyond(last: Path, seen: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended by itself"
        if last.exists() and read_header(last).provenance["run"]["step"] > seen:
            return
        time.sleep(0.05)
    raise AssertionError("no checkpoint was written in time")


def test_the_learning_rate_warms_up_and_then_falls_to_a_hundredth():
    rates = [one_cycle(step, 100, 1.0) for step in range(100)]
    assert rates[0] < rates[4] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01, abs=0.005)
    assert all(a >= b for a, b in pairwise(rates[5:]))
