"""The whole experiment: train what is missing, measure every run on the held-out images, write the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.research.systems.wong.discs import HELD_OUT, make_discs
from SPASegmentLib.research.systems.wong.measure import fixed_pairs, measure
from SPASegmentLib.research.systems.wong.options import WongOptions
from SPASegmentLib.research.systems.wong.picture import draw_predictions
from SPASegmentLib.research.systems.wong.report import Run, summary, write_report
from SPASegmentLib.research.systems.wong.training import MODEL_FILE, train


def run_experiment(
    out: Path, options: WongOptions, console: Console, *, runs: int, inputs: int, samples: int
) -> dict[str, Any]:
    """Runs with the seeds options.seed, +1, ...; returns what wong.json holds.

    Every run has a folder of its own in `out`; finished ones are read, not trained again, and the report is
    written after each. Raises
    CheckpointError where one of them has other options, InputError where the report cannot be written.
    """
    held_out = make_discs(options, HELD_OUT)
    pairs = fixed_pairs(held_out, HELD_OUT, options)
    found: list[Run] = []
    result: dict[str, Any] = {}
    for seed in range(options.seed, options.seed + runs):
        folder = out / f"seed-{seed}"
        network = train(folder, options.model_copy(update={"seed": seed}), console)
        header = read_header(folder / MODEL_FILE)
        figures = measure(network, held_out, pairs, seed)
        found.append(Run(seed, figures, float(header.provenance["seconds"]), header.hash))
        console.print(
            f"Seed {seed}: Dice {figures.dice:.3f}, {figures.foreground:.1f} foreground and "
            f"{figures.background:.1f} background pixels added ({found[-1].seconds:.0f} s of training)"
        )
        if seed == options.seed:
            draw_predictions(
                out / "wong.png", network, pairs, inputs=inputs, samples=samples, seed=options.seed
            )
        result = summary(found, options)
        write_report(out, result)
    return result
