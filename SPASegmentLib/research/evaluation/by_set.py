"""Figures by set and, over the sets of a part, the mean of their means (macro)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from SPASegmentLib.research.datasets.case import set_of
from SPASegmentLib.research.evaluation.metrics import Estimate, bootstrap_macro_means, bootstrap_means
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
            "nested": nested_coverage(every),
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
    found = [row.sighted[user] for row in rows if user in row.sighted]
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


def nested_coverage(rows: Sequence[CaseRecord]) -> dict[str, Any] | None:
    """Of structures that share a click, the share some mask of iteration 1 shows.

    Shown means a Dice of at least that of the best mask of the last iteration, for who wants that structure,
    less `NESTED_SLACK`. None where no click lies in several structures.
    """
    shared = [row.nested for row in rows if row.nested]
    if not shared:
        return None
    pairs = np.array([pair for nested in shared for pair in nested], dtype=np.float64)
    covered = pairs[:, 0] >= pairs[:, 1] - NESTED_SLACK
    return {"clicks": len(shared), "structures": len(pairs), "covered": rounded(float(covered.mean()))}
