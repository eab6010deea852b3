"""`evaluate --whole-object`: models on whole objects, with what users do for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.inference.carrying import CARRY
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.research.datasets.object_cases import ObjectCase, ObjectCases
from SPASegmentLib.research.evaluation.editor_tools import grown, interpolated
from SPASegmentLib.research.evaluation.metrics import bootstrap_means, dice
from SPASegmentLib.research.evaluation.object_users import ObjectUser, Outcome
from SPASegmentLib.research.evaluation.protocol import sample_order
from SPASegmentLib.research.evaluation.records import RecordFile, RecordList, write_whole
from SPASegmentLib.research.evaluation.results import rounded
from SPASegmentLib.research.evaluation.runner import RECORDS_FOLDER, file_name, progress_bars
from SPASegmentLib.research.evaluation.surfaces import surface_dice
from SPASegmentLib.research.evaluation.workers import EngineFactory

FIGURES = (
    "dice",
    "nsd_1mm",
    "nsd_2mm",
    "volume_error",
    "actions",
    "seconds",
    "reviewed",
    "end_error",
    "slice_seconds",
)
"""Of a user's outcome. volume_error: share of the true volume. seconds: of the user and the computer.
end_error: slices at each end, on average. slice_seconds: of computing for each slice beyond the first."""
EVERY = (2, 3, 5)
"""Which true slices the interpolation gets: every second, third, fifth."""


@dataclass
class ObjectRecord:
    """One case of one model: user -> figure -> value. skipped: why the case is none; error: the engine's."""

    case: str
    patient: str = ""
    group: str = ""
    users: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: str = ""
    error: str = ""

    @property
    def key(self) -> str:
        """The case."""
        return self.case


