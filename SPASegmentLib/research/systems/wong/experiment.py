"""The whole experiment: train what is missing, measure every run on the held-out images, write the report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.research.evaluation.figure_table import FigureTable
from SPASegmentLib.research.systems.wong.discs import HELD_OUT, Pairs, WongOptions, make_discs
from SPASegmentLib.research.systems.wong.measure import Figures, fixed_pairs, inputs_of, measure
from SPASegmentLib.research.systems.wong.network import WongNetwork, latent_shape
from SPASegmentLib.research.systems.wong.training import MODEL_FILE, train

INTERIOR, EXTERIOR = np.array([0.84, 0.15, 0.16]), np.array([0.20, 0.45, 0.85])
OPACITY = 0.55


def draw_predictions(
    path: Path, network: WongNetwork, pairs: Pairs, *, inputs: int, samples: int, seed: int
) -> None:
    """Write a PNG: a row for each of the first `inputs` pairs, the input and `samples` predictions.

    The last row grows the first input step by step. Raises InputError where `path` cannot be written.
    """
    height, width = pairs.image.shape[1:]
    figure = Figure(figsize=(1.45 * (samples + 1), 1.6 * (inputs + 1) + 0.3), dpi=120)
    generator = torch.Generator().manual_seed(seed)
    shape = latent_shape(height, width)
    for row in range(inputs):
        x = inputs_of(pairs, slice(row, row + 1))
        _show(figure, inputs, samples, row, 0, "input", x.image, x.mask, x.labels)
        for column in range(1, samples + 1):
            y = network.grow(x, torch.randn(1, *shape, generator=generator))
            _show(figure, inputs, samples, row, column, f"z {column}", x.image, y.mask, y.labels)
    x = inputs_of(pairs, slice(0, 1))
    _show(figure, inputs, samples, inputs, 0, "input", x.image, x.mask, x.labels)
    for column in range(1, samples + 1):
        y = network.grow(x, torch.randn(1, *shape, generator=generator))
        x = x._replace(mask=y.mask.float(), labels=y.labels.float())
        _show(figure, inputs, samples, inputs, column, f"step {column}", x.image, x.mask, x.labels)
    figure.tight_layout(pad=0.4)
    with atomic_file(path) as file:
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})


def overlay(image: np.ndarray, mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H, W, 3) in [0, 1]: the image with interior red and exterior blue where it is segmented."""
    picture = np.repeat(image[..., None], 3, axis=2)
    for where, colour in ((mask & labels, INTERIOR), (mask & ~labels, EXTERIOR)):
        picture[where] = (1 - OPACITY) * picture[where] + OPACITY * colour
    return picture


