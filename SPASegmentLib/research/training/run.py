"""One training run: Lightning Fabric, a moving average, a log, resumable after a kill at any moment."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from rich import progress as bars
from rich.console import Console
from torch import Tensor, nn

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint, save_checkpoint

BEST_FILE, STATE_FILE, LOG_FILE = "best.safetensors", "last.safetensors", "log.jsonl"
LOG_EVERY = 50
"""Steps between two lines of the log."""


class Schedule(Protocol):
    """What every run's options say of its length, its optimiser and its saving."""

    @property
    def seed(self) -> int:
        """Of everything random."""

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""

    @property
    def learning_rate(self) -> float:
        """The cycle's peak."""

    @property
    def weight_decay(self) -> float:
        """AdamW's."""

    @property
    def checkpoint_every(self) -> int:
        """Steps."""


class Progress(NamedTuple):
    """step: steps done. best: best validation score. seconds: spent on them, over all parts of the run."""

    step: int = 0
    best: float = -1.0
    seconds: float = 0.0


class MovingAverage:
    """Exponential moving average of parameters and buffers; what is validated and shipped."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """One step; the decay warms up so that the start is forgotten quickly."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value.detach(), 1 - decay)
            else:
                self.state[name].copy_(value)


class Run(ABC):
    """A run in the folder `out`; `step` is a pure function of the state, the options and the step's number.

    STATE_FILE holds everything a resumed run needs, LOG_FILE a JSON line per validation and per `LOG_EVERY`
    steps.
    """

    name: ClassVar[str] = "training"

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        module: nn.Module,
        schedule: Schedule,
        *,
        average: float,
        about: dict[str, Any],
        out: Path,
        console: Console,
    ) -> None:
        """network: what is kept. module: what computes the loss of it, perhaps the same. average: decay of
        its weights' mean. about: what the run is; a folder with another run's state is refused."""
        self.fabric, self.network, self.schedule, self.out, self.console = (
            fabric,
            network,
            schedule,
            out,
            console,
        )
        trained = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
        self.module, self.optimizer = fabric.setup(module, optimizer)
        self.average = MovingAverage(network, average)
        self.header: dict[str, Any] = json.loads(json.dumps(about))  # as a checkpoint gives it back
        self.progress = Progress()

    @abstractmethod
    def loss(self, step: int) -> tuple[Tensor, dict[str, Any]]:
        """The step's loss, a scalar with gradient, and what else the log says of the step."""

    def validate(self) -> None:  # noqa: B027
        """What is due every so many steps; nothing where a run is judged at its end."""

    def completed(self, header: dict[str, Any]) -> dict[str, Any]:
        """A stored run's header with the defaults of entries that came after it was written."""
        return header

    def go(self, resume: bool) -> Path:
        """Run from the first or the resumed step to the end; the path of the best checkpoint.

        Raises CheckpointError where the state is damaged or belongs to a run with other options.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        if resume and (self.out / STATE_FILE).exists():
            self._load(self.out / STATE_FILE)
            self.console.print(f"Resuming at step {self.progress.step} of {self.schedule.steps}.")
        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self.console, disable=not self.console.is_terminal) as shown:
            task = shown.add_task(self.name, total=self.schedule.steps, completed=self.progress.step)
            for step in range(self.progress.step, self.schedule.steps):
                self.step(step)
                shown.update(task, completed=step + 1)
        return self.out / BEST_FILE

    def step(self, step: int) -> None:
        """One optimiser step, and what is due after it."""
        begun = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = one_cycle(step, self.schedule.steps, self.schedule.learning_rate)
        self.module.train()
        loss, about = self.loss(step)
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.module, self.optimizer, max_norm=1.0, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.network, step)
        done, seconds = step + 1, time.perf_counter() - begun
        self.progress = self.progress._replace(step=done, seconds=self.progress.seconds + seconds)
        if done == 1 or self._due(LOG_EVERY):
            self.log(loss=float(loss.detach()), **about, seconds=seconds)
        self.validate()
        if self._due(self.schedule.checkpoint_every):
            self._save()

    def _due(self, every: int) -> bool:
        return self.progress.step % every == 0 or self.progress.step == self.schedule.steps

    def log(self, **values: Any) -> None:
        """A line of the log, on the disk when this returns."""
        if not self.fabric.is_global_zero:
            return
        with (self.out / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.progress.step, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _save(self) -> None:
        """Write network, average, optimiser and progress to one file."""
        if not self.fabric.is_global_zero:
            return
        state: dict[str, Tensor] = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.state.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in values.items()}
        header = CheckpointHeader(self.header, {"run": self.progress._asdict()})
        save_checkpoint(self.out / STATE_FILE, state, header)

    def _load(self, path: Path) -> None:
        """Restore what `_save` wrote."""
        state, found = load_checkpoint(path)
        if self.completed(found.config) != self.header:
            raise other_options(path)
        self.network.load_state_dict(_part(state, "network."))
        for name, value in _part(state, "average.").items():
            self.average.state[name].copy_(value)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(state, "optimizer.").items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.progress = Progress(**found.provenance["run"])


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Learning rate: linear warm-up over 5% of the run, then a cosine to a hundredth of the peak."""
    warm = max(1, int(0.05 * steps))
    if step < warm:
        return peak * (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return peak * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * share))))


def other_options(path: Path) -> CheckpointError:
    """The refusal of a folder with another run's file."""
    return CheckpointError(
        f"{path.name} belongs to a run with other options; give the same options or another --out folder."
    )


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
