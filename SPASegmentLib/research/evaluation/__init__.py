"""The protocol, metrics, tables and plots of `spasegment evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.research.datasets.case import MultiRaterDataset
from SPASegmentLib.research.evaluation.cluster import RayCluster
from SPASegmentLib.research.evaluation.outputs import Results
from SPASegmentLib.research.evaluation.protocol import USERS, Options
from SPASegmentLib.research.evaluation.runner import evaluate, evaluate_unseen_raters
from SPASegmentLib.research.evaluation.sequences import TransferOptions
from SPASegmentLib.research.evaluation.tables import all_tables
from SPASegmentLib.research.evaluation.transfer import run_transfer
from SPASegmentLib.research.evaluation.variants import for_each_count, with_profile
from SPASegmentLib.research.evaluation.workers import EngineFactory

__all__ = ["Options", "RayCluster", "Results", "TransferOptions", "evaluate", "run", "run_transfer"]


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
    sample_counts: Sequence[int] = (),
    threads: int = 1,
    cluster: RayCluster | None = None,
    transfer: TransferOptions | None = None,
    learn_from: MultiRaterDataset | None = None,
    unseen: Mapping[str, Mapping[str, EngineFactory]] | None = None,
    profile: Profile | None = None,
    against: str | None = None,
    report: bool = True,
    command: str | None = None,
    console: Console | None = None,
) -> Results:
    """Evaluate models on a data set, show the tables on `console` and write figures and report to `out`.

    The first model is compared with each of the others, or each of them with the one named `against`.
    sample_counts: also run every model with these N, as "NAME N=24" and so on. transfer, learn_from: also
    measure carried profiles, see `run_transfer`.
    unseen: also measure models on the raters they were not trained on, see `evaluate_unseen_raters`.
    profile: also run the first model with this one, as "NAME + PROFILE"; ProfileError if it is another's.
    report: whether report.md and its pictures are written. command: what reproduces it, for the report.
    See `evaluate` and `Options` for the rest.
    """
    options = Options(
        protocol_seed=protocol_seed,
        target=target,
        limit=limit,
        workers=workers,
        threads=threads,
        cluster=cluster,
        n_samples=n_samples,
        users=tuple(users),
        against=against,
    )
    every = {
        **engine_factories,
        **with_profile(engine_factories, profile),
        **for_each_count(engine_factories, sample_counts),
    }
    results = evaluate(every, dataset, options, out=out, console=console)
    carried = None
    if transfer is not None:
        found = run_transfer(
            engine_factories, dataset, options, transfer, learn_from=learn_from, out=out, console=console
        )
        carried = results.transfer = found.summary
    if unseen:
        results.unseen = evaluate_unseen_raters(unseen, dataset, options, out=out, console=console)
    if console is not None:
        for table in all_tables(results.summary, carried, results.unseen):
            console.print(table)
    if report and out is not None:
        from SPASegmentLib.research.evaluation.report import write_report

        write_report(results, out, dataset=dataset, transfer=carried, unseen=results.unseen, command=command)
    return results
