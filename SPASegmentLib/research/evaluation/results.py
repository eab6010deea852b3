"""From records of cases to the figures PROTOCOL.md asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from SPASegmentLib.research.evaluation.metrics import (
    NOT_REACHED,
    Estimate,
    area_under_dice,
    bootstrap_means,
    dice,
    expected_calibration_error,
    iterations_to_reach,
)
from SPASegmentLib.research.evaluation.protocol import ALWAYS_PICK, APPROVE, approves
from SPASegmentLib.research.evaluation.records import CaseRecord

WORDS = "first draw not empty"
SPREAD = ("ged", "ged_drawn", "d_max", "ged_16", "hm_iou_16", "d_max_16")
"""Fields of records that say how the samples stand to the raters."""


def kept(records: Sequence[CaseRecord]) -> list[CaseRecord] | None:
    """The records whose first draw was not empty; None where all or none are, or where it is not known."""
    if any(record.redrawn is None for record in records):
        return None
    found = [record for record in records if not record.redrawn]
    return found if 0 < len(found) < len(records) else None


def sub_row(figures: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The figures of a model, or of a pair of models, on those cases only; None where there is no sub-row."""
    found: Mapping[str, Any] | None = figures.get("first_draw")
    return found


def dice_with_the_others(masks: np.ndarray) -> list[float]:
    """Dice of each rater's mask with the majority of the other raters who drew (mean >= 0.5).

    masks: (R, H, W) bool. Returns R values, -1 for a rater who drew nothing; [] where fewer than three drew.
    """
    drew = [bool(mask.any()) for mask in masks]
    if sum(drew) < 3:
        return []
    values = []
    for rater, mask in enumerate(masks):
        others = [masks[other] for other in range(len(masks)) if other != rater and drew[other]]
        values.append(dice(mask, np.mean(others, axis=0) >= 0.5) if drew[rater] else -1.0)
    return values


def among_raters(records: Sequence[CaseRecord], resamples: int) -> dict[str, Any] | None:
    """Mean Dice with single raters, over the masks of the cases in which at least three raters drew.

    others: of the other raters' majority, with its 95% interval. model: of the recommendation by iteration.
    None where there is no such case.
    """
    rows, patients = [], []
    for record in records:
        for rater, value in enumerate(record.consensus_dice):
            if value >= 0:
                rows.append([value, *(found[rater] for found in record.rater_dice)])
                patients.append(record.patient)
    if not rows:
        return None
    others, *model = bootstrap_means(np.array(rows, dtype=np.float64), patients, resamples)
    return {
        "masks": len(rows),
        "others": rounded(others.mean),
        "others_interval": interval(others),
        "model": by_iteration([estimate.mean for estimate in model]),
    }


LIDC_THRESHOLDS = (0.60, 0.70, 0.75, 0.80)
OPTIC_CUP_THRESHOLDS = (0.70, 0.80, 0.84, 0.87)
_OPTIC_CUP_NAMES = ("refuge", "drishti", "cup", "fundus")
DIGITS = 6
"""Decimals of the figures written down."""


def default_thresholds(dataset_name: str) -> tuple[float, ...]:
    """The Dice values NoI and failure rate are reported at (PROTOCOL.md)."""
    name = dataset_name.lower()
    return OPTIC_CUP_THRESHOLDS if any(word in name for word in _OPTIC_CUP_NAMES) else LIDC_THRESHOLDS


@dataclass(frozen=True, eq=False)
class Course:
    """How a user model fared: dice and surface Dice (cases, iterations) of the mask they have, picks (cases,)
    they made. surface is None where a record does not hold it."""

    dice: np.ndarray
    picks: np.ndarray
    surface: np.ndarray | None = None


def course(records: Sequence[CaseRecord], user: str) -> Course:
    """What a user model makes of the records.

    The `approve` user stops at the first recommendation better than every candidate; its Dice stands for the
    later iterations. Of users who see the target picks counts points, too; where an engine brought its own
    user, or gave up, the record's Dice is theirs.
    """
    runs = [_run_of(record, user) for record in records]
    told = bool(runs) and all(surface for _, surface, _ in runs)
    return Course(
        np.array([dice for dice, _, _ in runs], dtype=np.float64),
        np.array([picks for _, _, picks in runs], dtype=np.int64),
        np.array([surface for _, surface, _ in runs], dtype=np.float64) if told else None,
    )


def _run_of(record: CaseRecord, user: str) -> tuple[list[float], list[float], int]:
    """Dice and surface Dice by iteration, and picks and points."""
    found = record.users.get(user)
    if found is not None:
        return found["dice"], found["surface"], found.get("points", 0) + found["picks"]
    if user != APPROVE:
        return record.dice, record.surface, len(record.picks)
    stop = stops_at(record)
    held = [[*row[:stop], *row[stop : stop + 1] * (len(row) - stop)] for row in (record.dice, record.surface)]
    return held[0], held[1], min(stop, len(record.picks))


