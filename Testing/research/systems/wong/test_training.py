"""A run learns, resumes exactly where it was killed, and its files are safetensors that say what they are."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from rich.console import Console

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.network.registry import model_path
from SPASegmentLib.research.systems.wong import training
from SPASegmentLib.research.systems.wong.discs import VALIDATION, make_discs
from SPASegmentLib.research.systems.wong.measure import fixed_pairs, inputs_of, target_of
from SPASegmentLib.research.systems.wong.network import WongNetwork, loss
from SPASegmentLib.research.systems.wong.training import MODEL_FILE, load_wong, train
from SPASegmentLib.research.training.run import LOG_FILE, STATE_FILE

QUIET = Console(quiet=True)


class KilledError(Exception):
    """Stands for a signal between two steps."""


def killed_at(monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    whole = training._DiscRun.step

    def step(run, number):
        if number == stop:
            raise KilledError
        return whole(run, number)

    monkeypatch.setattr(training._DiscRun, "step", step)


def test_a_killed_run_ends_with_the_same_weights_as_one_that_was_not(tiny, tmp_path, monkeypatch):
    train(tmp_path / "whole", tiny, QUIET)
    with monkeypatch.context() as patched:
        killed_at(patched, 5)
        with pytest.raises(KilledError):
            train(tmp_path / "killed", tiny, QUIET)
    assert (tmp_path / "killed" / STATE_FILE).exists()
    train(tmp_path / "killed", tiny, QUIET)
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    assert read_header(whole / MODEL_FILE).hash == read_header(killed / MODEL_FILE).hash
    assert not (killed / STATE_FILE).exists()


@pytest.mark.long
def test_training_brings_the_loss_down(tiny, tmp_path):
    options = tiny.model_copy(update={"steps": 60, "batch": 16, "images": 50, "average": 0.9})
    data = make_discs(options, VALIDATION)
    pairs = fixed_pairs(data, VALIDATION, options)
    x, y, noise = inputs_of(pairs), target_of(pairs), torch.zeros(len(data), 1, 4, 4)

    def of(network: WongNetwork) -> float:
        with torch.no_grad():
            return float(loss(x, y, *network(x, y, noise), beta0=1.0, beta1=1e-3).total)

    torch.manual_seed(options.seed)
    before = of(WongNetwork())
    assert of(train(tmp_path, options, QUIET)) < 0.8 * before
    lines = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines][-1] == 60
    assert lines[-1]["validation"]["images"] == 10


def test_a_finished_run_is_read_and_not_trained_again(tiny, tmp_path, monkeypatch):
    first = train(tmp_path, tiny, QUIET)
    killed_at(monkeypatch, 0)
    again = train(tmp_path, tiny, QUIET)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_a_folder_with_another_run_is_refused_in_one_sentence(tiny, tmp_path):
    train(tmp_path, tiny, QUIET)
    with pytest.raises(CheckpointError, match="other options"):
        train(tmp_path, tiny.model_copy(update={"beta1": 0.5}), QUIET)


def test_only_its_own_networks_are_read(tiny, tmp_path):
    if not model_path("compact").exists():
        pytest.skip("the shipped model is not in this checkout")
    with pytest.raises(CheckpointError, match="spasegment wong"):
        load_wong(model_path("compact"))
    train(tmp_path, tiny, QUIET)
    whole = (tmp_path / MODEL_FILE).read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    shutil.copy(tmp_path / MODEL_FILE, damaged)
    damaged.write_bytes(whole[:-7])
    with pytest.raises(CheckpointError, match="damaged"):
        load_wong(damaged)
