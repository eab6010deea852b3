"""A tiny multi-rater data set and the smallest network that has every part."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SPASegmentLib.research.training.loop import TrainingData

sys.path.insert(0, str(Path(__file__).parent / "support"))

TINY: dict[str, Any] = {
    "grid": 32,
    "channels": 32,
    "widths": [8, 16, 16, 16],
    "head_channels": 16,
    "decoder_heads": 4,
    "decoder_mlp": 32,
    "components": 4,
    "default_region": 32.0,
}


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs with soft rims; four raters draw the rim at four levels."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:48, :48]
    images, masks = [], []
    for _ in range(count):
        centre, radius = rng.uniform(20, 28, 2), rng.uniform(4, 9)
        distance = np.hypot(rows - centre[0], cols - centre[1]) - radius
        image = 40 + 170 / (1 + np.exp(distance)) + rng.normal(0, 6, rows.shape)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        masks.append([distance < shift for shift in (-1.5, -0.5, 0.5, 1.5)])
    return np.stack(images), np.array(masks)


@pytest.fixture(scope="session")
def tiny_data() -> TrainingData:
    images, masks = blobs(24, 0)
    check_images, check_masks = blobs(8, 1)
    return TrainingData(images, masks, check_images, check_masks, {"trained_on": "made-up discs"})


@pytest.fixture
def tiny_options() -> dict[str, Any]:
    return {
        "steps": 6,
        "batch": 4,
        "checkpoint_every": 2,
        "validate_every": 3,
        "validation_cases": 4,
        "precision": "32-true",
        "accelerator": "cpu",
        "devices": 1,
        "network": TINY,
    }
