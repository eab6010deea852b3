"""Pictures of a comparison: masks of every system on a few slices (Fig. 3), and effort (Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset
from SPASegmentLib.research.evaluation.interaction import interact
from SPASegmentLib.research.evaluation.plots import COLOURS, DPI, bars_by_threshold
from SPASegmentLib.research.evaluation.protocol import Draw, Options, TargetRule, draw
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.workers import EngineFactory
from SPASegmentLib.research.systems.table import category_of, label_of

SHARES = (0.2, 0.4, 0.6, 0.8)
"""Which slices are shown: those at these shares of all, from the worst of the first row's to its best."""


def draw_effort(summary: Mapping[str, Any], out: Path) -> None:
    """NoI and failure rates of the interactive systems, as the paper's Fig. 4."""
    models = {
        label_of(name): model
        for name, model in summary["models"].items()
        if category_of(name) not in ("Det", "Unc")
    }
    if models:
        some = {**summary, "models": models}
        bars_by_threshold(some, "noi", "mean iterations (10 if never)", out / "noi.png")
        bars_by_threshold(some, "failure_rate", "share of cases that fail", out / "failures.png")


def typical(records: Sequence[CaseRecord]) -> list[CaseRecord]:
    """Slices from bad to good by the Dice of the last iteration; the same for the same records."""
    order = sorted(records, key=lambda record: (record.dice[-1], record.case))
    places = sorted({int(share * (len(order) - 1) + 0.5) for share in SHARES})
    return [order[place] for place in places] if order else []


def draw_cases(
    factories: Mapping[str, EngineFactory],
    dataset: MultiRaterDataset,
    records: Sequence[CaseRecord],
    path: Path,
    options: Options,
) -> None:
    """The last masks of every system on the slices of some records, one row each, beside the target."""
    ids = dataset.case_ids()
    cases = [dataset[ids.index(record.case)] for record in records]
    rule = TargetRule.parse(options.target)
    draws = [draw(case, options.protocol_seed, rule) for case in cases]
    wanted = [(case, one) for case, one in zip(cases, draws, strict=True) if one is not None]
    if not wanted:
        return
    figure = Figure(figsize=(1.35 * (len(factories) + 1), 1.5 * len(wanted)), layout="constrained")
    panels = figure.subplots(len(wanted), len(factories) + 1, squeeze=False)
    for row, (case, one) in enumerate(wanted):
        _panel(panels[row, 0], case, one, None, "image, click" if row == 0 else "")
    for column, (name, factory) in enumerate(factories.items(), 1):
        engine = factory()
        for row, (case, one) in enumerate(wanted):
            last = interact(engine, case, one, seed=options.engine_seed).proposals[-1].recommendation
            _panel(panels[row, column], case, one, last, label_of(name) if row == 0 else "")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _panel(axes: Axes, case: Case, one: Draw, mask: np.ndarray | None, title: str) -> None:
    """The slice around the target; the target's outline dashed, the mask's solid."""
    grey = case.image if case.image.ndim == 2 else case.image.mean(axis=2)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.contour(one.target.astype(float), [0.5], colors=COLOURS[4], linewidths=0.9, linestyles="--")
    if mask is None:
        axes.plot(one.click.col, one.click.row, "+", color=COLOURS[5], markersize=6)
    elif mask.any() and not mask.all():
        axes.contour(mask.astype(float), [0.5], colors=COLOURS[5], linewidths=1.1)
    rows, cols = np.flatnonzero(one.target.any(axis=1)), np.flatnonzero(one.target.any(axis=0))
    reach = 6 + max(rows[-1] - rows[0], cols[-1] - cols[0])
    centre = (rows[0] + rows[-1]) / 2, (cols[0] + cols[-1]) / 2
    axes.set(xlim=(centre[1] - reach, centre[1] + reach), ylim=(centre[0] + reach, centre[0] - reach))
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=7)
