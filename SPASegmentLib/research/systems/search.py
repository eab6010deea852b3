"""A small search over the learning rate on the val split, so that no system is held back by SPA's."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.research.evaluation.records import write_whole
from SPASegmentLib.research.systems.run import train_system
from SPASegmentLib.research.training.loop import TrainingData
from SPASegmentLib.research.training.options import TrainOptions

FACTORS = (0.3, 1.0, 3.0)
"""Learning rates tried, in units of the system's own."""
SHARE = 0.2
"""Length of a trial, in lengths of the whole run."""


def search_rate(name: str, data: TrainingData, out: Path, options: TrainOptions, console: Console) -> float:
    """The learning rate with the best validation score after a fifth of the steps.

    Every trial's score is written to `out/NAME.json`; a search that was stopped goes on.
    """
    steps = max(1, round(options.steps * SHARE))
    scores: dict[float, float] = {}
    for factor in FACTORS:
        rate = float(f"{options.learning_rate * factor:.3g}")
        trial = options.model_copy(update={"learning_rate": rate, "steps": steps})
        best = train_system(name, data, out / f"{name}-{rate:g}", trial, True, console)
        scores[rate] = float(read_header(best).provenance["validation_score"])
        console.print(f"{name}: learning rate {rate:g}, validation {scores[rate]:.4f} after {steps} steps.")
    chosen = max(scores, key=lambda rate: scores[rate])
    found = {
        "steps": steps,
        "scores": {f"{rate:g}": score for rate, score in scores.items()},
        "chosen": chosen,
    }
    write_whole(out / f"{name}.json", json.dumps(found, indent=1) + "\n")
    return chosen