def stops_at(record: CaseRecord) -> int:
    """The iteration (from 0) at which the `approve` user approves, the last one at the latest.

    A user who corrects with prompts instead of picking goes on to the end.
    """
    if record.prompted:
        return len(record.dice) - 1
    for iteration, shown in enumerate(record.candidates):
        if approves(record.dice[iteration], shown):
            return iteration
    return max(len(record.candidates) - 1, 0)


def summarise(
    records: Sequence[CaseRecord],
    *,
    users: Sequence[str],
    headline: str,
    thresholds: Sequence[float],
    resamples: int,
) -> dict[str, Any]:
    """One model's figures, those of the `headline` user first. records: at least one, each with a target."""
    patients = [record.patient for record in records]
    by_user = {user: _user_figures(course(records, user), patients, thresholds, resamples) for user in users}
    for user in users:
        keeps = [record.users[user]["keeps"] for record in records if "keeps" in record.users.get(user, {})]
        if keeps:
            by_user[user]["keeps"] = rounded(float(np.mean(keeps)))
        if ALWAYS_PICK in users and user != ALWAYS_PICK:
            by_user[user]["against_always_pick"] = _against_always_pick(records, user, resamples)
    few = kept(records)
    return {
        "cases": len(records),
        "patients": len(set(patients)),
        "errors": sum(bool(record.error) for record in records),
        **by_user[headline],
        "users": by_user,
        **_candidate_figures(records),
        **_uncertainty_figures(records, patients, resamples),
        "among_raters": among_raters(records, resamples),
        **_seconds(records),
        "bending_ratio": _bending(records),
        "first_draw": None if few is None else _sub_row(few, users, thresholds, resamples),
    }


def _against_always_pick(records: Sequence[CaseRecord], user: str, resamples: int) -> dict[str, Any]:
    """Dice of a user less that of `always-pick` on the same cases."""
    dice, usual = (course(records, one).dice for one in (user, ALWAYS_PICK))
    return _dice_by_iteration(dice - usual, [record.patient for record in records], resamples)


def _dice_by_iteration(dice: np.ndarray, patients: Sequence[str], resamples: int) -> dict[str, Any]:
    """Mean and interval by iteration. dice: (cases, iterations), or differences of it."""
    estimates = bootstrap_means(dice, patients, resamples)
    return {
        "dice": by_iteration([estimate.mean for estimate in estimates]),
        "interval": {str(i): interval(e) for i, e in enumerate(estimates, 1)},
    }


def _sub_row(
    records: Sequence[CaseRecord], users: Sequence[str], thresholds: Sequence[float], resamples: int
) -> dict[str, Any]:
    """The users' figures over some of the cases."""
    patients = [record.patient for record in records]
    by_user = {user: _user_figures(course(records, user), patients, thresholds, resamples) for user in users}
    return {"cases": len(records), "patients": len(set(patients)), "users": by_user}


def _user_figures(
    run: Course, patients: list[str], thresholds: Sequence[float], resamples: int
) -> dict[str, Any]:
    """Dice, the area under it, surface Dice, gains (supplement Table 4), reach and picks.

    failure_rate: of cases that reach a Dice at no iteration. below: of cases below it, by iteration.
    """
    iterations = run.dice.shape[1]
    never = np.stack([iterations_to_reach(run.dice, x) == NOT_REACHED for x in thresholds], axis=1)
    changes = np.concatenate([np.diff(run.dice, axis=1), run.dice[:, -1:] - run.dice[:, :1]], axis=1)
    columns = np.concatenate([run.dice, changes, run.picks[:, None], never], axis=1)
    found = bootstrap_means(columns, patients, resamples)
    estimates, gains, picks = found[:iterations], found[iterations : 2 * iterations], found[2 * iterations]
    fails = dict(zip(map("{:.2f}".format, thresholds), found[2 * iterations + 1 :], strict=True))
    [area] = bootstrap_means(area_under_dice(run.dice)[:, None], patients, resamples)
    surface = None if run.surface is None else bootstrap_means(run.surface, patients, resamples)
    steps = [*(f"{i}-{i + 1}" for i in range(1, iterations)), "overall"]
    reach = {f"{x:.2f}": float(iterations_to_reach(run.dice, x).mean()) for x in thresholds}
    return {
        "dice": by_iteration([estimate.mean for estimate in estimates]),
        "interval": {str(i): interval(e) for i, e in enumerate(estimates, 1)},
        "auc": rounded(area.mean),
        "auc_interval": interval(area),
        "surface_dice": None if surface is None else by_iteration([e.mean for e in surface]),
        "surface_interval": None
        if surface is None
        else {str(i): interval(e) for i, e in enumerate(surface, 1)},
        "gain": {step: rounded(e.mean) for step, e in zip(steps, gains, strict=True)},
        "gain_interval": {step: interval(e) for step, e in zip(steps, gains, strict=True)},
        "noi": {name: rounded(value) for name, value in reach.items()},
        "failure_rate": {name: rounded(e.mean) for name, e in fails.items()},
        "failure_interval": {name: interval(e) for name, e in fails.items()},
        "below": {f"{x:.2f}": by_iteration((run.dice < x).mean(axis=0).tolist()) for x in thresholds},
        "picks": rounded(picks.mean),
        "picks_interval": interval(picks),
    }


