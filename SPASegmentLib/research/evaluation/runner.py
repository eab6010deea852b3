"""Every model on every case of a data set, in several processes, and on again after a kill."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.research.datasets.case import MultiRaterDataset, SetsOfCases, read_case, set_of
from SPASegmentLib.research.evaluation.interaction import run_case
from SPASegmentLib.research.evaluation.outputs import Results, gather, pairs_of_models, write
from SPASegmentLib.research.evaluation.protocol import (
    PICKING,
    SIGHTED,
    USERS,
    Options,
    TargetRule,
    draw,
    sample_order,
)
from SPASegmentLib.research.evaluation.records import CaseRecord, RecordFile, RecordList, write_whole
from SPASegmentLib.research.evaluation.results import rounded
from SPASegmentLib.research.evaluation.workers import Bench, Crew, EngineFactory, ModelReport, PeakMemory

RECORDS_FOLDER = "cases"


@dataclass(frozen=True)
class _CaseJob:
    """One case of one model."""

    model: str
    index: int
    options: Options


def evaluate(
    engines: Mapping[str, Engine | EngineFactory],
    dataset: MultiRaterDataset,
    options: Options | None = None,
    *,
    out: Path | None = None,
    console: Console | None = None,
) -> Results:
    """Run PROTOCOL.md for every engine on the same cases, targets and clicks.

    engines: by the name to report, each an engine or a callable that makes one (picklable where there are
    several workers). out: folder for results.json, targets.json, cases.csv and the records, from which a
    killed evaluation goes on; None keeps all in memory. console: where progress is shown, or None.
    Raises SPASegmentError where `out` holds another evaluation, DatasetError for a rater that is not there.
    """
    options = options or Options()
    _check(engines, options)
    factories = as_factories(engines)
    chosen = chosen_cases(dataset, options)
    with Crew(
        factories, dataset, workers=options.workers, threads=options.threads, cluster=options.cluster
    ) as crew:
        described = dict(crew.run(Bench.describe, list(factories)))
        reports = {name: described[name] for name in factories}
        stores = _open_stores(out, reports, dataset, options)
        memory = _compute(crew, dataset, chosen, stores, options, console)
    ids = dataset.case_ids()
    every = {
        name: [store.records[case] for case in sorted(ids[index] for index in chosen)]
        for name, store in stores.items()
    }
    sets = dataset.sets if isinstance(dataset, SetsOfCases) else None
    results = gather(dataset.name, every, reports, memory, options, sets)
    if out is not None:
        write(results, out)
    return results


def chosen_cases(dataset: MultiRaterDataset, options: Options) -> list[int]:
    """Indices of the cases to run, in the order of the data set; a larger limit only adds cases."""
    ids = dataset.case_ids()
    if options.limit is None:
        return list(range(len(ids)))
    order = sample_order(dataset.name, ids, options.protocol_seed, "limit")
    if not isinstance(dataset, SetsOfCases):
        return sorted(order[: options.limit])
    taken: Counter[str] = Counter()
    chosen = []
    for index in order:
        taken[set_of(ids[index])] += 1
        if taken[set_of(ids[index])] <= options.limit:
            chosen.append(index)
    return sorted(chosen)


def _check(engines: Mapping[str, Any], options: Options) -> None:
    if not engines:
        raise SPASegmentError("There is no model to evaluate; name at least one with --model.")
    if options.limit is not None and options.limit < 1:
        raise SPASegmentError("The limit must be at least one case; leave it out to run all.")
    known = (*USERS, *PICKING, *SIGHTED)
    if not options.users or any(user not in known for user in options.users):
        raise SPASegmentError(f"There is no such user model; choose among {', '.join(known)}.")
    if options.against is not None and options.against not in engines:
        raise SPASegmentError(
            f"There is no model '{options.against}' in this run to compare with; choose among "
            f"{', '.join(engines)}."
        )
    TargetRule.parse(options.target)


class _Held:
    """An engine that is already built, as a factory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self) -> Engine:
        return self._engine


def as_factories(engines: Mapping[str, Engine | EngineFactory]) -> dict[str, EngineFactory]:
    """Every engine as a callable that makes it."""
    return {name: _as_factory(engine) for name, engine in engines.items()}


def _as_factory(engine: Any) -> EngineFactory:
    """An engine's class makes engines, too, though it has its methods."""
    made = isinstance(engine, type) or not hasattr(engine, "propose")
    return engine if made else _Held(engine)


def _open_stores(
    out: Path | None, reports: dict[str, ModelReport], dataset: MultiRaterDataset, options: Options
) -> dict[str, RecordFile[CaseRecord] | RecordList[CaseRecord]]:
    if out is None:
        return {name: RecordList() for name in reports}
    return {
        name: RecordFile(
            out / RECORDS_FOLDER / file_name(name, list(reports)),
            {
                "model": name,
                "hash": report.hash,
                "inference": DEFAULT.digest(),
                "dataset": dataset.name,
                "protocol_seed": options.protocol_seed,
                "target": options.target,
                "iterations": options.iterations,
                "n_samples": options.n_samples,
                "engine_seed": options.engine_seed,
                **({"profile": report.profile} if report.profile else {}),
                **({"users": list(options.further_users)} if options.further_users else {}),
            },
            CaseRecord,
        )
        for name, report in reports.items()
    }


