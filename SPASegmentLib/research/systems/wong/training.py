"""The training run: Lightning Fabric, resumable after a kill at any moment, minutes on one CPU core."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import lightning_fabric as fabric_module
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint, read_header, save_checkpoint
from SPASegmentLib.research.systems.wong.discs import TRAIN, VALIDATION, make_discs
from SPASegmentLib.research.systems.wong.loss import Loss, loss
from SPASegmentLib.research.systems.wong.measure import fixed_pairs, inputs_of, measure, target_of
from SPASegmentLib.research.systems.wong.network import Inputs, Partial, WongNetwork, latent_shape
from SPASegmentLib.research.systems.wong.options import WongOptions
from SPASegmentLib.research.systems.wong.partial import make_pairs
from SPASegmentLib.research.training.loop import one_cycle
from SPASegmentLib.research.training.state import MovingAverage, save_run

logger = logging.getLogger(__name__)

MODEL_FILE, STATE_FILE, LOG_FILE = "wong.safetensors", "last.safetensors", "log.jsonl"
KIND = "wong"


def train(out: Path, options: WongOptions, console: Console) -> WongNetwork:
    """Train a network into the folder `out`, or read the one that is there; what was begun goes on.

    Writes MODEL_FILE when done, STATE_FILE on the way, LOG_FILE (JSON lines). Raises CheckpointError where
    the folder holds a run with other options or a damaged file.
    """
    finished = out / MODEL_FILE
    if finished.exists():
        if read_header(finished).config != _config(options):
            raise _other_options(finished)
        return load_wong(finished)
    out.mkdir(parents=True, exist_ok=True)
    return _DiscRun(out, options, console).go()


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


class _DiscRun:
    def __init__(self, out: Path, options: WongOptions, console: Console) -> None:
        self.out, self.options, self.console = out, options, console
        self.fabric = fabric_module.Fabric(accelerator="cpu", devices=1, precision=options.precision)
        torch.manual_seed(options.seed)
        self.network = WongNetwork(gate=options.gate).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.module, self.optimizer = self.fabric.setup(self.network, optimizer)
        self.average = MovingAverage(self.network, options.average)
        self.data = make_discs(options, TRAIN)
        self.first_step = 0
        self.spent = 0.0

    def go(self) -> WongNetwork:
        """Run from the first or the resumed step to the end."""
        options, last = self.options, self.out / STATE_FILE
        if last.exists():
            self.first_step, self.spent = self._resume(last)
            self.console.print(f"Going on at step {self.first_step} of {options.steps}.")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        started = time.perf_counter() - self.spent
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
            task = progress.add_task(f"seed {options.seed}", total=options.steps, completed=self.first_step)
            for step in range(self.first_step, options.steps):
                result = self._step(step)
                done = step + 1
                progress.update(task, completed=done)
                if done % 100 == 0 or done == options.steps:
                    terms = {
                        name: round(float(value.detach()), 5) for name, value in result._asdict().items()
                    }
                    self._log(step=done, **terms)
                if done % options.checkpoint_every == 0 and done < options.steps:
                    self.spent = time.perf_counter() - started
                    save_run(
                        last, self.network, self.average, self.optimizer, done, self.spent, _config(options)
                    )
        return self._finish(time.perf_counter() - started)

    def _step(self, step: int) -> Loss:
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = one_cycle(step, options.steps, options.learning_rate)
        rng = np.random.default_rng((20_232, options.seed, step))
        pairs = make_pairs(self.data, rng.integers(len(self.data), size=options.batch), rng, options)
        x, y = inputs_of(pairs), target_of(pairs)
        noise = rng.standard_normal((options.batch, *latent_shape(options.size, options.size)), np.float32)
        self.network.train()
        predicted, mean, log_variance = self.module(Inputs(*x), Partial(*y), torch.from_numpy(noise))
        result = loss(x, y, predicted, mean, log_variance, beta0=options.beta0, beta1=options.beta1)
        self.fabric.backward(result.total)
        self.fabric.clip_gradients(self.module, self.optimizer, max_norm=1.0, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.network, step)
        return result

    def _finish(self, seconds: float) -> WongNetwork:
        """Keep the averaged weights, and note how they do on the validation images."""
        self.network.load_state_dict(self.average.state)
        data = make_discs(self.options, VALIDATION)
        figures = measure(self.network, data, fixed_pairs(data, VALIDATION, self.options), self.options.seed)
        self._log(step=self.options.steps, seconds=round(seconds, 1), validation=vars(figures))
        provenance = {
            "trained_on": f"{self.options.images} made-up images of discs",
            "steps": self.options.steps,
            "seconds": round(seconds, 1),
        }
        header = CheckpointHeader(_config(self.options), provenance)
        save_checkpoint(self.out / MODEL_FILE, self.average.state, header)
        (self.out / STATE_FILE).unlink(missing_ok=True)
        return load_wong(self.out / MODEL_FILE)

    def _resume(self, path: Path) -> tuple[int, float]:
        """Restore what `save_run` wrote: (steps done, seconds spent)."""
        state, header = load_checkpoint(path)
        if header.config != _config(self.options):
            raise _other_options(path)
        self.network.load_state_dict(_part(state, "network."))
        for name, value in _part(state, "average.").items():
            self.average.state[name].copy_(value)
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _part(state, "optimizer.").items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = value
        whole = self.optimizer.state_dict()
        whole["state"] = moments
        self.optimizer.load_state_dict(whole)
        run = header.provenance["run"]
        return int(run["step"]), float(run["best"])

    def _log(self, **values: Any) -> None:
        with (self.out / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def _config(options: WongOptions) -> dict[str, Any]:
    """What a run's files say they are, as a checkpoint gives it back."""
    return dict(json.loads(json.dumps({"kind": KIND, **options.model_dump(mode="json")})))


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _other_options(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path.name} belongs to a run with other options; give the same options or another --out folder."
    )
