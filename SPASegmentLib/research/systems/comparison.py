"""Train what is missing, measure everything on the same cases, and make the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.network.registry import find_model
from SPASegmentLib.research.datasets.case import MultiRaterDataset
from SPASegmentLib.research.evaluation.protocol import Options
from SPASegmentLib.research.evaluation.records import write_whole
from SPASegmentLib.research.evaluation.runner import evaluate
from SPASegmentLib.research.systems.cost import Cost, cost_of
from SPASegmentLib.research.systems.registry import (
    checkpoint_path,
    keep_checkpoint,
    rival_factory,
    training_options,
)
from SPASegmentLib.research.systems.run import train_system
from SPASegmentLib.research.systems.specs import SYSTEMS
from SPASegmentLib.research.systems.table import (
    Row,
    all_drew,
    gaps,
    make_row,
    markdown,
    rich_table,
    sentences,
    summary,
)
from SPASegmentLib.research.training.loop import TrainingData
from SPASegmentLib.research.training.options import TrainOptions

FACTORS = (0.3, 1.0, 3.0)
"""Learning rates tried, in units of the system's own."""
TRIAL = 0.2
"""Length of a trial, in lengths of the whole run."""


def search_rate(name: str, data: TrainingData, out: Path, options: TrainOptions, console: Console) -> float:
    """The learning rate with the best validation score after a fifth of the steps.

    Every trial's score is written to `out/NAME.json`; a search that was stopped goes on.
    """
    steps = max(1, round(options.steps * TRIAL))
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


TABLE_JSON, TABLE_MARKDOWN, CASES = "table.json", "table.md", "cases.png"
RESULTS, RUNS, SEARCH = "results", "runs", "search"


@dataclass(frozen=True)
class _Loader:
    """Makes a model's engine; picklable."""

    model: str
    device: str

    def __call__(self) -> Engine:
        return load_engine(self.model, self.device)


def missing(names: Sequence[str]) -> list[str]:
    """The systems whose checkpoints have to be trained for these rows, in an order that can be trained."""
    needed = {SYSTEMS[name].network or name for name in names if name in SYSTEMS}
    needed |= {SYSTEMS[name].start for name in needed if SYSTEMS[name].start}
    trained = [name for name in SYSTEMS if name in needed and SYSTEMS[name].is_trained]
    return [name for name in trained if not checkpoint_path(name).is_file()]


def train_missing(
    names: Sequence[str],
    read: Callable[[], TrainingData],
    out: Path,
    options: TrainOptions,
    console: Console,
    search: bool = False,
) -> None:
    """Train the systems that are missing, one after the other; a run that was stopped goes on.

    search: try learning rates on the val split first.
    """
    todo = missing(names)
    data = read() if todo else None
    for name in todo:
        assert data is not None
        console.print(f"Training {name} ({SYSTEMS[name].meaning}).")
        chosen = training_options(name, options)
        if search:
            rate = search_rate(name, data, out / SEARCH, chosen, console)
            chosen = chosen.model_copy(update={"learning_rate": rate})
        best = train_system(name, data, out / RUNS / name, chosen, True, console)
        keep_checkpoint(name, best)


def compare(
    names: Sequence[str],
    dataset: MultiRaterDataset,
    out: Path,
    options: Options,
    console: Console,
    device: str = "auto",
    pictures: bool = False,
) -> dict[str, list[Row]]:
    """Measure every system on the same cases and write the table, by subset, to `out`.

    All figures but the seconds follow from checkpoints, data and protocol; seconds are kept with the cases.
    pictures: also draw effort and masks, as the paper's Figs. 4 and 3, beside the table.
    """
    factories = {name: rival_factory(name, device) or _Loader(name, device) for name in names}
    results = evaluate(factories, dataset, options, out=out / RESULTS, console=console)
    costs = {name: _cost(name) for name in names}
    found: dict[str, list[Row]] = {}
    said: dict[str, str] = {}
    for subset, part in (("all4", all_drew), ("any", list)):
        records = {name: part(results.records[name]) for name in names}
        users = {name: str(results.summary["models"][name].get("user", "")) for name in names}
        rows = [make_row(n, records[n], costs[n], users[n]) for n in names if records[n]]
        found[subset], said[subset] = rows, ""
        if len(rows) > 1 and rows[0].category == "SPA":
            said[subset] = sentences(rows[0].label, gaps(rows, records))
    about = {
        key: results.summary[key] for key in ("dataset", "target", "protocol_seed", "engine_seed", "limit")
    }
    write_whole(out / TABLE_JSON, json.dumps(summary(found, about), indent=1) + "\n")
    titles = {subset: f"{dataset.name}, {subset}" for subset in found}
    write_whole(
        out / TABLE_MARKDOWN,
        "\n".join(markdown(titles[s], rows, said[s]) for s, rows in found.items() if rows),
    )
    for subset, rows in found.items():
        if rows:
            console.print(rich_table(f"{titles[subset]}: {rows[0].cases} slices", rows, console.width))
            if said[subset]:
                console.print(said[subset], markup=False)
    if pictures:
        from SPASegmentLib.research.systems.pictures import draw_cases, draw_effort, typical

        draw_effort(results.summary, out)
        first = results.records[names[0]]
        draw_cases(factories, dataset, typical(all_drew(first) or first), out / CASES, options)
    return found


def _cost(name: str) -> Cost:
    """Of a system, a rival or a model."""
    from SPASegmentLib.research.systems.registry import RIVALS

    known = name in SYSTEMS or name in RIVALS
    return cost_of(name, checkpoint_path(name) if known else find_model(name))
