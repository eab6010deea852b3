"""Figures by set, by single rater, and beside a model one cannot interact with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from SPASegmentLib.research.datasets.case import set_of
from SPASegmentLib.research.evaluation.metrics import (
    NOT_REACHED,
    Estimate,
    bootstrap_macro_means,
    bootstrap_means,
    bootstrap_ratio,
    iterations_to_reach,
)
from SPASegmentLib.research.evaluation.protocol import SIGHTED
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.results import by_iteration, course, interval, rounded

NESTED_SLACK = 0.15
"""How much less than the last iteration's best Dice counts as shown at the first (nested coverage)."""


def figures_by_set(
    records: Mapping[str, Sequence[CaseRecord]],
    parts: Mapping[str, str],
    *,
    users: Sequence[str],
    resamples: int,
) -> dict[str, Any]:
    """By model: `sets`, each with its part, and `macro` of each part, with Dice by user and iteration.

    records: by model, of the same cases. parts: set -> the part it is reported in. Corrections and nested
    coverage are counted over the cases of a part.
    """
    return {name: _model(rows, parts, users=users, resamples=resamples) for name, rows in records.items()}


def _model(
    rows: Sequence[CaseRecord], parts: Mapping[str, str], *, users: Sequence[str], resamples: int
) -> dict[str, Any]:
    groups: dict[str, list[CaseRecord]] = {}
    for row in rows:
        groups.setdefault(set_of(row.case), []).append(row)
    sets = {
        name: {
            "part": parts[name],
            "cases": len(held),
            "patients": len({row.patient for row in held}),
            "users": {
                user: _dice(bootstrap_means(course(held, user).dice, _patients(held), resamples))
                for user in users
            },
        }
        for name, held in sorted(groups.items())
    }
    macro = {}
    for part in dict.fromkeys(parts.values()):
        inside = [held for name, held in sorted(groups.items()) if parts[name] == part]
        if not inside:
            continue
        every = [row for held in inside for row in held]
        macro[part] = {
            "sets": len(inside),
            "cases": len(every),
            "users": {user: _dice(_macro(inside, user, resamples)) for user in users},
            "corrections": {user: corrections(every, user) for user in users if user in SIGHTED},
            "nested": nested_coverage(every, resamples),
        }
    return {"sets": sets, "macro": macro}


def _patients(rows: Sequence[CaseRecord]) -> list[str]:
    return [row.patient for row in rows]


def _macro(groups: Sequence[Sequence[CaseRecord]], user: str, resamples: int) -> list[Estimate]:
    return bootstrap_macro_means([(course(rows, user).dice, _patients(rows)) for rows in groups], resamples)


def _dice(estimates: Sequence[Estimate]) -> dict[str, Any]:
    return {
        "dice": by_iteration([estimate.mean for estimate in estimates]),
        "interval": {str(i): interval(estimate) for i, estimate in enumerate(estimates, 1)},
    }


def corrections(rows: Sequence[CaseRecord], user: str) -> dict[str, Any] | None:
    """What points did: how many hold after each correction, and how much changed far from it (median).

    far: of the pixels of either mask farther from the point than a third of the object's size, the share
    that changed. None where no correction was made.
    """
    found = [row.users[user] for row in rows if user in row.users]
    held = np.array([pair for one in found for pair in one["held"]], dtype=np.float64).reshape(-1, 2)
    far = np.array([pair for one in found for pair in one["far"]], dtype=np.float64).reshape(-1, 2)
    if len(held) == 0:
        return None
    shares = far[:, 0] / np.maximum(far[:, 1], 1)
    return {
        "corrections": len(held),
        "points_checked": int(held[:, 1].sum()),
        "points_held": int(held[:, 0].sum()),
        "share_held": rounded(held[:, 0].sum() / held[:, 1].sum()),
        "far_changed_median": rounded(float(np.median(shares))),
        "far_changed_mean": rounded(float(shares.mean())),
    }


def nested_coverage(rows: Sequence[CaseRecord], resamples: int) -> dict[str, Any] | None:
    """Of structures that share a click, the share some mask of iteration 1 shows, with its 95% interval.

    Shown means a Dice of at least that of the best mask of the last iteration, for who wants that structure,
    less `NESTED_SLACK`: relative to the best the network can do. best_first, best_last: the mean best Dice at
    either iteration, which says how good that is. None where no click lies in several structures.
    """
    shared = [row for row in rows if row.nested]
    if not shared:
        return None
    pairs = np.array([pair for row in shared for pair in row.nested], dtype=np.float64)
    covered = pairs[:, 0] >= pairs[:, 1] - NESTED_SLACK
    owners = [row.patient for row in shared for _ in row.nested]
    share, first, last = bootstrap_means(np.column_stack([covered, pairs]), owners, resamples)
    return {
        "clicks": len(shared),
        "structures": len(pairs),
        "covered": rounded(share.mean),
        "covered_interval": interval(share),
        "best_first": rounded(first.mean),
        "best_last": rounded(last.mean),
    }


