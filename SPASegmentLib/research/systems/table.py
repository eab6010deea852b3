"""The comparison as a table in the form of the paper's Table 1, and where SPA stands in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from SPASegmentLib.research.evaluation.figure_table import FigureTable, number
from SPASegmentLib.research.evaluation.metrics import bootstrap_means
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.systems.cost import Cost
from SPASegmentLib.research.systems.specs import SYSTEMS

if TYPE_CHECKING:
    from rich.table import Table

LATER = 3
"""The table's later iteration."""


@dataclass(frozen=True)
class Row:
    """One system on one subset; Dice in percent, each as mean, and ends of its 95% interval by patient.

    first, later: of the recommendation at iterations 1 and 3; later is None for systems with one iteration.
    best: of the best of at most four candidates shown at iteration 1. user: what its user does instead of
    picking, or "". seconds_per_click: median.
    """

    name: str
    label: str
    category: str
    user: str
    cases: int
    first: tuple[float, float, float]
    later: tuple[float, float, float] | None
    best: tuple[float, float, float] | None
    ged: float | None
    parameters: int
    macs: int
    steps: int
    seconds: float
    seconds_per_click: float | None


def make_row(name: str, records: Sequence[CaseRecord], cost: Cost, user: str, resamples: int = 10_000) -> Row:
    """One row. records: at least one, each with a target."""
    category = category_of(name)
    patients = [record.patient for record in records]
    shown = [max(r.candidates[0], default=r.dice[0]) if r.candidates else r.dice[0] for r in records]
    columns = np.array([[r.dice[0], r.dice[LATER - 1], best] for r, best in zip(records, shown, strict=True)])
    first, later, best = (
        (round(100 * e.mean, 4), round(100 * e.low, 4), round(100 * e.high, 4))
        for e in bootstrap_means(columns, patients, resamples)
    )
    geds = [record.ged for record in records if record.ged is not None]
    clicks = [record.seconds[0] for record in records if record.seconds]
    once = category in ("Det", "Unc")
    return Row(
        name=name,
        label=label_of(name),
        category=category,
        user=user,
        cases=len(records),
        first=first,
        later=None if once else later,
        best=best if any(r.candidates and r.candidates[0] for r in records) else None,
        ged=round(float(np.mean(geds)), 6) if geds else None,
        parameters=cost.parameters,
        macs=cost.macs,
        steps=cost.steps,
        seconds=cost.seconds,
        seconds_per_click=round(float(np.median(clicks)), 4) if clicks else None,
    )


def category_of(name: str) -> str:
    """Of a system by the paper's table; "Rival" for SPA's own rivals, else "SPA"."""
    from SPASegmentLib.research.systems.registry import RIVALS

    if name in SYSTEMS:
        return SYSTEMS[name].category
    return "Rival" if name in RIVALS else "SPA"


def label_of(name: str) -> str:
    """What a row is called; a checkpoint of SPA is called by its folder."""
    if name in SYSTEMS:
        return SYSTEMS[name].label
    if category_of(name) == "Rival":
        return name
    path = Path(name)
    return f"SPA ({path.resolve().parent.name if path.suffix else name})"


def all_drew(records: Sequence[CaseRecord]) -> list[CaseRecord]:
    """The records of the subset `all4`: every rater drew something."""
    return [record for record in records if record.drew and all(record.drew)]


COLUMNS = (
    "system",
    "category",
    "1-Iter",
    "3-Iter",
    "best of 4",
    "GED",
    "M params",
    "GMACs",
    "steps",
    "train s",
    "s/click",
)

NARROW = ("system", "1-Iter", "3-Iter", "best of 4")
WIDE = 165
"""Characters that all columns need."""


def cells(row: Row) -> list[str]:
    """A row's texts, in the order of `COLUMNS`."""
    return [
        f"{row.label}*" if row.user else row.label,
        row.category,
        _percent(row.first),
        _percent(row.later),
        _percent(row.best),
        number(row.ged, 3),
        f"{row.parameters / 1e6:.2f}",
        f"{row.macs / 1e9:.2f}",
        str(row.steps or "-"),
        f"{row.seconds:.0f}" if row.seconds else "-",
        number(row.seconds_per_click, 3),
    ]


def rich_table(title: str, rows: Sequence[Row], width: int) -> Table:
    """The table for a terminal of so many characters; a narrow one is shown the columns that matter most."""
    shown = [n for n, name in enumerate(COLUMNS) if width >= WIDE or name in NARROW]
    left_out = "" if width >= WIDE else f" {len(COLUMNS) - len(shown)} more columns are in the files."
    texts = [[cells(row)[n] for n in shown] for row in rows]
    return FigureTable(title, [COLUMNS[n] for n in shown], texts, legend(rows) + left_out).shown()


def markdown(title: str, rows: Sequence[Row], standing: str = "") -> str:
    """The same as Markdown. standing: what is said below it."""
    told = FigureTable(title, COLUMNS, [cells(row) for row in rows]).markdown()
    below = f"\n{standing}\n" if standing else ""
    return f"## {title}\n\n{told}\n\n{legend(rows)}\n{below}"


def legend(rows: Sequence[Row]) -> str:
    """What the table's marks mean."""
    users = {row.user: [r.label for r in rows if r.user == row.user] for row in rows if row.user}
    told = "; ".join(f"of {', '.join(labels)}: {user}" for user, labels in users.items())
    stars = f" * the user sees the target ({told})." if users else ""
    return (
        "Dice in % and its 95% interval by patient, which leaves out the chance of the training and of the "
        f"clicks and targets drawn. Best of 4: of the candidates shown at iteration 1.{stars}"
    )


def summary(rows: Mapping[str, Sequence[Row]], about: Mapping[str, Any]) -> dict[str, Any]:
    """All rows by subset, JSON-ready."""
    return {**about, "subsets": {subset: [asdict(row) for row in found] for subset, found in rows.items()}}


def _percent(value: tuple[float, float, float] | None) -> str:
    return "-" if value is None else f"{value[0]:.2f} ({value[1]:.1f}-{value[2]:.1f})"


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
