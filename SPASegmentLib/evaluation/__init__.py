"""The protocol, metrics, tables and plots of `spasegment evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from SPASegmentLib.datasets.case import MultiRaterDataset
from SPASegmentLib.engine.messages import Engine
from SPASegmentLib.evaluation.options import Options
from SPASegmentLib.evaluation.outputs import Results
from SPASegmentLib.evaluation.protocol import USERS
from SPASegmentLib.evaluation.runner import evaluate
from SPASegmentLib.evaluation.tables import all_tables

__all__ = ["Options", "Results", "evaluate", "run"]


def run(
    engine_factories: dict[str, Callable[[], Engine]],
    dataset: MultiRaterDataset,
    *,
    out: Path | None = None,
    limit: int | None = None,
    workers: int = 1,
    protocol_seed: int = 0,
    users: Sequence[str] = USERS,
    target: str = "subset",
    n_samples: int | None = None,
    threads: int = 1,
    report: bool = True,
    console: Console | None = None,
) -> Results:
    """Evaluate models on a data set, show the table on `console` and write the figures to `out`.

    The first model is the one the others are compared with. See `evaluate` and `Options` for the rest.
    """
    options = Options(
        protocol_seed=protocol_seed,
        target=target,
        limit=limit,
        workers=workers,
        threads=threads,
        n_samples=n_samples,
        users=tuple(users),
    )
    results = evaluate(engine_factories, dataset, options, out=out, console=console)
    if console is not None:
        for table in all_tables(results.summary):
            console.print(table)
    return results