def _show(
    figure: Figure,
    inputs: int,
    samples: int,
    row: int,
    column: int,
    title: str,
    image: torch.Tensor,
    mask: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    axes: Axes = figure.add_subplot(inputs + 1, samples + 1, row * (samples + 1) + column + 1)
    planes = (image[0, 0].numpy(), mask[0, 0].numpy() > 0, labels[0, 0].numpy() > 0)
    axes.imshow(overlay(*planes), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=8, pad=2)


PAPER = {"dice": 0.87, "foreground": 52.0, "background": 31.0}
"""What the paper reports over 1,000 held-out images (Section 3, Results)."""
WITHIN = 0.15
"""How far, as a share of the paper's, the numbers of added pixels may be off."""
_ROWS = (
    ("dice", "Dice of what is added, best truth that agrees with the input", ".3f"),
    ("dice_any", "the same, best of all subsets of discs", ".3f"),
    ("foreground", "foreground pixels added", ".1f"),
    ("background", "background pixels added", ".1f"),
    ("target_foreground", "foreground pixels the simulated next step adds", ".1f"),
    ("target_background", "background pixels the simulated next step adds", ".1f"),
    ("empty", "share of images without any foreground added, Dice 1", ".3f"),
    ("dice_filled", "Dice over the other images", ".3f"),
    ("broken", "predictions that break a constraint", ".0f"),
)


@dataclass(frozen=True)
class TrainedRun:
    """One trained network. seconds: of its training. hash: SHA-256 of its weights."""

    seed: int
    figures: Figures
    seconds: float
    hash: str


def summary(runs: list[TrainedRun], options: WongOptions) -> dict[str, Any]:
    """Everything the report says, as JSON values; the seeds are those of the runs."""
    columns = {name: np.array([getattr(run.figures, name) for run in runs], float) for name, _, _ in _ROWS}
    spread = {
        name: {
            "mean": round(float(values.mean()), 5),
            "sd": round(float(values.std(ddof=1)), 5) if len(values) > 1 else None,
            "least": round(float(values.min()), 5),
            "most": round(float(values.max()), 5),
        }
        for name, values in columns.items()
    }
    return {
        "experiment": "wong",
        "paper": PAPER,
        "options": options.model_dump(mode="json", exclude={"seed"}),
        "runs": [
            {"seed": run.seed, "seconds": run.seconds, "weights": run.hash, **asdict(run.figures)}
            for run in runs
        ],
        "over_runs": spread,
        "holds": holds(runs),
    }


def holds(runs: list[TrainedRun]) -> dict[str, bool]:
    """Whether every single run reaches the paper's Dice, and is within WITHIN of its added pixels."""
    return {
        "dice": all(run.figures.dice >= PAPER["dice"] for run in runs),
        **{
            name: all(abs(getattr(run.figures, name) / PAPER[name] - 1) <= WITHIN for run in runs)
            for name in ("foreground", "background")
        },
    }


def markdown(found: dict[str, Any]) -> str:
    """The report as a page."""
    runs, over = found["runs"], found["over_runs"]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    spread = []
    for name, words, form in _ROWS:
        values = over[name]
        paper = "" if name not in found["paper"] else f"{found['paper'][name]:g}"
        sd = "" if values["sd"] is None else f"{values['sd']:{'.3f' if form == '.3f' else '.1f'}}"
        mean, least, most = (f"{values[key]:{form}}" for key in ("mean", "least", "most"))
        spread.append([words, paper, mean, sd, least, most])
    each = [
        [
            str(run["seed"]),
            f"{run['dice']:.3f}",
            *(f"{run[key]:.1f}" for key in ("foreground", "background")),
            f"{run['seconds']:.0f}",
            run["weights"][:12],
        ]
        for run in runs
    ]
    lines = [
        "# Probabilistic partial segmentation of discs",
        "",
        f"{runs[0]['images']} held-out images, one z ~ N(0, I) each; {len(runs)} runs (seeds {seeds}).",
        "",
        FigureTable("", ["", "paper", "mean", "sd", "least", "most"], spread).markdown(),
        "",
        FigureTable("", ["seed", "Dice", "foreground", "background", "seconds", "weights"], each).markdown(),
    ]
    verdict = {True: "holds in every run", False: "does not hold in every run"}
    lines += [
        "",
        f"- Dice of at least {PAPER['dice']:g}: {verdict[found['holds']['dice']]}.",
        f"- Foreground added within {WITHIN:.0%} of the paper's: {verdict[found['holds']['foreground']]}.",
        f"- Background added within {WITHIN:.0%} of the paper's: {verdict[found['holds']['background']]}.",
        "",
        "![Predictions from different z](wong.png)",
    ]
    return "\n".join(lines) + "\n"


def write_report(out: Path, found: dict[str, Any]) -> None:
    """Write wong.json and wong.md, each whole or not at all. Raises InputError where that is impossible."""
    for name, text in (
        ("wong.json", json.dumps(found, indent=1, allow_nan=False) + "\n"),
        ("wong.md", markdown(found)),
    ):
        with atomic_file(out / name) as file:
            file.write(text.encode())


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
    found: list[TrainedRun] = []
    result: dict[str, Any] = {}
    for seed in range(options.seed, options.seed + runs):
        folder = out / f"seed-{seed}"
        network = train(folder, options.model_copy(update={"seed": seed}), console)
        header = read_header(folder / MODEL_FILE)
        figures = measure(network, held_out, pairs, seed)
        found.append(TrainedRun(seed, figures, float(header.provenance["seconds"]), header.hash))
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
