"""The report's pictures (PNG). matplotlib is only imported here and for drawing outlines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from SPASegmentLib.research.evaluation.plots import COLOURS, DPI, HATCHES, LINES, MARKERS

WIDTH = 5
"""Images that a point of the learning curve is the mean of."""


def by_condition(results: Mapping[str, Any], path: Path) -> None:
    """Seconds and iterations of each condition with their 95% intervals, and each user's mean as a dot."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    names = list(results["conditions"])
    for axes, unit in zip(figure.subplots(1, 2), ("seconds", "iterations"), strict=True):
        for number, name in enumerate(names):
            mean, low, high = results["conditions"][name][unit]
            axes.bar(
                number,
                mean,
                yerr=[[max(mean - low, 0)], [max(high - mean, 0)]],
                capsize=4,
                color=COLOURS[number % len(COLOURS)],
                hatch=HATCHES[number % len(HATCHES)],
                edgecolor="white",
            )
            users = [own[name][unit] for own in results["by_user"].values() if own[name] is not None]
            spread = np.linspace(-0.2, 0.2, len(users)) if len(users) > 1 else [0.0]
            axes.plot(number + np.array(spread), users, "o", color="black", markersize=3)
        axes.set(ylabel=f"{unit} per image", xticks=range(len(names)), ylim=(0, None))
        axes.set_xticklabels(names, rotation=20, ha="right")
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, results, path)


def learning_curve(results: Mapping[str, Any], path: Path) -> None:
    """Seconds along the images of each condition, means of `WIDTH` after one another."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for number, (name, found) in enumerate(results["learning"].items()):
        seconds = found["seconds"]
        parts = [seconds[at : at + WIDTH] for at in range(0, len(seconds), WIDTH)]
        axes.plot(
            [at * WIDTH + (len(part) + 1) / 2 for at, part in enumerate(parts)],
            [float(np.mean(part)) for part in parts],
            label=name,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle=LINES[number % len(LINES)],
        )
    axes.set(xlabel="image of this condition", ylabel="seconds per image", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    _save(figure, results, path)


def _save(figure: Figure, results: Mapping[str, Any], path: Path) -> None:
    if results["simulated"]:
        figure.suptitle("Simulated users, keystroke-level times", fontsize=10)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
