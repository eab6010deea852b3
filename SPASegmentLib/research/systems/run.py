"""Training a system: the steps, batches and learning rates SPA is trained with; resumable after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.research.systems.loading import begin
from SPASegmentLib.research.systems.specs import build_system, get_system, system_config
from SPASegmentLib.research.training.batches import BatchMaker
from SPASegmentLib.research.training.loop import BatchRun, TrainingData, make_fabric
from SPASegmentLib.research.training.options import TrainOptions

ROUNDS = 3
"""Rounds played in validation, by systems that play more than one: the table's later iteration."""


class RaterBatchMaker(BatchMaker):
    """The batches SPA gets for the same seed: patients, clicks, targets, zoom and augmentation.

    `Batch.users` (B, 1 + R, G, G) holds the drawn target and then every rater's mask, empty ones too.
    """

    def __init__(self, images: np.ndarray, masks: np.ndarray, config: SPAConfig, region_known: float) -> None:
        super().__init__(images, masks, config, region_known, 0.0, 1 + masks.shape[1])

    def _others(self, index: int, click: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        return np.asarray(self.masks[index])


def train_system(
    name: str, data: TrainingData, out: Path, options: TrainOptions, resume: bool, console: Console
) -> Path:
    """Train a system and write `out/best.safetensors`, the moving average with the best validation score.

    `out/last.safetensors` holds the run's state; with `resume` it goes on from there. Returns the path of
    the best.
    """
    return system_run(name, data, out, options, console).go(resume)


def system_run(name: str, data: TrainingData, out: Path, options: TrainOptions, console: Console) -> BatchRun:
    """The run of one comparison system."""
    spec, fabric = get_system(name), make_fabric(options)
    config = system_config(name, options.network, data.masks.shape[1])
    system = build_system(config).to(memory_format=torch.channels_last)
    begun = begin(system, spec, options.start)
    known, checked = (options.region_known, 1.0) if config.zoom else (0.0, 0.0)
    learn = RaterBatchMaker(data.images, data.masks, config.view, known)
    check = RaterBatchMaker(data.validation_images, data.validation_masks, config.view, checked)
    about = {
        "system": spec.name,
        "steps_of_run": options.steps,
        "learning_rate": options.learning_rate,
        **({"started_from": begun} if begun else {}),
    }
    return BatchRun(
        fabric,
        system,
        system,
        options,
        kind="system",
        config=config,
        batches=(learn, check),
        rounds=ROUNDS,
        provenance={**data.provenance, **about},
        out=out,
        console=console,
    )
