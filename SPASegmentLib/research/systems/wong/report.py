"""The experiment's report: figures of every run beside the paper's, as JSON and Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.research.systems.wong.measure import Figures
from SPASegmentLib.research.systems.wong.options import WongOptions

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
class Run:
    """One trained network. seconds: of its training. hash: SHA-256 of its weights."""

    seed: int
    figures: Figures
    seconds: float
    hash: str


def summary(runs: list[Run], options: WongOptions) -> dict[str, Any]:
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


def holds(runs: list[Run]) -> dict[str, bool]:
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
    lines = [
        "# Probabilistic partial segmentation of discs",
        "",
        f"{runs[0]['images']} held-out images, one z ~ N(0, I) each; {len(runs)} runs (seeds {seeds}).",
        "",
        "| | paper | mean | sd | least | most |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, words, form in _ROWS:
        paper = "" if name not in found["paper"] else f"{found['paper'][name]:g}"
        values = over[name]
        sd = "" if values["sd"] is None else f"{values['sd']:{'.3f' if form == '.3f' else '.1f'}}"
        numbers = " | ".join((f"{values['mean']:{form}}", sd, f"{values['least']:{form}}"))
        lines.append(f"| {words} | {paper} | {numbers} | {values['most']:{form}} |")
    lines += ["", "| seed | Dice | foreground | background | seconds | weights |", "| --- " * 6 + "|"]
    lines += [
        f"| {run['seed']} | {run['dice']:.3f} | {run['foreground']:.1f} | {run['background']:.1f} "
        f"| {run['seconds']:.0f} | {run['weights'][:12]} |"
        for run in runs
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
