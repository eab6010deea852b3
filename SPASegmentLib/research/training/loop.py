"""Runs on batches of cases, and SPA's own: what they learn from, and which checkpoint they keep."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import CheckpointHeader, read_header, save_checkpoint
from SPASegmentLib.network.config import SPAConfig, build_config
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.training.batches import Batch, BatchMaker, Sealed
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.prior import keep_prior
from SPASegmentLib.research.training.run import BEST_FILE, Run
from SPASegmentLib.research.training.stacks import Stack
from SPASegmentLib.research.training.start import start_from
from SPASegmentLib.research.training.step import TrainingStep
from SPASegmentLib.research.training.tasks import TaskMaker
from SPASegmentLib.research.training.views import ViewMaker

VALIDATION_SEED, PRIOR_SEED = 12345, 54321
PRIOR_BATCH, PRIOR_BATCHES = 8, 38
"""Images that the prior is learnt from, at most; never more than the training had."""


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


class BatchesAhead:
    """Batches by step, each a pure function of its number, made one step ahead on a thread of their own."""

    def __init__(self, make: Callable[[int], Batch], steps: int) -> None:
        """steps: of the whole run; none is made beyond it."""
        self._make, self._steps = make, steps
        self._pool = ThreadPoolExecutor(1)
        self._ahead: dict[int, Future[Batch]] = {}

    def __call__(self, step: int) -> Batch:
        """The batch of a step. Raises what making it raised."""
        batch = self._ahead.pop(step).result() if step in self._ahead else self._make(step)
        if step + 1 < self._steps:
            self._ahead[step + 1] = self._pool.submit(self._make, step + 1)
        return batch


class NetworkConfig(Protocol):
    """A network's sizes."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, as stored in checkpoints."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """The inverse; entries that are missing get their defaults."""