def file_name(name: str, names: list[str]) -> str:
    """A file name for a model that none of the other `names` gets, however they are spelt."""
    plain = [re.sub(r"[^A-Za-z0-9._-]+", "_", other).strip(".").lower() or "model" for other in names]
    at = names.index(name)
    before = plain[:at].count(plain[at])
    return f"{plain[at]}{f'~{before + 1}' if before else ''}.jsonl"


def _compute(
    crew: Crew,
    dataset: MultiRaterDataset,
    chosen: list[int],
    stores: Mapping[str, RecordFile[CaseRecord] | RecordList[CaseRecord]],
    options: Options,
    console: Console | None,
) -> dict[str, PeakMemory]:
    """Run what the stores do not hold yet. Returns the peak memory of each model that ran."""
    ids = dataset.case_ids()
    todo = {name: [i for i in chosen if ids[i] not in store.records] for name, store in stores.items()}
    jobs = [_CaseJob(name, index, options) for name, indices in todo.items() for index in indices]
    memory: dict[str, PeakMemory] = {}
    with progress_bars(console) as progress, closing(crew.run(_run_job, jobs)) as done:
        bars = {
            name: progress.add_task(name, total=len(chosen), completed=len(chosen) - len(indices))
            for name, indices in todo.items()
        }
        for job, (record, peak) in done:
            stores[job.model].append(record)
            progress.advance(bars[job.model])
            memory[job.model] = peak.or_more(memory.get(job.model, peak))
    for store in stores.values():
        store.sort()
    return memory


def progress_bars(console: Console | None) -> Progress:
    """A bar with the remaining time per task, or none without a console."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=console is None,
        transient=True,
    )


def _run_job(bench: Bench, job: _CaseJob) -> tuple[CaseRecord, PeakMemory]:
    engine = bench.engine(job.model)
    options = job.options
    case = read_case(bench.dataset, job.index, options.protocol_seed)
    wanted = draw(case, options.protocol_seed, TargetRule.parse(options.target))
    if wanted is None:
        record = CaseRecord(case.case_id, case.patient, skipped="no rater in the target drew anything")
        return record, PeakMemory.now()
    record = run_case(
        engine,
        case,
        wanted,
        iterations=options.iterations,
        seed=options.engine_seed,
        n_samples=options.n_samples,
        users=options.further_users,
        protocol_seed=options.protocol_seed,
    )
    return record, PeakMemory.now()


UNSEEN_FILE = "unseen-raters.json"


def evaluate_unseen_raters(
    engines: Mapping[str, Mapping[str, Engine | EngineFactory]],
    dataset: MultiRaterDataset,
    options: Options | None = None,
    *,
    out: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """What each rater drew is the target of models that never saw it (supplement Table 3).

    engines: by the name of the rater left out of their training, then by the name of the model.
    Returns `{"raters": {RATER: {MODEL: figures}}, "mean": {MODEL: figures}, "paired": [...]}` with dice, noi
    and failure_rate, the mean over raters, and differences as `evaluate` tells them, over all raters' cases
    of the models that every rater has. out: a folder per rater and unseen-raters.json. Raises as `evaluate`
    does.
    """
    if not engines:
        raise SPASegmentError("There is no rater to leave out; name at least one, with the models for it.")
    options = options or Options()
    found: dict[str, Any] = {}
    records: dict[str, list[CaseRecord]] = {}
    for number, (rater, models) in enumerate(engines.items()):
        folder = None if out is None else out / f"unseen-{number}"
        against = options.against if options.against in models else None
        asked = replace(options, target=f"raters:{rater}", against=against)
        results = evaluate(models, dataset, asked, out=folder, console=console)
        found[rater] = {
            name: {key: figures[key] for key in ("cases", "dice", "noi", "failure_rate")}
            for name, figures in results.summary["models"].items()
        }
        for name, rows in results.records.items():
            records.setdefault(name, []).extend(replace(row, case=f"{row.case} {rater}") for row in rows)
    shared = {name: rows for name, rows in records.items() if all(name in one for one in found.values())}
    paired = pairs_of_models(shared, list(shared), options) if len(shared) > 1 else []
    summary = {"raters": found, "mean": _mean_over_raters(found), "paired": paired}
    if out is not None:
        write_whole(out / UNSEEN_FILE, json.dumps(summary, indent=1, allow_nan=False) + "\n")
    return summary


def _mean_over_raters(found: dict[str, Any]) -> dict[str, Any]:
    models = dict.fromkeys(name for figures in found.values() for name in figures)
    return {
        model: {
            key: {
                at: rounded(float(np.mean([f[model][key][at] for f in found.values() if model in f])))
                for at in next(f[model][key] for f in found.values() if model in f)
            }
            for key in ("dice", "noi", "failure_rate")
        }
        for model in models
    }