INCLUDED, EXCLUDED = "included", "excluded"


def alignment(records: Sequence[CaseRecord], resamples: int) -> dict[str, Any] | None:
    """Dice with each single rater by iteration, over cases whose target includes them and over the others.

    Returns `{"raters": {NAME: {"included": figures, "excluded": figures}}, "mean": {...}}`, where "mean" is
    over all pairs of a case and a rater, or None where raters have no names. A rater who drew nothing in a
    case is left out of it.
    """
    pairs = [pair for record in records for pair in _rater_pairs(record)]
    if not pairs:
        return None
    names = list(dict.fromkeys(name for name, *_ in pairs))
    return {
        "raters": {name: _by_side([p for p in pairs if p[0] == name], resamples) for name in names},
        "mean": _by_side(pairs, resamples),
    }


_Pair = tuple[str, str, str, list[float]]


def _rater_pairs(record: CaseRecord) -> list[_Pair]:
    """(rater, included or excluded, patient, Dice by iteration) of the raters who drew something."""
    return [
        (
            name,
            INCLUDED if number in record.included else EXCLUDED,
            record.patient,
            [row[number] for row in record.rater_dice],
        )
        for number, name in enumerate(record.raters)
        if record.drew[number]
    ]


def _by_side(pairs: Sequence[_Pair], resamples: int) -> dict[str, Any]:
    sides = {side: [p for p in pairs if p[1] == side] for side in (INCLUDED, EXCLUDED)}
    return {side: _side_figures(held, resamples) for side, held in sides.items() if held}


def _side_figures(pairs: Sequence[_Pair], resamples: int) -> dict[str, Any]:
    """Mean Dice by iteration, and the change from the first to the last with its interval."""
    dice = np.array([row for *_, row in pairs])
    [change] = bootstrap_means(dice[:, -1:] - dice[:, :1], [patient for _, _, patient, _ in pairs], resamples)
    return {
        "cases": len(pairs),
        "dice": by_iteration(dice.mean(axis=0).tolist()),
        "change": rounded(change.mean),
        "change_interval": interval(change),
    }


def failed(dice: np.ndarray, threshold: float) -> np.ndarray:
    """(cases,) bool: which reach `threshold` at no iteration. dice: (cases, iterations)."""
    return np.asarray(iterations_to_reach(dice, threshold) == NOT_REACHED)


def offers_nothing(records: Sequence[CaseRecord]) -> bool:
    """Whether a model answered and never had a candidate to pick."""
    shown = [values for record in records for values in record.candidates]
    return bool(shown) and not any(shown)


def against_no_interaction(
    records: Mapping[str, Sequence[CaseRecord]],
    *,
    user: str,
    thresholds: Sequence[float],
    resamples: int,
) -> list[dict[str, Any]]:
    """Failures of every model over those of the first that offers nothing to pick, on the same cases.

    Per threshold: rate, rival_rate, and their ratio with its 95% interval, None where the rival never fails;
    an end that is not bounded is None.
    Empty where every model offers candidates.
    """
    rival = next((name for name, rows in records.items() if offers_nothing(rows)), None)
    if rival is None:
        return []
    return [
        {
            "model": name,
            "rival": rival,
            "thresholds": {
                f"{x:.2f}": _compared(rows, records[rival], user, x, resamples) for x in thresholds
            },
        }
        for name, rows in records.items()
        if name != rival
    ]


def _compared(
    rows: Sequence[CaseRecord], rival: Sequence[CaseRecord], user: str, threshold: float, resamples: int
) -> dict[str, Any]:
    fails, rivals = (failed(course(side, user).dice, threshold) for side in (rows, rival))
    ratio = bootstrap_ratio(fails, rivals, [row.patient for row in rows], resamples)
    return {
        "rate": rounded(fails.mean()),
        "rival_rate": rounded(rivals.mean()),
        "ratio": None if ratio is None else rounded(ratio.mean),
        "interval": None if ratio is None else [end if np.isfinite(end) else None for end in interval(ratio)],
    }