def _candidate_figures(records: Sequence[CaseRecord]) -> dict[str, Any]:
    """Similarity among candidates (supplement Fig. 1), what the best adds, how many were shown."""
    iterations = max((len(record.candidates) for record in records), default=0)
    similarity, gain, shown = {}, {}, {}
    for iteration in range(iterations):
        there = [record for record in records if len(record.candidates) > iteration]
        pairs = [value for record in there for value in record.similarity[iteration]]
        best = [max(r.candidates[iteration]) - r.dice[iteration] for r in there if r.candidates[iteration]]
        name = str(iteration + 1)
        similarity[name] = rounded(float(np.median(pairs))) if pairs else None
        gain[name] = rounded(float(np.mean(best))) if best else None
        shown[name] = rounded(float(np.mean([len(record.candidates[iteration]) for record in there])))
    return {"candidate_similarity": similarity, "best_candidate_gain": gain, "candidates_shown": shown}


def _uncertainty_figures(
    records: Sequence[CaseRecord], patients: list[str], resamples: int
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in SPREAD:
        held = [
            (value, patient)
            for record, patient in zip(records, patients, strict=True)
            if (value := getattr(record, name)) is not None
        ]
        told[name] = None
        if held:
            values = np.array([[value] for value, _ in held], dtype=np.float64)
            [estimate] = bootstrap_means(values, [patient for _, patient in held], resamples)
            told |= {name: rounded(estimate.mean), f"{name}_interval": interval(estimate)}
    if told["ged"] is None:
        return {**told, "ece": None}
    counts = np.sum([np.array(record.calibration) for record in records if record.calibration], axis=0)
    ece = expected_calibration_error(counts)
    return {
        **told,
        "ece": None if np.isnan(ece) else rounded(ece),
        "calibration": [_round_all(row) for row in counts],
    }


def _bending(records: Sequence[CaseRecord]) -> float | None:
    """Median over cases of the recommendation's bending energy after the click over the target's."""
    ratios = [mine / theirs for record in records if record.bending for mine, theirs in [record.bending]]
    return rounded(float(np.median(ratios))) if ratios else None


def _seconds(records: Sequence[CaseRecord]) -> dict[str, Any]:
    """Medians over cases of the click's call, over all picks of theirs."""
    clicks = [record.seconds[0] for record in records if record.seconds]
    picks = [value for record in records for value in record.seconds[1:]]
    return {
        "seconds_per_click": rounded(float(np.median(clicks))) if clicks else None,
        "seconds_per_pick": rounded(float(np.median(picks))) if picks else None,
    }


def paired_difference(
    first: Sequence[CaseRecord],
    second: Sequence[CaseRecord],
    *,
    user: str,
    resamples: int,
    users: Sequence[str] = (),
) -> dict[str, Any]:
    """Dice of the first model minus the second's on the cases both have, with 95% intervals.

    user: whose figures stand first. users: whose stand under `users` besides.
    """
    other = {record.case: record for record in second}
    pairs = [(record, other[record.case]) for record in first if record.case in other]
    few = kept([record for record, _ in pairs])
    return {
        **_paired(pairs, user, resamples),
        "first_draw": None
        if few is None
        else _paired([(record, other[record.case]) for record in few], user, resamples),
        "users": {one: _paired(pairs, one, resamples) for one in users if one != user},
    }


def _paired(pairs: Sequence[tuple[CaseRecord, CaseRecord]], user: str, resamples: int) -> dict[str, Any]:
    if not pairs:
        return {"cases": 0, "dice": {}, "interval": {}}
    a, b = (course(side, user).dice for side in zip(*pairs, strict=True))
    patients = [record.patient for record, _ in pairs]
    [area] = bootstrap_means((area_under_dice(a) - area_under_dice(b))[:, None], patients, resamples)
    return {
        "cases": len(pairs),
        **_dice_by_iteration(a - b, patients, resamples),
        "auc": rounded(area.mean),
        "auc_interval": interval(area),
    }


def by_iteration(values: Sequence[float]) -> dict[str, float]:
    """Values of iterations 1, 2, ... under their numbers."""
    return {str(iteration): rounded(value) for iteration, value in enumerate(values, 1)}


def interval(estimate: Estimate) -> list[float]:
    """Both ends, as they are written down."""
    return [rounded(estimate.low), rounded(estimate.high)]


def rounded(value: float, digits: int = DIGITS) -> float:
    """The value with as many decimals as are written down."""
    return round(float(value), digits)


def _round_all(values: Sequence[float]) -> list[float]:
    return [rounded(value) for value in values]
