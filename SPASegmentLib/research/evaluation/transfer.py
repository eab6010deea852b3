"""Whether a carried profile helps its user on the next image (PROTOCOL.md, transfer)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console

from SPASegmentLib.errors import InputError
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.profiles.records import shown_text
from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset, read_case, set_of
from SPASegmentLib.research.evaluation.disk_profiles import DiskProfiles, TaughtOnDisk
from SPASegmentLib.research.evaluation.interaction import Trace, interact
from SPASegmentLib.research.evaluation.metrics import bootstrap_means, dice_of_each
from SPASegmentLib.research.evaluation.protocol import Draw, Options, draw
from SPASegmentLib.research.evaluation.records import RecordFile, RecordList, write_whole
from SPASegmentLib.research.evaluation.results import interval, rounded
from SPASegmentLib.research.evaluation.runner import as_factories, chosen_cases, file_name, progress_bars
from SPASegmentLib.research.evaluation.sequences import (
    STRUCTURE,
    Joined,
    Plan,
    TransferOptions,
    plan_by_user,
    rule_of,
)
from SPASegmentLib.research.evaluation.workers import Bench, Crew, EngineFactory

RECORDS_FOLDER = "transfer"
PROFILES_FOLDER = "profiles"
TRANSFER_FILE = "transfer.json"
LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Where the mean map is cut to see what a user's own level would bring."""


