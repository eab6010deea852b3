"""The figures as pictures (PNG), told apart without colour too. matplotlib is only imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.subgroups import EXCLUDED, INCLUDED

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
MARKERS = "osD^vPXd"
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "++", "**")
DIFFERENCES = {"differed at first only": "#4B0092", "differs still": "#B7A6E3", "differs now only": "#E69F00"}
DPI = 150


def dice_by_iteration(summary: Mapping[str, Any], path: Path) -> None:
    """Mean Dice of every model by iteration, with its 95% interval; side by side, so that none is hidden."""
    figure, axes = _figure(6.4, 4.2)
    count = len(summary["models"])
    for number, (name, model) in enumerate(summary["models"].items()):
        x = [int(i) + 0.06 * (number - (count - 1) / 2) for i in model["dice"]]
        means = np.array(list(model["dice"].values()))
        ends = np.array(list(model["interval"].values())).T
        look = {**_look(number), "capsize": 2.5, "elinewidth": 1.0}
        axes.errorbar(x, means, np.abs(ends - means), label=name, **look)
    axes.set(
        xlabel="iteration", ylabel="Dice of the recommendation", xticks=range(1, summary["iterations"] + 1)
    )
    _finish(figure, axes, path)


def bars_by_threshold(summary: Mapping[str, Any], figure_name: str, label: str, path: Path) -> None:
    """One group of bars per Dice to reach, a bar per model. figure_name: "noi" or "failure_rate"."""
    models = summary["models"]
    thresholds = [f"{x:.2f}" for x in summary["thresholds"]]
    figure, axes = _figure(max(6.4, 0.36 * len(models) * len(thresholds)), 4.0)
    width = 0.8 / len(models)
    for number, (name, model) in enumerate(models.items()):
        x = np.arange(len(thresholds)) + (number - (len(models) - 1) / 2) * width
        heights = [model[figure_name][threshold] for threshold in thresholds]
        drawn = axes.bar(
            x,
            heights,
            width,
            label=name,
            color=COLOURS[number % len(COLOURS)],
            hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white",
        )
        axes.bar_label(drawn, fmt="%.2f", fontsize=7, padding=1)
    axes.set(xlabel="Dice to reach", ylabel=label, xticks=np.arange(len(thresholds)), xticklabels=thresholds)
    _finish(figure, axes, path)


def candidate_similarity(records: Mapping[str, Sequence[CaseRecord]], iterations: int, path: Path) -> None:
    """Box plots of the Dice between every two candidates, by iteration, a panel per model with candidates."""
    values = {name: [_pairs_at(rows, i) for i in range(iterations)] for name, rows in records.items()}
    values = {name: columns for name, columns in values.items() if any(map(len, columns))}
    if not values:
        return
    figure = Figure(figsize=(max(4.8, 3.4 * len(values)), 3.8), layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for number, (axes, (name, columns)) in enumerate(zip(panels, values.items(), strict=True)):
        boxes = axes.boxplot(
            columns, whis=(5, 95), showfliers=False, patch_artist=True, medianprops={"color": "black"}
        )
        for box in boxes["boxes"]:
            box.set(facecolor=COLOURS[number % len(COLOURS)], alpha=0.6)
        axes.set(title=name, xlabel="iteration")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("Dice between two candidates")
    _save(figure, path)


def _pairs_at(records: Sequence[CaseRecord], iteration: int) -> list[float]:
    return [value for r in records if len(r.similarity) > iteration for value in r.similarity[iteration]]


def calibration(summary: Mapping[str, Any], path: Path) -> None:
    """How often pixels of a probability are foreground, against that probability."""
    figure, axes = _figure(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    for number, (name, model) in enumerate(summary["models"].items()):
        if model["ece"] is not None:
            counts = np.array([row for row in model["calibration"] if row[0] > 0])
            x, y = counts[:, 1] / counts[:, 0], counts[:, 2] / counts[:, 0]
            axes.plot(x, y, label=f"{name} (ECE {model['ece']:.3f})", **_look(number))
    axes.set(xlabel="mean prediction", ylabel="share of foreground", xlim=(0, 1), ylim=(0, 1))
    _finish(figure, axes, path, columns=1)


def alignment_by_iteration(found: Mapping[str, Any], path: Path) -> None:
    """Change of the Dice with each rater since iteration 1, thick for their mean: full lines where they are
    included in the target, broken ones where they are not."""
    raters = found["raters"]
    figure, axes = _figure(6.4, 4.2 + 0.18 * (len(raters) // 3))
    styles: dict[str, Any] = {INCLUDED: "-", EXCLUDED: "--"}
    for number, (_, sides) in enumerate([*raters.items(), ("mean", found["mean"])]):
        look = _look(number) if number < len(raters) else {"color": "black", "linewidth": 3.2}
        for side in (INCLUDED, EXCLUDED):
            if side in sides:
                values = np.array(list(sides[side]["dice"].values()))
                change = values - values[0]
                axes.plot(range(1, len(values) + 1), change, **{**look, "linestyle": styles[side]})
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="iteration", ylabel="change of Dice since iteration 1")
    keys = [Line2D([], [], label=name, **{**_look(n), "linestyle": ""}) for n, name in enumerate(raters)]
    keys += [Line2D([], [], color="black", linewidth=3.2, label="mean of all")]
    keys += [Line2D([], [], color="black", linestyle=line, label=side) for side, line in styles.items()]
    _finish(figure, axes, path, keys=keys)


def alignment_picture(
    image: np.ndarray,
    raters: Mapping[str, np.ndarray],
    record: CaseRecord,
    masks: tuple[np.ndarray, np.ndarray],
    path: Path,
) -> None:
    """Where the recommendation differs from each rater, first and last (supplement Fig. 3).

    raters: (H, W) bool by name. masks: the first and the last recommendation.
    """
    first, last = masks
    columns = min(5, len(raters))
    rows = -(-len(raters) // columns)
    figure = Figure(figsize=(2.1 * columns, 2.3 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    grey = image if image.ndim == 2 else image.mean(axis=2)
    box = _box([*raters.values(), first, last])
    for axes in panels:
        axes.set_axis_off()
    for axes, (number, (name, mask)) in zip(panels, enumerate(raters.items()), strict=False):
        before, now = first ^ mask, last ^ mask
        colours = np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2)
        for where, colour in zip(
            (before & ~now, before & now, now & ~before), DIFFERENCES.values(), strict=True
        ):
            colours[where] = to_rgb(colour)
        axes.imshow(colours[box], interpolation="nearest")
        axes.set_title(f"{name}, {INCLUDED if number in record.included else EXCLUDED}", fontsize=8)
    keys = [Patch(color=colour, label=words) for words, colour in DIFFERENCES.items()]
    figure.legend(handles=keys, loc="outside lower center", frameon=False, fontsize=8, ncols=3)
    _save(figure, path)


def _box(masks: Sequence[np.ndarray]) -> tuple[slice, slice]:
    """The part of the slice the masks take up, with a margin."""
    drawn = np.logical_or.reduce(masks)
    ranges = []
    for axis in (1, 0):
        at = np.flatnonzero(drawn.any(axis=axis))
        margin = 2 + (at[-1] - at[0]) // 5 if len(at) else 0
        ranges.append(slice(max(0, at[0] - margin), at[-1] + margin + 1) if len(at) else slice(None))
    return ranges[0], ranges[1]


def transfer_by_position(users: Mapping[str, Any], path: Path) -> None:
    """Dice after the click against the cases learnt from, carried and fresh, a panel per user."""
    columns = min(3, len(users))
    rows = -(-len(users) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes in panels[len(users) :]:
        axes.set_axis_off()
    for axes, (user, figures) in zip(panels, users.items(), strict=False):
        x = [position["taught"] for position in figures["by_position"]]
        for number, (name, key) in enumerate((("carried", "carried_dice"), ("fresh", "fresh_dice"))):
            values = [position[key] for position in figures["by_position"]]
            axes.plot(x, values, label=name, **{**_look(number), "markersize": 3})
        axes.set_title(user, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    figure.supxlabel("cases learnt from before", fontsize=9)
    figure.supylabel("Dice after the click", fontsize=9)
    _save(figure, path)


def _look(number: int) -> dict[str, Any]:
    """Colour, marker and line of the n-th of several."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[(number + number // len(COLOURS)) % len(MARKERS)],
        "linestyle": LINES[number % len(LINES)],
        "markersize": 5,
        "linewidth": 1.6,
    }


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _finish(
    figure: Figure, axes: Axes, path: Path, columns: int = 3, keys: Sequence[Line2D] | None = None
) -> None:
    """keys: of the legend, else everything that has a label."""
    axes.spines[["top", "right"]].set_visible(False)
    handles = axes.get_legend_handles_labels()[0] if keys is None else keys
    figure.legend(handles=handles, loc="outside lower center", frameon=False, fontsize=8, ncols=columns)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Write the PNG; equal figures give equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
