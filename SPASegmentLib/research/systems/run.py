"""Training a system: the steps, batches and learning rates SPA is trained with; resumable after a kill."""

from __future__ import annotations

import json
import os
import time
from datetime import date
from pathlib import Path
from typing import Any

import lightning_fabric as fabric_module
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from SPASegmentLib.network.checkpoint import CheckpointHeader, save_checkpoint
from SPASegmentLib.research.systems.batches import RaterBatchMaker
from SPASegmentLib.research.systems.specs import build_system, get_system, system_config
from SPASegmentLib.research.systems.start import begin
from SPASegmentLib.research.systems.state import Progress, load_run, save_run
from SPASegmentLib.research.training.ahead import BatchesAhead
from SPASegmentLib.research.training.batches import Batch, Sealed
from SPASegmentLib.research.training.loop import TrainingData, one_cycle
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.state import MovingAverage

VALIDATION_SEED = 12345
ROUNDS = 3
"""Rounds played in validation, by systems that play more than one: the table's later iteration."""


def train_system(
    name: str, data: TrainingData, out: Path, options: TrainOptions, resume: bool, console: Console
) -> Path:
    """Train a system and write `out/best.safetensors`, the moving average with the best validation score.

    `out/last.safetensors` holds the run's state; with `resume` it goes on from there. Returns the path of
    the best.
    """
    out.mkdir(parents=True, exist_ok=True)
    return SystemRun(name, data, out, options, console).go(resume)


class SystemRun:
    """One run; `step` is a pure function of the state, the options and the step's number."""

    def __init__(
        self, name: str, data: TrainingData, out: Path, options: TrainOptions, console: Console
    ) -> None:
        self.spec, self.data, self.out, self.options, self.console = (
            get_system(name),
            data,
            out,
            options,
            console,
        )
        self.fabric = fabric_module.Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            precision=options.precision,  # type: ignore[arg-type]
        )
        self.fabric.launch()
        torch.manual_seed(options.seed)
        self.config = system_config(name, options.network, data.masks.shape[1])
        self.system = build_system(self.config).to(memory_format=torch.channels_last)
        self.begun = begin(self.system, self.spec, options.start)
        trained = [p for p in self.system.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=options.weight_decay)
        self.module, self.optimizer = self.fabric.setup(self.system, optimizer)
        self.average = MovingAverage(self.system, options.ema)
        view = self.config.view
        known, checked = (options.region_known, 1.0) if self.config.zoom else (0.0, 0.0)
        self.maker = RaterBatchMaker(data.images, data.masks, view, known)
        self.validation = RaterBatchMaker(data.validation_images, data.validation_masks, view, checked)
        about = {"system": self.config.to_dict(), "options": options.model_dump(mode="json")}
        self.header: dict[str, Any] = json.loads(json.dumps(about))  # as a checkpoint gives it back
        self.batch = BatchesAhead(self._make, options.steps)
        self.progress = Progress()

    def go(self, resume: bool) -> Path:
        """Run from the first or the resumed step to the end."""
        last = self.out / "last.safetensors"
        if resume and last.exists():
            self.progress = load_run(last, self.system, self.average, self.optimizer, self.header)
            self.console.print(f"Resuming at step {self.progress.step} of {self.options.steps}.")
        steps = range(self.progress.step, self.options.steps)
        shown = track(
            steps,
            f"Training {self.spec.name}",
            total=self.options.steps,
            completed=self.progress.step,
            console=self.console,
            disable=not self.console.is_terminal,
        )
        for step in shown:
            self.step(step)
        return self.out / "best.safetensors"

    def step(self, step: int) -> None:
        """One optimiser step, and what is due after it."""
        options, begun = self.options, time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = one_cycle(step, options.steps, options.learning_rate)
        rng = np.random.default_rng((options.seed, step, 3))
        rounds = 1 + int(rng.choice(len(options.rounds), p=np.array(options.rounds) / sum(options.rounds)))
        generator = torch.Generator(device=self.fabric.device)
        generator.manual_seed(options.seed * 1_000_003 + step)
        self.module.train()
        result = self.module(Sealed(self._place(self.batch(step))), rounds, generator)
        self.fabric.backward(result.loss)
        self.fabric.clip_gradients(self.module, self.optimizer, max_norm=1.0, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.system, step)
        done, seconds = step + 1, time.perf_counter() - begun
        self.progress = self.progress._replace(step=done, seconds=self.progress.seconds + seconds)
        end = done == options.steps
        if done == 1 or done % 50 == 0 or end:
            self._log(step=done, loss=float(result.loss.detach()), seconds=seconds)
        if done % options.validate_every == 0 or end:
            self._validate()
        if done % options.checkpoint_every == 0 or end:
            self._save()

    def _make(self, step: int) -> Batch:
        return self.maker.batch(self.options.seed, step, self.options.batch, self.fabric.global_rank)

    def _place(self, batch: Batch) -> Batch:
        device = self.fabric.device
        rest = (batch.target, batch.points, batch.labels, batch.users)
        return Batch(batch.image.to(device), *(part.to(device) for part in rest))

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            last = self.out / "last.safetensors"
            save_run(last, self.system, self.average, self.optimizer, self.progress, self.header)

    @torch.no_grad()
    def _validate(self) -> None:
        """Fixed validation batches with the averaged weights; keeps the best."""
        current = {k: v.clone() for k, v in self.system.state_dict().items()}
        self.system.load_state_dict(self.average.state)
        self.module.eval()
        generator = torch.Generator(device=self.fabric.device).manual_seed(0)
        scores = []
        for index in range(max(1, self.options.validation_cases // self.options.batch)):
            batch = self._place(self.validation.batch(VALIDATION_SEED, index, self.options.batch))
            scores.append(self.module(Sealed(batch), ROUNDS, generator).dice)
        by_round = np.mean(scores, axis=0)
        self._log(step=self.progress.step, validation=by_round.tolist())
        score = float(by_round.mean())
        if score > self.progress.best and self.fabric.is_global_zero:
            self.progress = self.progress._replace(best=score)
            self._export(score)
        self.system.load_state_dict(current)

    def _export(self, score: float) -> None:
        provenance = {
            **self.data.provenance,
            "system": self.spec.name,
            "steps": self.progress.step,
            "steps_of_run": self.options.steps,
            "batch": self.options.batch,
            "learning_rate": self.options.learning_rate,
            "seconds": round(self.progress.seconds, 1),
            **({"started_from": self.begun} if self.begun else {}),
            "validation_score": round(score, 5),
            "date": date.today().isoformat(),
        }
        best = self.out / "best.safetensors"
        save_checkpoint(best, self.average.state, CheckpointHeader(self.config.to_dict(), provenance))

    def _log(self, **values: Any) -> None:
        if not self.fabric.is_global_zero:
            return
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
