"""Made-up discs with soft rims, and systems of the smallest sizes trained on them for a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.systems.loading import SystemFactory
from SPASegmentLib.research.systems.registry import RivalFactory, get_rival, training_options
from SPASegmentLib.research.systems.run import train_system
from SPASegmentLib.research.systems.specs import SYSTEMS, system_options
from SPASegmentLib.research.training.loop import TrainingData, train
from SPASegmentLib.research.training.options import TrainOptions

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


SOME = ("unet", "probunet", "msa", "table3-all", "level-set", "no-interaction", "n-24")
"""One or two of each kind; the tests of the other systems and rivals, which are the same, are long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = item.callspec.params.get("name") if hasattr(item, "callspec") else None
        if Path(__file__).parent in item.path.parents and isinstance(name, str) and name not in SOME:
            item.add_marker("long")


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


TINY_SYSTEM: dict[str, Any] = {
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


SYSTEM_STEPS = 30


@pytest.fixture(scope="session")
def tiny_options() -> Callable[..., TrainOptions]:
    """The options of a system's small run."""

    def make(name: str, **changes: Any) -> TrainOptions:
        plain: dict[str, Any] = {
            "steps": SYSTEM_STEPS,
            "batch": 4,
            "learning_rate": 4e-3,
            "ema": 0.9,
            "checkpoint_every": 1000,
            "validate_every": 1000,
            "validation_cases": 4,
            "precision": "32-true",
            "accelerator": "cpu",
            "devices": 1,
            "network": TINY_SYSTEM,
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
