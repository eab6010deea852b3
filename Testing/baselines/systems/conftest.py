"""Comparison systems of the smallest sizes, trained for a few steps on made-up discs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from SPASegmentLib.baselines.systems.loading import SystemFactory
from SPASegmentLib.baselines.systems.run import train_system
from SPASegmentLib.baselines.systems.specs import SYSTEMS, system_options
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.training.loop import TrainingData
from SPASegmentLib.training.options import TrainOptions

TINY: dict[str, Any] = {
    "grid": 32,
    "default_region": 32.0,
    "widths": [8, 8, 8, 8, 16, 8],
    "samples": 12,
    "members": 3,
    "latent": 2,
    "encoder_widths": [8, 16, 16, 16],
    "channels": 32,
    "decoder_heads": 4,
    "decoder_mlp": 32,
    "adapter": 8,
    "embed": 16,
    "depth": 2,
    "heads": 2,
    "window": 4,
}
STEPS = 30


@pytest.fixture(scope="session")
def tiny_options() -> Callable[..., TrainOptions]:
    """The options of a system's small run."""

    def make(name: str, **changes: Any) -> TrainOptions:
        plain: dict[str, Any] = {
            "steps": STEPS,
            "batch": 4,
            "learning_rate": 4e-3,
            "ema": 0.9,
            "checkpoint_every": 1000,
            "validate_every": 1000,
            "validation_cases": 4,
            "precision": "32-true",
            "accelerator": "cpu",
            "devices": 1,
            "network": TINY,
        }
        return system_options(name, TrainOptions(**{**plain, **changes}))

    return make


@pytest.fixture(scope="session")
def system_checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_data: TrainingData,
    tiny_options: Callable[..., TrainOptions],
) -> Callable[[str], Path]:
    """The checkpoint of a system, trained when it is first asked for."""
    root, made = tmp_path_factory.mktemp("systems"), {}

    def make(name: str) -> Path:
        trained = SYSTEMS[name].network or name
        if trained not in made:
            torch.set_num_threads(1)
            start = SYSTEMS[trained].start
            options = tiny_options(trained, **({"start": str(make(start))} if start else {}))
            made[trained] = train_system(
                trained, tiny_data, root / trained, options, False, Console(quiet=True)
            )
        return made[trained]

    return make


@pytest.fixture(scope="session")
def system_engine(system_checkpoint: Callable[[str], Path]) -> Callable[[str], Engine]:
    """A fresh engine of a system."""
    return lambda name: SystemFactory(name, system_checkpoint(name), "cpu")()