@dataclass
class SequenceRecord:
    """One user's cases in sequence with one model, each with a fresh and with the carried profile.

    taught: cases the carried profile had learnt from before. judged: whether the case counts.
    fresh_dice, carried_dice: at iteration 1. fresh_picks, carried_picks: of the `approve` user. level_dice:
    of the fresh profile's mean map at iteration 1, cut at each of `LEVELS`; [] where the image was refused.
    """

    user: str
    number: int
    cases: list[str] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    taught: list[int] = field(default_factory=list)
    judged: list[bool] = field(default_factory=list)
    fresh_dice: list[float] = field(default_factory=list)
    carried_dice: list[float] = field(default_factory=list)
    fresh_picks: list[int] = field(default_factory=list)
    carried_picks: list[int] = field(default_factory=list)
    level_dice: list[list[float]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The user and the number of the sequence."""
        return _key(self.user, self.number)


@dataclass(frozen=True)
class _TransferJob:
    """profiles: folder the carried profile stays in, or None to forget it."""

    model: str
    user: str
    number: int
    plan: Plan
    options: Options
    profiles: Path | None

    @property
    def profile_name(self) -> str:
        """Unique also where names are long or differ in case only, which names of profiles may not."""
        words = f"{self.model} {self.user} {self.number:04d}"
        digest = hashlib.sha256(repr((self.model, self.user, self.number)).encode()).hexdigest()
        return f"{shown_text(words)[:80].strip()} {digest[:8]}"


@dataclass
class TransferResults:
    """summary: as in transfer.json. records: of each model."""

    summary: dict[str, Any]
    records: dict[str, list[SequenceRecord]]


Store = RecordFile[SequenceRecord] | RecordList[SequenceRecord]


def run_transfer(
    engines: Mapping[str, Engine | EngineFactory],
    dataset: MultiRaterDataset,
    options: Options | None = None,
    sequences: TransferOptions | None = None,
    *,
    learn_from: MultiRaterDataset | None = None,
    out: Path | None = None,
    console: Console | None = None,
) -> TransferResults:
    """Let every user work through cases in sequence, with the carried profile and with a fresh one each time.

    A sequence holds at most one case of a patient, so that a style is carried over and not a patient. Without
    `learn_from` the profile learns from every case, and those after the first `warm` are judged. With it the
    profile learns from `warm` of those cases only, and all cases of `dataset` are judged; apart, from `warm`
    cases of `dataset`, and those of its other patients are.
    Profiles are real ones: every case is read from and written to their files, as a user's approvals are.
    out: folder of transfer.json, the profiles, and the records, from which a killed run goes on. Raises
    SPASegmentError where there are too few cases, or for another run in `out`.
    """
    options, sequences = options or Options(), sequences or TransferOptions()
    factories = as_factories(engines)
    for user in sequences.users or ():
        rule_of(user)
    plans = plan_by_user(
        dataset, chosen_cases(dataset, options), sequences, options.protocol_seed, learn_from
    )
    settings = {
        "dataset": dataset.name,
        "learn_from": None if learn_from is None else len(learn_from),
        "warm": sequences.warm,
        "protocol_seed": options.protocol_seed,
        "engine_seed": options.engine_seed,
        "n_samples": options.n_samples,
        "iterations": options.iterations,
        "profile": "on disk",
        **({"apart": True} if sequences.apart else {}),
    }
    with Crew(
        factories,
        Joined(dataset, learn_from),
        workers=options.workers,
        threads=options.threads,
        cluster=options.cluster,
    ) as crew:
        stores = _open_stores(crew, list(factories), settings, plans, out)
        jobs = [
            _TransferJob(name, user, number, plan, options, None if out is None else out / PROFILES_FOLDER)
            for name in factories
            for user in plans
            for number, plan in enumerate(plans[user])
            if _key(user, number) not in stores[name].records
        ]
        _compute(crew, jobs, stores, console)
    persons = all(rule_of(user).kind == "raters" or user.startswith(STRUCTURE) for user in plans)
    keys = [_key(user, number) for user in plans for number in range(len(plans[user]))]
    records = {name: [store.records[key] for key in keys] for name, store in stores.items()}
    summary = {
        **settings,
        "models": {
            name: {
                "users": summarise_users(rows, options.resamples),
                "parts": _summarise_parts(rows, getattr(dataset, "sets", {}), options.resamples),
                "all": _summarise(rows, options.resamples) if persons else None,
            }
            for name, rows in records.items()
        },
    }
    if out is not None:
        write_whole(out / TRANSFER_FILE, json.dumps(summary, indent=1, allow_nan=False) + "\n")
    return TransferResults(summary, records)


def _key(user: str, number: int) -> str:
    return f"{user} {number:04d}"


def _open_stores(
    crew: Crew, names: list[str], settings: dict[str, Any], plans: Mapping[str, list[Plan]], out: Path | None
) -> dict[str, Store]:
    if out is None:
        return {name: RecordList() for name in names}
    reports = dict(crew.run(Bench.describe, names))
    held = {**settings, "plans": {user: [asdict(plan) for plan in own] for user, own in plans.items()}}
    return {
        name: RecordFile(
            out / RECORDS_FOLDER / file_name(name, names),
            {"model": name, "hash": reports[name].hash, "inference": DEFAULT.digest(), **held},
            SequenceRecord,
        )
        for name in names
    }


def _compute(
    crew: Crew, jobs: list[_TransferJob], stores: Mapping[str, Store], console: Console | None
) -> None:
    with progress_bars(console) as progress, closing(crew.run(_run_sequence, jobs)) as done:
        bar = progress.add_task("transfer", total=len(jobs))
        for job, record in done:
            stores[job.model].append(record)
            progress.advance(bar)
    for store in stores.values():
        store.sort()


def _run_sequence(bench: Bench, job: _TransferJob) -> SequenceRecord:
    with TemporaryDirectory(prefix="spasegment-", ignore_cleanup_errors=True) as scratch:
        engine = bench.engine(job.model)
        carried = DiskProfiles(job.profiles or Path(scratch))(engine, job.profile_name)
        fresh = DiskProfiles(Path(scratch))(engine, "fresh")
        return _work_through(bench, job, engine, fresh, carried)


def _work_through(
    bench: Bench, job: _TransferJob, engine: Engine, fresh: TaughtOnDisk, carried: TaughtOnDisk
) -> SequenceRecord:
    record = SequenceRecord(job.user, job.number)
    rule = rule_of(job.user)
    taught = 0
    for position, index in enumerate(job.plan.indices):
        case = read_case(bench.dataset, index, job.options.protocol_seed)
        wanted = draw(case, job.options.protocol_seed, rule)
        if wanted is None:
            continue
        traces = [_first_steps(engine, case, wanted, profile, job.options) for profile in (fresh, carried)]
        seen = position if job.plan.frozen else taught
        _note(record, case, wanted.target, traces, taught, judged=seen >= job.plan.teaching)
        if position < job.plan.teaching or not job.plan.frozen:
            _teach(carried, case, *traces)
            taught += 1
    return record


def _teach(profile: TaughtOnDisk, case: Case, without: Trace, trace: Trace) -> None:
    """What the user ended in goes to the profile, also where the iterations ran out before they approved.

    Areas are told against the recommendation without the profile.
    """
    if trace.proposals:
        profile.learn(
            f"{case.dataset}/{case.case_id}",
            trace.answered,
            trace.proposals[-1],
            case.spacing,
            without.proposals[0].area_mm2 if without.proposals else None,
        )


def _first_steps(engine: Engine, case: Case, wanted: Draw, profile: TaughtOnDisk, options: Options) -> Trace:
    """The `approve` user on one case; an image the engine refuses is answered with nothing segmented."""
    try:
        return interact(
            engine,
            case,
            wanted,
            iterations=options.iterations,
            may_approve=True,
            seed=options.engine_seed,
            n_samples=options.n_samples,
            log_prior=profile.log_prior(),
            usual_area=profile.usual_area(),
        )
    except InputError:
        return Trace(dice=[0.0])


def _note(
    record: SequenceRecord,
    case: Case,
    target: np.ndarray,
    traces: list[Trace],
    taught: int,
    *,
    judged: bool,
) -> None:
    fresh, carried = traces
    record.cases.append(case.case_id)
    record.patients.append(case.patient)
    record.taught.append(taught)
    record.judged.append(judged)
    record.fresh_dice.append(rounded(fresh.dice[0], 9))
    record.carried_dice.append(rounded(carried.dice[0], 9))
    record.fresh_picks.append(len(fresh.picks))
    record.carried_picks.append(len(carried.picks))
    record.level_dice.append([rounded(value, 9) for value in _at_levels(fresh, target)])


def _at_levels(trace: Trace, target: np.ndarray) -> list[float]:
    """Dice of the first mean map with the target at each level."""
    if not trace.proposals:
        return []
    masks = np.stack([trace.proposals[0].probability >= level for level in LEVELS])
    return [float(value) for value in dice_of_each(masks, target)]


def summarise_users(records: Sequence[SequenceRecord], resamples: int) -> dict[str, Any]:
    """Figures of each user with one model, over their judged cases."""
    users = list(dict.fromkeys(record.user for record in records))
    return {user: _summarise([r for r in records if r.user == user], resamples) for user in users}


def _summarise_parts(
    records: Sequence[SequenceRecord], sets: Mapping[str, str], resamples: int
) -> dict[str, Any]:
    """Figures over the structures of all sets of a part, may teach or unseen; {} without any."""
    parts: dict[str, list[SequenceRecord]] = {}
    for record in records:
        if record.user.startswith(STRUCTURE):
            parts.setdefault(sets[set_of(record.user.removeprefix(STRUCTURE))], []).append(record)
    return {part: _summarise(own, resamples) for part, own in sorted(parts.items())}


def _summarise(records: Sequence[SequenceRecord], resamples: int) -> dict[str, Any]:
    rows = np.array([row for record in records for row in _rows(record)]).reshape(-1, 6)
    patients = [patient for record in records for patient in record.patients]
    judged = rows[:, 1] > 0
    positions = [
        {"taught": int(taught), **_means(rows[rows[:, 0] == taught])} for taught in np.unique(rows[:, 0])
    ]
    if not judged.any():
        return {"cases": 0, "by_position": positions}
    fresh_dice, carried_dice, fresh_picks, carried_picks = rows[judged, 2:].T
    differences = np.stack([carried_dice - fresh_dice, carried_picks - fresh_picks], axis=1)
    owners = [patient for patient, counts in zip(patients, judged, strict=True) if counts]
    dice, picks = bootstrap_means(differences, owners, resamples)
    return {
        **_means(rows[judged]),
        "dice_difference": rounded(dice.mean),
        "dice_interval": interval(dice),
        "picks_difference": rounded(picks.mean),
        "picks_interval": interval(picks),
        "own_level": _own_level(records, resamples),
        "by_position": positions,
    }


def _own_level(records: Sequence[SequenceRecord], resamples: int) -> dict[str, Any] | None:
    """What cutting the mean map at a level of each user's own would bring them, over that at 0.5.

    The level is the best over the very cases it is judged on: an oracle, which says how much a profile of how
    much the user includes could bring at most. best_of_each: at the best level of each single case.
    levels: by user. None where every image was refused.
    """
    levels, owners, changes = {}, [], []
    for user in dict.fromkeys(record.user for record in records):
        rows = [
            (patient, at_levels)
            for record in records
            if record.user == user
            for patient, judged, at_levels in zip(
                record.patients, record.judged, record.level_dice, strict=True
            )
            if judged and at_levels
        ]
        if not rows:
            continue
        dice = np.array([at_levels for _, at_levels in rows])
        best = int(dice.mean(axis=0).argmax())
        levels[user] = LEVELS[best]
        middle = dice[:, LEVELS.index(0.5)]
        changes.append(np.stack([dice[:, best] - middle, dice.max(axis=1) - middle], axis=1))
        owners += [patient for patient, _ in rows]
    if not owners:
        return None
    fixed, each = bootstrap_means(np.concatenate(changes), owners, resamples)
    return {
        "levels": levels,
        "dice_difference": rounded(fixed.mean),
        "dice_interval": interval(fixed),
        "best_of_each": rounded(each.mean),
        "best_of_each_interval": interval(each),
    }


def _rows(record: SequenceRecord) -> list[tuple[float, ...]]:
    return list(
        zip(
            record.taught,
            record.judged,
            record.fresh_dice,
            record.carried_dice,
            record.fresh_picks,
            record.carried_picks,
            strict=True,
        )
    )


def _means(rows: np.ndarray) -> dict[str, Any]:
    names = ("fresh_dice", "carried_dice", "fresh_picks", "carried_picks")
    means = {name: rounded(column.mean()) for name, column in zip(names, rows[:, 2:].T, strict=True)}
    return {"cases": len(rows), **means}
