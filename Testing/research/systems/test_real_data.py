"""The same on real slices of LIDC-IDRI, where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.datasets.registry import open_dataset
from SPASegmentLib.research.evaluation.interaction import run_case
from SPASegmentLib.research.evaluation.protocol import draw
from SPASegmentLib.research.systems.loading import SystemFactory
from SPASegmentLib.research.systems.run import train_system
from SPASegmentLib.research.training.loop import TrainingData

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def slices(data_dir: Path) -> list[Case]:
    """32 slices of val patients that all four raters drew on."""
    cases = open_dataset("lidc", [data_dir / "lidc-val-0.zip"], split="val", subset="all4")
    return [cases[index] for index in range(0, len(cases), len(cases) // 32)][:32]


@pytest.mark.long
def test_a_system_finds_nodules_after_a_few_steps(tmp_path, tiny_options, slices):
    images = np.stack([np.round(case.image * 255).astype(np.uint8) for case in slices])
    masks = np.stack([case.masks for case in slices])
    data = TrainingData(images[:24], masks[:24], images[24:28], masks[24:28], {"trained_on": "LIDC-IDRI"})
    sizes = {"grid": 32, "default_region": 64.0, "widths": [8, 16, 16, 32, 32, 8]}
    options = tiny_options("unet", steps=100, batch=8, network=sizes)
    best = train_system("unet", data, tmp_path, options, False, Console(quiet=True))
    engine = SystemFactory("unet", best, "cpu")()
    records = [run_case(engine, case, draw(case, 0), iterations=3) for case in slices[28:]]
    assert all(record.error == "" for record in records)
    assert np.mean([record.dice[0] for record in records]) > 0.3
    assert all(len(record.dice) == 3 for record in records)