def evaluate_objects(
    factories: Mapping[str, EngineFactory],
    cases: ObjectCases,
    *,
    out: Path | None = None,
    limit: int | None = None,
    protocol_seed: int = 0,
    console: Console | None = None,
) -> dict[str, Any]:
    """Every model on the same objects, with the users none, picks and review, and their rivals.

    Users: `none` clicks and asks for the whole object; `picks` picks twice on the first slice before;
    `review` then looks at up to three doubtful slices. Rivals: `carry-over`, slice by slice with the same
    model, `carry-over-anew`, without memory of the style, interpolation between true slices, and
    `grow-from-seeds`, as the Segment Editor does them, where their packages are installed. limit: so many
    objects. out: folder of results.json and the records, from which a killed run goes on.
    Returns models -> NAME -> whole_object -> USER -> FIGURE: [mean, low, high], and the same by_group.
    Raises SPASegmentError where `out` holds another evaluation or there is no object.
    """
    ids = cases.case_ids()
    order = sample_order(cases.name, ids, protocol_seed, "limit")
    models: dict[str, Any] = {}
    for name, factory in factories.items():
        engine = factory()
        store = _store(out, name, list(factories), engine, cases, protocol_seed)
        taken = 0
        with progress_bars(console) as progress:
            bar = progress.add_task(name, total=min(limit or len(ids), len(ids)))
            for index in order:
                if taken == (limit or len(ids)):
                    break
                record = store.records.get(ids[index])
                if record is None:
                    record = _record(engine, ids[index], cases, protocol_seed)
                    store.append(record)
                taken += not record.skipped
                progress.update(bar, completed=taken)
        store.sort()
        chosen = {ids[index] for index in order}
        models[name] = _figures([r for r in store.records.values() if r.case in chosen and not r.skipped])
    results = {
        "dataset": cases.name,
        "protocol_seed": protocol_seed,
        "limit": limit,
        "models": models,
    }
    if out is not None:
        write_whole(out / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    if console is not None:
        for name, figures in models.items():
            console.print(object_table(name, figures))
    return results


def object_table(name: str, figures: dict[str, Any]) -> Table:
    """What the terminal shows of a model."""
    table = Table(title=f"Whole objects: {name}, {figures['cases']} cases")
    for column in ("", "user", "Dice", "NSD 1 mm", "NSD 2 mm", "actions", "seconds", "end error", "s/slice"):
        table.add_column(column, justify="left" if column in ("", "user") else "right")
    groups = {"all": figures["whole_object"]}
    if len(figures["by_group"]) > 1:
        groups |= {group: values["whole_object"] for group, values in figures["by_group"].items()}
    for group, users in groups.items():
        for user, values in users.items():
            table.add_row(
                group,
                user,
                *(f"{values[key][0]:.3f}" for key in ("dice", "nsd_1mm", "nsd_2mm")),
                *(f"{values[key][0]:.1f}" for key in ("actions", "seconds")),
                *(f"{values[key][0]:.2f}" for key in ("end_error", "slice_seconds")),
            )
    return table


def _store(
    out: Path | None, name: str, names: list[str], engine: Engine, cases: ObjectCases, seed: int
) -> RecordFile[ObjectRecord] | RecordList[ObjectRecord]:
    if out is None:
        return RecordList()
    header = {
        "model": name,
        "hash": engine.model.hash,
        "inference": DEFAULT.digest(),
        "carrying": repr(CARRY),
        "objects": cases.name,
        "protocol_seed": seed,
    }
    return RecordFile(out / RECORDS_FOLDER / file_name(name, names), header, ObjectRecord)


def _record(engine: Engine, case_id: str, cases: ObjectCases, seed: int) -> ObjectRecord:
    case = cases.read(case_id)
    if case is None:
        return ObjectRecord(case_id, skipped="the object is on too few slices")
    record = ObjectRecord(case_id, case.patient, case.group)
    try:
        outcomes = ObjectUser(engine, case, seed).run()
    except SPASegmentError as error:
        record.error = str(error)
        outcomes = {user: Outcome(np.zeros_like(case.target)) for user in ("none", "picks", "review")}
    for every in EVERY:
        drawn = interpolated(case.target, every)
        if drawn is not None:
            outcomes[f"interpolation-{every}"] = drawn
    seeded = grown(case)
    if seeded is not None:
        outcomes["grow-from-seeds"] = seeded
    record.users = {user: _measured(outcome, case) for user, outcome in outcomes.items()}
    return record


def _measured(outcome: Outcome, case: ObjectCase) -> dict[str, float]:
    mask, target = outcome.mask, case.target
    near = surface_dice(mask, target, case.spacing, (1.0, 2.0))
    size = float(target.sum())
    values = {
        "dice": dice(mask, target),
        "nsd_1mm": near[0],
        "nsd_2mm": near[1],
        "volume_error": abs(float(mask.sum()) - size) / size,
        "actions": float(outcome.actions),
        "seconds": outcome.seconds,
        "reviewed": float(outcome.reviewed),
        "end_error": end_error(mask, target),
        "slice_seconds": outcome.filling / max(outcome.slices, 1),
    }
    return {key: rounded(value, 6) for key, value in values.items()}


def end_error(mask: np.ndarray, target: np.ndarray) -> float:
    """By how many slices an object's ends are missed, the mean of both. (S, H, W) bool; target not empty."""
    ends = [np.flatnonzero(one.any(axis=(1, 2))) for one in (mask, target)]
    if not len(ends[0]):
        return len(ends[1]) / 2
    return float(abs(ends[0][0] - ends[1][0]) + abs(ends[0][-1] - ends[1][-1])) / 2


def _figures(records: Sequence[ObjectRecord]) -> dict[str, Any]:
    if not records:
        raise SPASegmentError("There is no object on enough slices here; choose another split or data set.")
    groups: dict[str, list[ObjectRecord]] = {}
    for record in records:
        groups.setdefault(record.group, []).append(record)
    return {
        "cases": len(records),
        "errors": sum(bool(record.error) for record in records),
        "whole_object": _by_user(records),
        "by_group": {
            group: {"cases": len(found), "whole_object": _by_user(found)}
            for group, found in sorted(groups.items())
        },
    }


def _by_user(records: Sequence[ObjectRecord]) -> dict[str, dict[str, list[float]]]:
    """User -> figure -> [mean, low, high], patients resampled."""
    users = dict.fromkeys(user for record in records for user in record.users)
    found = {}
    for user in users:
        having = [record for record in records if user in record.users]
        table = np.array([[record.users[user][figure] for figure in FIGURES] for record in having])
        estimates = bootstrap_means(table, [record.patient for record in having])
        rows = [[rounded(value, 6) for value in (e.mean, e.low, e.high)] for e in estimates]
        found[user] = dict(zip(FIGURES, rows, strict=True))
    return found
