"""The training run: Lightning Fabric, resumable after a kill at any moment."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import lightning_fabric as fabric_module
import numpy as np
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from SPASegmentLib.network.checkpoint import CheckpointHeader, read_header, save_checkpoint
from SPASegmentLib.network.config import SPAConfig, build_config
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.training.ahead import BatchesAhead
from SPASegmentLib.research.training.batches import Batch, BatchMaker, Sealed
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.stacks import Stack
from SPASegmentLib.research.training.start import start_from
from SPASegmentLib.research.training.state import MovingAverage, load_run, save_run
from SPASegmentLib.research.training.step import TrainingStep
from SPASegmentLib.research.training.tasks import TaskMaker
from SPASegmentLib.research.training.views import ViewMaker

logger = logging.getLogger(__name__)


class Batches(Protocol):
    """Makes the batch of a step, a pure function of its arguments."""

    def batch(self, seed: int, step: int, size: int, rank: int = 0) -> Batch:
        """The batch of `step`; `rank` tells processes apart."""


@dataclass(frozen=True)
class TrainingData:
    """Arrays to learn from. images (n, H, W[, 3]) uint8; masks (n, R, H, W) bool; their provenance."""

    images: np.ndarray
    masks: np.ndarray
    validation_images: np.ndarray
    validation_masks: np.ndarray
    provenance: dict[str, Any]

    def batches(self, config: SPAConfig, options: TrainOptions) -> tuple[Batches, Batches]:
        """What is learnt from, and what the checkpoint is chosen on."""
        learn = BatchMaker(
            self.images, self.masks, config, options.region_known, options.further_points, options.users
        )
        return learn, BatchMaker(self.validation_images, self.validation_masks, config, 1.0)


@dataclass(frozen=True)
class StackData:
    """Stacks of any structure to learn from, by set, and their provenance."""

    sets: Mapping[str, Sequence[Stack]]
    validation: Mapping[str, Sequence[Stack]]
    provenance: dict[str, Any]

    def batches(self, config: SPAConfig, options: TrainOptions) -> tuple[Batches, Batches]:
        """What is learnt from, and what the checkpoint is chosen on."""

        def maker(sets: Mapping[str, Sequence[Stack]]) -> ViewMaker:
            tasks = TaskMaker(sets, options.users, config.zoom_factor, options.tasks)
            return ViewMaker(tasks, config)

        return maker(self.sets), maker(self.validation)


def train(
    data: TrainingData | StackData, out: Path, options: TrainOptions, resume: bool, console: Console
) -> Path:
    """Train and write `out/best.safetensors` (the moving average with the best validation score).

    `out/last.safetensors` holds the run's state; with `resume` it goes on from there, and at most the steps
    since the last checkpoint are lost. Returns the path of the best checkpoint.
    """
    out.mkdir(parents=True, exist_ok=True)
    return _Run(data, out, options, console).go(resume)


class _Run:
    def __init__(
        self, data: TrainingData | StackData, out: Path, options: TrainOptions, console: Console
    ) -> None:
        self.options, self.out, self.console, self.data = options, out, console, data
        self.fabric = fabric_module.Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy=_strategy(options),
            precision=options.precision,  # type: ignore[arg-type]
        )
        self.fabric.launch()
        torch.manual_seed(options.seed)
        self.config = build_config(options.network)
        network = SPANetwork(self.config)
        if options.pretrained:
            network.load_pretrained(options.pretrained)
        self.begun: dict[str, Any] = {}
        if options.start:
            start_from(network, Path(options.start))
            self.begun = {"started_from": read_header(options.start).as_start()}
        network = network.to(memory_format=torch.channels_last)
        module = TrainingStep(network, options)
        optimizer = torch.optim.AdamW(
            module.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.module, self.optimizer = self.fabric.setup(module, optimizer)
        self.network = network
        self.average = MovingAverage(network, options.ema)
        self.makers, self.validation = data.batches(self.config, options)
        about = {"network": self.config.to_dict(), "options": options.model_dump(mode="json")}
        self.header = json.loads(json.dumps(about))  # as a checkpoint gives it back
        self.batch = BatchesAhead(self._make, options.steps)
        self.best = -1.0
        self.first_step = 0

    def go(self, resume: bool) -> Path:
        """Run from the first or the resumed step to the end."""
        last = self.out / "last.safetensors"
        if resume and last.exists():
            self.first_step, self.best = load_run(
                last, self.network, self.average, self.optimizer, self.header
            )
            self.console.print(f"Resuming at step {self.first_step} of {self.options.steps}.")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
            task = progress.add_task("training", total=self.options.steps, completed=self.first_step)
            for step in range(self.first_step, self.options.steps):
                self._step(step)
                progress.update(task, completed=step + 1)
        return self.out / "best.safetensors"

    def _step(self, step: int) -> None:
        options = self.options
        started = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = one_cycle(step, options.steps, options.learning_rate)
        rng = np.random.default_rng((options.seed, step, 3))
        rounds = 1 + int(rng.choice(len(options.rounds), p=np.array(options.rounds) / sum(options.rounds)))
        batch = self.batch(step)
        generator = torch.Generator(device=self.fabric.device)
        generator.manual_seed(options.seed * 1_000_003 + step)
        self.module.train()
        result = self.module(Sealed(self._place(batch)), rounds, generator)
        self.fabric.backward(result.loss)
        self.fabric.clip_gradients(self.module, self.optimizer, max_norm=1.0, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.network, step)
        done = step + 1
        if done % 50 == 0 or done == options.steps:
            self._log(
                step=done,
                loss=float(result.loss.detach()),
                rounds=rounds,
                recommendation=result.recommendation,
                best=result.best,
                seconds=time.perf_counter() - started,
            )
        if done % options.validate_every == 0 or done == options.steps:
            self._validate(done)
        if done % options.checkpoint_every == 0 or done == options.steps:
            self._save(done)

    def _make(self, step: int) -> Batch:
        return self.makers.batch(self.options.seed, step, self.options.batch, self.fabric.global_rank)

    def _place(self, batch: Batch) -> Batch:
        device = self.fabric.device
        image = batch.image.contiguous(memory_format=torch.channels_last)
        rest = {name: value for name, value in vars(batch).items() if value is not None and name != "image"}
        return Batch(image=image.to(device), **{name: value.to(device) for name, value in rest.items()})

    def _save(self, done: int) -> None:
        if self.fabric.is_global_zero:
            last = self.out / "last.safetensors"
            save_run(last, self.network, self.average, self.optimizer, done, self.best, self.header)

    @torch.no_grad()
    def _validate(self, done: int) -> None:
        """Six rounds on fixed validation batches with the averaged weights; keeps the best."""
        current = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.state)
        self.module.eval()
        generator = torch.Generator(device=self.fabric.device).manual_seed(0)
        scores, best = [], []
        for index in range(max(1, self.options.validation_cases // self.options.batch)):
            batch = self._place(self.validation.batch(12345, index, self.options.batch))
            result = self.module(Sealed(batch), self.config.iterations, generator)
            scores.append(result.recommendation)
            best.append(result.best)
        self.network.load_state_dict(current)
        by_round = np.mean(scores, axis=0)
        score = float(by_round.mean())
        self._log(step=done, validation=by_round.tolist(), validation_best=np.mean(best, axis=0).tolist())
        if score > self.best and self.fabric.is_global_zero:
            self.best = score
            self._export(done, score)

    def _export(self, done: int, score: float) -> None:
        provenance = {
            **self.data.provenance,
            "steps": done,
            "batch": self.options.batch,
            "validation_score": round(score, 5),
            "date": date.today().isoformat(),
            **self.begun,
        }
        state = {k: v.cpu().contiguous() for k, v in self.average.state.items()}
        save_checkpoint(
            self.out / "best.safetensors",
            state,
            CheckpointHeader(config=self.config.to_dict(), provenance=provenance),
        )

    def _log(self, **values: Any) -> None:
        if not self.fabric.is_global_zero:
            return
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _strategy(options: TrainOptions) -> str:
    """Data-parallel over several devices; not every round uses every parameter of the prompt encoder."""
    several_gpus = options.accelerator != "cpu" and torch.cuda.device_count() > 1
    several = several_gpus if options.devices == "auto" else options.devices not in (1, "1")
    return "ddp_find_unused_parameters_true" if several else "auto"


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Learning rate: linear warm-up over 5% of the run, then a cosine to a hundredth of the peak."""
    warm = max(1, int(0.05 * steps))
    if step < warm:
        return peak * (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return peak * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * share))))