class BatchRun(Run):
    """A run that learns from batches by rounds of the interaction; BEST_FILE is chosen on validation."""

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        module: nn.Module,
        options: TrainOptions,
        *,
        kind: str,
        config: NetworkConfig,
        batches: tuple[Batches, Batches],
        rounds: int,
        provenance: dict[str, Any],
        out: Path,
        console: Console,
    ) -> None:
        """module: its forward takes a sealed batch, rounds and a generator and gives a `StepResult`.

        kind: "network" or "system", what the configuration is called in the run's state. batches: what is
        learnt from, and what the checkpoint is chosen on. rounds: played in validation. provenance: what a
        checkpoint says of its training beside its steps and score.
        """
        super().__init__(
            fabric,
            network,
            module,
            options,
            average=options.ema,
            about={kind: config.to_dict(), "options": options.model_dump(mode="json")},
            out=out,
            console=console,
        )
        self.options, self.kind, self.config = options, kind, config
        self.rounds, self.provenance = rounds, provenance
        self.maker, self.validation = batches
        self.batch = BatchesAhead(
            lambda step: self.maker.batch(options.seed, step, options.batch, fabric.global_rank),
            options.steps,
        )

    def loss(self, step: int) -> tuple[Tensor, dict[str, Any]]:
        """The loss of so many rounds, drawn for the step, and their Dice."""
        options = self.options
        rng = np.random.default_rng((options.seed, step, 3))
        rounds = 1 + int(rng.choice(len(options.rounds), p=np.array(options.rounds) / sum(options.rounds)))
        generator = torch.Generator(device=self.fabric.device).manual_seed(options.seed * 1_000_003 + step)
        result = self.module(Sealed(self._place(self.batch(step))), rounds, generator)
        return result.loss, {"rounds": rounds, **result.figures()}

    def _place(self, batch: Batch) -> Batch:
        image = batch.image.contiguous(memory_format=torch.channels_last)
        parts = {name: value for name, value in vars(batch).items() if value is not None}
        return Batch(
            **{name: part.to(self.fabric.device) for name, part in {**parts, "image": image}.items()}
        )

    @torch.no_grad()
    def validate(self) -> None:
        """Fixed validation batches with the averaged weights; keeps the best."""
        if not self._due(self.options.validate_every):
            return
        current = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.state)
        self.module.eval()
        generator = torch.Generator(device=self.fabric.device).manual_seed(0)
        found = []
        for index in range(max(1, self.options.validation_cases // self.options.batch)):
            batch = self._place(self.validation.batch(VALIDATION_SEED, index, self.options.batch))
            found.append(self.module(Sealed(batch), self.rounds, generator))
        self.network.load_state_dict(current)
        by_round = np.mean([result.recommendation for result in found], axis=0)
        best = np.mean([result.best for result in found], axis=0)
        self.log(validation=by_round.tolist(), **({"validation_best": best.tolist()} if best.size else {}))
        score = float(by_round.mean())
        if score > self.progress.best and self.fabric.is_global_zero:
            self.progress = self.progress._replace(best=score)
            self._export(score)

    def _export(self, score: float) -> None:
        about = {
            **self.provenance,
            "steps": self.progress.step,
            "batch": self.options.batch,
            "seconds": round(self.progress.seconds, 1),
            "validation_score": round(score, 5),
            "date": date.today().isoformat(),
        }
        save_checkpoint(
            self.out / BEST_FILE, self.average.state, CheckpointHeader(self.config.to_dict(), about)
        )

    def completed(self, header: dict[str, Any]) -> dict[str, Any]:
        """See `Run.completed`. Raises CheckpointError where it has entries this version does not know."""
        try:
            options = TrainOptions.model_validate(header["options"]).model_dump(mode="json")
            config = self.config.from_dict(header[self.kind]).to_dict()
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                "The stored run's options are not this version's; start again in another --out folder."
            ) from error
        return dict(json.loads(json.dumps({self.kind: config, "options": options})))


def train(
    data: TrainingData | StackData, out: Path, options: TrainOptions, resume: bool, console: Console
) -> Path:
    """Train and write `out/best.safetensors` (the moving average with the best validation score).

    `out/last.safetensors` holds the run's state; with `resume` it goes on from there, and at most the steps
    since the last checkpoint are lost. At the end the checkpoint learns its prior (`keep_prior`) from images
    of the training. Returns the path of the best checkpoint.
    """
    run = spa_run(data, out, options, console)
    best = run.go(resume)
    if run.fabric.is_global_zero:
        shares = replace(options.tasks, found=1.0, carried=0.0)
        as_in_use = options.model_copy(update={"region_known": 1.0, "tasks": shares})
        learn, _ = data.batches(build_config(options.network), as_in_use)
        size = min(PRIOR_BATCH, options.batch * options.steps)
        count = min(PRIOR_BATCHES, options.batch * options.steps // size)
        keep_prior(best, lambda index: learn.batch(PRIOR_SEED, index, size), count, run.fabric.device)
    return best


def spa_run(data: TrainingData | StackData, out: Path, options: TrainOptions, console: Console) -> BatchRun:
    """SPA's own run; validation plays as many rounds as an interaction has iterations."""
    fabric = make_fabric(options, "ddp_find_unused_parameters_true")
    config, provenance = build_config(options.network), data.provenance
    network = SPANetwork(config)
    if options.pretrained:
        network.load_pretrained(options.pretrained)
    if options.start:
        start_from(network, Path(options.start))
        provenance = {**provenance, "started_from": read_header(options.start).as_start()}
    network = network.to(memory_format=torch.channels_last)
    return BatchRun(
        fabric,
        network,
        TrainingStep(network, options),
        options,
        kind="network",
        config=config,
        batches=data.batches(config, options),
        rounds=config.iterations,
        provenance=provenance,
        out=out,
        console=console,
    )


def make_fabric(options: TrainOptions, several: str = "auto") -> Fabric:
    """Launched and seeded. several: the strategy over several devices.

    Not every round uses every parameter of SPA's prompt encoder, which its strategy has to be told.
    """
    gpus = options.accelerator != "cpu" and torch.cuda.device_count() > 1
    parallel = gpus if options.devices == "auto" else options.devices not in (1, "1")
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        strategy=several if parallel else "auto",
        precision=options.precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    torch.manual_seed(options.seed)
    return fabric
