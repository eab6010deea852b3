"""Where SPA stands among the systems: what is above it at an iteration, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from SPASegmentLib.research.evaluation.metrics import bootstrap_means
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.systems.table import LATER, Row


class Gap(NamedTuple):
    """SPA minus another system on the same cases, Dice in points: mean, and ends of its 95% interval.

    label: of the other, with a star where its user sees the target, as in the table.
    """

    iteration: int
    label: str
    mean: float
    low: float
    high: float


def gaps(
    rows: Sequence[Row], records: Mapping[str, Sequence[CaseRecord]], resamples: int = 10_000
) -> list[Gap]:
    """The first row minus every other one at iterations 1 and 3, paired, resampled by patient.

    A system with one iteration keeps its Dice. records: by row's name, the same cases in the same order.
    """
    first, *others = rows
    if not others:
        return []
    patients = [record.patient for record in records[first.name]]
    found = []
    for iteration in (1, LATER):
        scores = {row.name: np.array([r.dice[iteration - 1] for r in records[row.name]]) for row in rows}
        columns = np.stack([scores[first.name] - scores[row.name] for row in others], axis=1)
        for row, estimate in zip(others, bootstrap_means(columns, patients, resamples), strict=True):
            points = (round(100 * value, 4) for value in (estimate.mean, estimate.low, estimate.high))
            found.append(Gap(iteration, f"{row.label}{'*' * bool(row.user)}", *points))
    return found


def sentences(label: str, found: Sequence[Gap]) -> str:
    """The gaps in words: one paragraph per iteration, what is above the first row named with its lead."""
    told = []
    for iteration in sorted({gap.iteration for gap in found}):
        at = [gap for gap in found if gap.iteration == iteration]
        above = [_lead(gap) for gap in sorted(at, key=lambda gap: gap.mean) if gap.mean < 0]
        if above:
            told.append(f"At iteration {iteration} {label} is not best; above it: {'; '.join(above)}.")
        else:
            nearest = min(at, key=lambda gap: gap.mean)
            told.append(
                f"At iteration {iteration} {label} is best, {nearest.mean:.2f} points"
                f" ({nearest.low:.2f} to {nearest.high:.2f}) above {nearest.label}."
            )
    return "\n\n".join(told)


def _lead(gap: Gap) -> str:
    return f"{gap.label} by {-gap.mean:.2f} points ({-gap.high:.2f} to {-gap.low:.2f})"
