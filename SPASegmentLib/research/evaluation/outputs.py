"""What an evaluation found, in memory and as files."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.research.evaluation.protocol import APPROVE, TOLERANCE_MM, TOLERANCE_PIXELS, Options
from SPASegmentLib.research.evaluation.records import CaseRecord, write_whole
from SPASegmentLib.research.evaluation.results import course, default_thresholds, paired_difference, summarise
from SPASegmentLib.research.evaluation.subgroups import against_no_interaction, alignment, figures_by_set
from SPASegmentLib.research.evaluation.workers import ModelReport, PeakMemory

TARGETS_FILE = "targets.json"
RESULTS_FILE = "results.json"
CASES_FILE = "cases.csv"


@dataclass
class Results:
    """What an evaluation found.

    summary: as in results.json. records: of each model, in the order of cases, those without a target left
    out. targets: as in targets.json. out: the folder they were written to, or None. transfer: as in
    transfer.json, where it was measured. unseen: as in unseen-raters.json, likewise.
    """

    summary: dict[str, Any]
    records: dict[str, list[CaseRecord]]
    targets: dict[str, Any]
    out: Path | None = None
    transfer: dict[str, Any] | None = None
    unseen: dict[str, Any] | None = None


def gather(
    dataset_name: str,
    every: Mapping[str, Sequence[CaseRecord]],
    reports: Mapping[str, ModelReport],
    memory: Mapping[str, PeakMemory],
    options: Options,
    sets: Mapping[str, str] | None = None,
) -> Results:
    """All figures from the records of every model, given in the same order of cases.

    sets: of a data set of several sets, each one's part; figures are then told by set, too.

    Raises SPASegmentError where no case has a target or two models did not get the same ones.
    """
    targets = _targets(dataset_name, options, every)
    records = {name: [row for row in rows if not row.skipped] for name, rows in every.items()}
    if not targets["cases"]:
        raise SPASegmentError("None of the cases has a target; no rater drew anything in them.")
    thresholds = options.thresholds or default_thresholds(dataset_name)
    models = {
        name: {
            **summarise(
                rows,
                users=options.users,
                headline=options.headline_user,
                thresholds=thresholds,
                resamples=options.resamples,
            ),
            "alignment": alignment(rows, options.resamples),
            "skipped": len(targets["skipped"]),
            "oracle": reports[name].oracle,
            **({"user": reports[name].user} if reports[name].user else {}),
            "peak_memory_mb": _mb(memory[name].host) if name in memory else None,
            "peak_gpu_mb": _mb(memory[name].gpu) if name in memory else None,
            "device": reports[name].device,
            "model": {
                "name": reports[name].name,
                "hash": reports[name].hash,
                "components": reports[name].components,
                **({"profile": reports[name].profile} if reports[name].profile else {}),
            },
        }
        for name, rows in records.items()
    }
    summary = {
        "dataset": dataset_name,
        "target": options.target,
        "protocol_seed": options.protocol_seed,
        "engine_seed": options.engine_seed,
        "n_samples": options.n_samples,
        "iterations": options.iterations,
        "headline_user": options.headline_user,
        "thresholds": list(thresholds),
        "surface_tolerance": {"mm": TOLERANCE_MM, "pixels_of_unknown_size": TOLERANCE_PIXELS},
        "limit": options.limit,
        "targets_file": TARGETS_FILE,
        "models": models,
        "paired": pairs_of_models(
            records, [name for name in records if not reports[name].oracle] or list(records), options
        ),
        "against_no_interaction": against_no_interaction(
            records, user=options.headline_user, thresholds=thresholds, resamples=options.resamples
        ),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "workers": options.workers if options.cluster is None else options.cluster.workers,
            "threads": options.threads,
            **({} if options.cluster is None else {"cluster": True}),
        },
    }
    if sets is not None:
        summary["by_set"] = figures_by_set(records, sets, users=options.users, resamples=options.resamples)
    return Results(summary, records, targets)


def _targets(
    dataset_name: str, options: Options, every: Mapping[str, Iterable[CaseRecord]]
) -> dict[str, Any]:
    """The list of draws. Raises SPASegmentError where two models did not get the same ones."""
    lists = [[_target_row(record) for record in rows] for rows in every.values()]
    if any(rows != lists[0] for rows in lists[1:]):
        raise SPASegmentError(
            "The models were not given the same targets, so the data changed between runs; "
            "delete the output folder and evaluate again."
        )
    return {
        "dataset": dataset_name,
        "protocol_seed": options.protocol_seed,
        "target": options.target,
        "cases": [row for row in lists[0] if "target" in row],
        "skipped": [row["case"] for row in lists[0] if "target" not in row],
        "redrawn": [record.case for record in next(iter(every.values())) if record.redrawn],
    }


def _target_row(record: CaseRecord) -> dict[str, Any]:
    row: dict[str, Any] = {"case": record.case, "patient": record.patient}
    if not record.skipped:
        row |= {"raters": record.included, "click": record.click, "pixels": record.target_pixels}
        row["target"] = record.target_hash
        if record.structure:
            row["structure"] = record.structure
    return row


def _mb(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def pairs_of_models(
    records: Mapping[str, Sequence[CaseRecord]], able: Sequence[str], options: Options
) -> list[dict[str, Any]]:
    """Every model against the one that is named; where none is, the first of the `able` against each."""
    named = options.against if options.against in records else None
    first = named or able[0]
    others = [name for name in records if name != first]
    return [
        {
            "first": one,
            "second": other,
            **paired_difference(
                records[one],
                records[other],
                user=options.headline_user,
                resamples=options.resamples,
                users=options.users,
            ),
        }
        for one, other in ((name, first) if named else (first, name) for name in others)
    ]


def write(results: Results, out: Path) -> None:
    """Write targets, the row of every case and the figures to a folder."""
    contents = {
        TARGETS_FILE: json.dumps(results.targets, indent=1) + "\n",
        CASES_FILE: _table_of_cases(results.records, results.summary["iterations"]),
        RESULTS_FILE: json.dumps(results.summary, indent=1, allow_nan=False) + "\n",
    }
    for name, text in contents.items():
        write_whole(out / name, text)
    results.out = out


def _table_of_cases(records: Mapping[str, Sequence[CaseRecord]], iterations: int) -> str:
    """A row per model and case, for a spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    dice_names = [f"dice_{i}" for i in range(1, iterations + 1)]
    ends = ["approve_dice", "approve_picks", "ged", "d_max", "seconds_per_click", "error"]
    writer.writerow(["model", "case", "patient", *dice_names, "picks", *ends])
    for name, rows in records.items():
        approved = course(rows, APPROVE)
        for row, dice, picks in zip(rows, approved.dice, approved.picks, strict=True):
            seconds = row.seconds[0] if row.seconds else None
            last = [float(dice[-1]), int(picks), row.ged, row.d_max, seconds, row.error]
            writer.writerow([name, row.case, row.patient, *row.dice, len(row.picks), *last])
    return stream.getvalue()
