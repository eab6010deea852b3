"""The training run: Lightning Fabric, resumable after a kill at any moment, minutes on one CPU core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint, read_header, save_checkpoint
from SPASegmentLib.research.systems.wong.discs import TRAIN, VALIDATION, WongOptions, make_discs, make_pairs
from SPASegmentLib.research.systems.wong.measure import fixed_pairs, inputs_of, measure, target_of
from SPASegmentLib.research.systems.wong.network import Inputs, Partial, WongNetwork, latent_shape, loss
from SPASegmentLib.research.training.run import STATE_FILE, Run, other_options

MODEL_FILE = "wong.safetensors"
KIND = "wong"


def train(out: Path, options: WongOptions, console: Console) -> WongNetwork:
    """Train a network into the folder `out`, or read the one that is there; what was begun goes on.

    Writes MODEL_FILE when done, STATE_FILE on the way, LOG_FILE (JSON lines). Raises CheckpointError where
    the folder holds a run with other options or a damaged file.
    """
    finished = out / MODEL_FILE
    if finished.exists():
        if read_header(finished).config != _config(options):
            raise other_options(finished)
        return load_wong(finished)
    run = _DiscRun(out, options, console)
    run.go(resume=True)
    return run.finish()


def load_wong(path: str | Path) -> WongNetwork:
    """A trained network. Raises CheckpointError for a file that is missing, damaged or of another kind."""
    state, header = load_checkpoint(path)
    if header.config.get("kind") != KIND:
        raise CheckpointError(
            f"{Path(path).name} is no network for partial segmentations: give one `spasegment wong` wrote."
        )
    network = WongNetwork(gate=bool(header.config.get("gate")))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"The weights in {Path(path).name} do not fit; get the file again.") from error
    return network.to(memory_format=torch.channels_last).eval()


class _DiscRun(Run):
    def __init__(self, out: Path, options: WongOptions, console: Console) -> None:
        fabric = Fabric(accelerator="cpu", devices=1, precision=options.precision)
        torch.manual_seed(options.seed)
        network = WongNetwork(gate=options.gate).to(memory_format=torch.channels_last)
        super().__init__(
            fabric,
            network,
            network,
            options,
            average=options.average,
            about=_config(options),
            out=out,
            console=console,
        )
        self.options = options
        self.data = make_discs(options, TRAIN)

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, Any]]:
        """See `Run.loss`."""
        options = self.options
        rng = np.random.default_rng((20_232, options.seed, step))
        pairs = make_pairs(self.data, rng.integers(len(self.data), size=options.batch), rng, options)
        x, y = inputs_of(pairs), target_of(pairs)
        noise = rng.standard_normal((options.batch, *latent_shape(options.size, options.size)), np.float32)
        predicted, mean, log_variance = self.module(Inputs(*x), Partial(*y), torch.from_numpy(noise))
        found = loss(x, y, predicted, mean, log_variance, beta0=options.beta0, beta1=options.beta1)
        terms = ("labels", "mask", "divergence")
        return found.total, {name: round(float(getattr(found, name)), 5) for name in terms}

    def finish(self) -> WongNetwork:
        """Keep the averaged weights, and note how they do on the validation images."""
        self.network.load_state_dict(self.average.state)
        data, seconds = make_discs(self.options, VALIDATION), round(self.progress.seconds, 1)
        network = cast(WongNetwork, self.network)
        figures = measure(network, data, fixed_pairs(data, VALIDATION, self.options), self.options.seed)
        self.log(seconds=seconds, validation=vars(figures))
        provenance = {
            "trained_on": f"{self.options.images} made-up images of discs",
            "steps": self.options.steps,
            "seconds": seconds,
        }
        header = CheckpointHeader(self.header, provenance)
        save_checkpoint(self.out / MODEL_FILE, self.average.state, header)
        (self.out / STATE_FILE).unlink(missing_ok=True)
        return load_wong(self.out / MODEL_FILE)


def _config(options: WongOptions) -> dict[str, Any]:
    """What a run's files say they are, as a checkpoint gives it back."""
    return dict(json.loads(json.dumps({"kind": KIND, **options.model_dump(mode="json")})))
