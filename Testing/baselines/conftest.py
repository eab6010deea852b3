"""Made-up discs with soft rims, and rivals trained on them for a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from SPASegmentLib.baselines.registry import RivalFactory, get_rival, training_options
from SPASegmentLib.datasets.case import Case
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.training.loop import TrainingData, train
from SPASegmentLib.training.options import TrainOptions

TINY: dict[str, Any] = {
    "grid": 32,
    "channels": 32,
    "widths": [8, 16, 16, 16],
    "head_channels": 16,
    "decoder_heads": 4,
    "decoder_mlp": 32,
    "components": 4,
    "samples": 12,
    "default_region": 32.0,
}
STEPS = {"level-set": 40, "table3-all": 30}
"""More than a few where masks are looked at."""


def disc(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc with a soft rim: (48, 48) uint8 and its masks by four raters, (4, 48, 48) bool."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:48, :48]
    centre, radius = rng.uniform(20, 28, 2), rng.uniform(6, 9)
    distance = np.hypot(rows - centre[0], cols - centre[1]) - radius
    image = 40 + 170 / (1 + np.exp(distance / 1.5)) + rng.normal(0, 6, rows.shape)
    masks = np.stack([distance < shift for shift in (-2.5, -1, 1, 2.5)])
    return np.clip(image, 0, 255).astype(np.uint8), masks


@pytest.fixture(scope="session")
def tiny_data() -> TrainingData:
    """24 discs to learn from, four to validate on."""
    learn, check = [disc(i) for i in range(24)], [disc(100 + i) for i in range(4)]
    images, masks = np.stack([d[0] for d in learn]), np.stack([d[1] for d in learn])
    check_images, check_masks = np.stack([d[0] for d in check]), np.stack([d[1] for d in check])
    return TrainingData(images, masks, check_images, check_masks, {"trained_on": "made-up discs"})


@pytest.fixture(scope="session")
def options_of() -> Callable[..., TrainOptions]:
    """The training options of a rival, over the tiny network's."""

    def make(name: str, **changes: Any) -> TrainOptions:
        plain: dict[str, Any] = {
            "steps": STEPS.get(name, 3),
            "batch": 8 if name in STEPS else 2,
            "rounds": [0.0, 1.0],
            "checkpoint_every": 1000,
            "validate_every": 1000,
            "validation_cases": 2,
            "precision": "32-true",
            "accelerator": "cpu",
            "devices": 1,
            "network": TINY,
        }
        return training_options(name, TrainOptions(**{**plain, **changes}))

    return make


@pytest.fixture(scope="session")
def checkpoint_of(
    tmp_path_factory: pytest.TempPathFactory, tiny_data: TrainingData, options_of: Callable[..., TrainOptions]
) -> Callable[[str], Path]:
    """The checkpoint of a rival, trained when it is first asked for."""
    root, made = tmp_path_factory.mktemp("rivals"), {}

    def make(name: str) -> Path:
        network = "table3-all" if name == "oracle-label" else get_rival(name).network or name
        if network not in made:
            torch.set_num_threads(1)
            made[network] = train(tiny_data, root / network, options_of(network), False, Console(quiet=True))
        return made[network]

    return make


@pytest.fixture(scope="session")
def engine_of(checkpoint_of: Callable[[str], Path]) -> Callable[[str], Engine]:
    """A fresh engine of a rival."""
    return lambda name: RivalFactory(name, checkpoint_of(name), "cpu")()


@pytest.fixture(scope="session")
def case() -> Case:
    """A disc nobody has learnt from."""
    image, masks = disc(7)
    return Case("discs", "p7/a", "p7", (image / 255).astype(np.float32), masks)
