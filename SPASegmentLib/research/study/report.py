"""What the records of a study show: seconds, iterations, images in the same time, and who learns how fast."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.research.evaluation.metrics import Estimate, dice
from SPASegmentLib.research.evaluation.records import write_whole
from SPASegmentLib.research.study.users import Operators
from SPASegmentLib.study.plan import StudyPlan, located
from SPASegmentLib.study.records import MASKS, StudyRecord

RESAMPLES = 10_000
FIGURES = ("seconds", "iterations", "picks", "points", "keys", "clicks", "dice", "gave_up")
"""Of a record; means over a condition's images."""


@dataclass(frozen=True)
class Draws:
    """Resampled users and patients. users: (B, U), patients: (B, P): how often each was drawn."""

    users: np.ndarray
    patients: np.ndarray

    def sums(self, table: np.ndarray) -> np.ndarray:
        """(B,) sums over records of drawn users and patients. table: (U, P), the sum of each pair."""
        return np.asarray(((self.users @ table) * self.patients).sum(axis=1))


class Cells:
    """Records of a study by user and patient."""

    def __init__(self, plan: StudyPlan, records: Sequence[StudyRecord], seed: int = 0) -> None:
        """seed: of the resampling. Users and patients without a record are left out."""
        cluster = {case.id: case.cluster for case in plan.cases}
        self.records = list(records)
        self._users = {user: n for n, user in enumerate(sorted({r.user for r in records}))}
        self._patients = {p: n for n, p in enumerate(sorted({cluster[r.case] for r in records}))}
        self._cluster = cluster
        rng = np.random.default_rng(seed)

        def drawn(count: int) -> np.ndarray:
            return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)

        self.draws = Draws(drawn(len(self._users)), drawn(len(self._patients)))

    @property
    def patients(self) -> int:
        """How many."""
        return len(self._patients)

    def table(self, records: Sequence[StudyRecord], values: Sequence[float] | np.ndarray) -> np.ndarray:
        """(U, P) sums of a value of each record."""
        table = np.zeros((len(self._users), len(self._patients)))
        at = [(self._users[r.user], self._patients[self._cluster[r.case]]) for r in records]
        np.add.at(table, tuple(np.array(at).T), np.asarray(values, np.float64))
        return table

    def means(self, records: Sequence[StudyRecord], values: Sequence[float]) -> tuple[float, np.ndarray]:
        """The mean and (B,) means of resamples; a resample without any of these records has NaN."""
        sums = self.draws.sums(self.table(records, values))
        counts = self.draws.sums(self.table(records, np.ones(len(records))))
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.mean(values)), sums / counts


def estimate(value: float, resampled: np.ndarray) -> Estimate:
    """With the 95% interval of the resamples."""
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def analyse(plan: StudyPlan, records: Sequence[StudyRecord], *, seed: int = 0) -> dict[str, Any]:
    """Figures of a study, practice left out; intervals by drawing users and patients anew, both at once.

    The first condition of the plan is compared with each of the others. seed: of the resampling. Raises
    InputError where there is nothing to compare.
    """
    kept = [record for record in records if not record.practice]
    by_condition = {name: [r for r in kept if r.condition == name] for name in plan.conditions}
    by_condition = {name: found for name, found in by_condition.items() if found}
    if not by_condition:
        raise InputError("Nothing but practice is recorded yet; run the study first.")
    cells = Cells(plan, kept, seed)
    first, *others = by_condition
    return {
        "title": plan.title,
        "plan": plan.digest,
        "seed": plan.seed,
        "design": plan.design,
        "simulated": all(record.looks is not None for record in kept),
        "users": len({record.user for record in kept}),
        "patients": cells.patients,
        "planned": sum(not one.practice for order in plan.users.values() for one in order),
        "recorded": len(kept),
        "restarted": sum(record.attempts > 1 for record in kept),
        "conditions": {name: _figures(cells, found) for name, found in by_condition.items()},
        "by_user": {
            user: {
                name: _of_user([r for r in found if r.user == user]) for name, found in by_condition.items()
            }
            for user in sorted({record.user for record in kept})
        },
        "compared": {other: _compared(cells, by_condition[first], by_condition[other]) for other in others},
        "learning": {name: _learning(cells, found) for name, found in by_condition.items()},
    }


def _values(records: Sequence[StudyRecord], figure: str) -> list[float] | None:
    """A figure of every record; None where some lack it."""
    values = [getattr(record, figure) for record in records]
    return None if any(value is None for value in values) else [float(value) for value in values]


def _rounded(found: Estimate) -> list[float]:
    return [round(value, 6) for value in (found.mean, found.low, found.high)]


def _figures(cells: Cells, records: Sequence[StudyRecord]) -> dict[str, Any]:
    found: dict[str, Any] = {"images": len(records)}
    for figure in FIGURES:
        values = _values(records, figure)
        found[figure] = None if values is None else _rounded(estimate(*cells.means(records, values)))
    looks = _values(records, "looks")
    found["looks"] = None if looks is None else round(float(np.mean(looks)), 6)
    return found


def _of_user(records: Sequence[StudyRecord]) -> dict[str, float] | None:
    if not records:
        return None
    return {
        "images": len(records),
        "seconds": round(float(np.mean([r.seconds for r in records])), 6),
        "iterations": round(float(np.mean([r.iterations for r in records])), 6),
    }


def _compared(cells: Cells, ours: Sequence[StudyRecord], theirs: Sequence[StudyRecord]) -> dict[str, Any]:
    """more_images: in the same time, as a share of theirs; fewer_iterations: as a share of theirs.

    look: seconds to read a mask at which a simulated user would need as long for both, None where there are
    no such.
    """
    found: dict[str, Any] = {"fewer_iterations": None, "look": None}
    (mean, ours_drawn), (other, theirs_drawn) = (
        cells.means(rows, [r.seconds for r in rows]) for rows in (ours, theirs)
    )
    found["more_images"] = _rounded(estimate(other / mean - 1, theirs_drawn / ours_drawn - 1))
    found["seconds_less"] = _rounded(estimate(other - mean, theirs_drawn - ours_drawn))
    (count, drawn), (other_count, other_drawn) = (
        cells.means(rows, [float(r.iterations) for r in rows]) for rows in (ours, theirs)
    )
    if other_count:
        with np.errstate(invalid="ignore", divide="ignore"):
            found["fewer_iterations"] = _rounded(estimate(1 - count / other_count, 1 - drawn / other_drawn))
    looks = [_values(rows, "looks") for rows in (ours, theirs)]
    if looks[0] is not None and looks[1] is not None:
        more = float(np.mean(looks[0]) - np.mean(looks[1]))
        equal = Operators().look + (other - mean) / more if more > 0 else -1.0
        found["look"] = round(equal, 6) if equal >= 0 else None
    return found


def _learning(cells: Cells, records: Sequence[StudyRecord]) -> dict[str, Any]:
    """How seconds change along a user's images of a condition.

    seconds: by place in the block, the mean over users. change: of the seconds from one image to the next, as
    a share, fitted to the logarithm of the seconds, with several users within each image, so that hard ones
    do not count.
    """
    place = places(records)
    by_place = [[r.seconds for r in records if place[r.user, r.position] == n] for n in _range(place)]
    several = len({record.user for record in records}) > 1
    x, y = (
        _without_means(values, [r.case if several else "" for r in records])
        for values in (
            [float(place[r.user, r.position]) for r in records],
            [float(np.log(max(r.seconds, 0.1))) for r in records],
        )
    )
    xy, xx = cells.table(records, x * y), cells.table(records, x * x)
    change = None
    if xx.sum():
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = cells.draws.sums(xy) / cells.draws.sums(xx)
        change = _rounded(estimate(float(np.expm1(xy.sum() / xx.sum())), np.expm1(drawn)))
    return {"seconds": [round(float(np.mean(values)), 6) for values in by_place], "change": change}


def places(records: Sequence[StudyRecord]) -> dict[tuple[str, int], int]:
    """By user and position: the place among the user's images of the same condition, from 1."""
    found = {}
    ordered = sorted(records, key=lambda r: (r.user, r.condition, r.position))
    for _, rows in groupby(ordered, key=lambda r: (r.user, r.condition)):
        found.update({(row.user, row.position): n for n, row in enumerate(rows, 1)})
    return found


def _range(place: Mapping[tuple[str, int], int]) -> range:
    return range(1, max(place.values()) + 1)


def _without_means(values: Sequence[float], groups: Sequence[str]) -> np.ndarray:
    """Values less the mean of their group."""
    _, owner = np.unique(np.asarray(groups), return_inverse=True)
    means = np.bincount(owner, values) / np.bincount(owner)
    return np.asarray(values) - means[owner]


def with_dice(
    plan_path: Path, plan: StudyPlan, records: Sequence[StudyRecord], folder: Path
) -> list[StudyRecord]:
    """Records with the Dice of their masks, where the plan has a reference of the image.

    folder: of the records. Raises InputError where a mask or a reference cannot be read or does not fit.
    """
    found = []
    for record in records:
        reference = plan.case(record.case).reference
        if record.dice is None and record.mask is not None and reference is not None:
            mask = read_volume(folder / MASKS / record.mask).array > 0
            wanted = read_volume(located(plan_path, reference)).array > 0
            if mask.shape != wanted.shape:
                raise InputError(f"The reference {reference} is not on the voxels of its image.")
            record = record.model_copy(update={"dice": dice(mask, wanted)})
        found.append(record)
    return found


def write_report(results: Mapping[str, Any], out: Path, command: str = "") -> None:
    """results.json, study.md and two plots. Raises SPASegmentError where they cannot be written."""
    from SPASegmentLib.research.study import plots
    from SPASegmentLib.research.study.tables import page

    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    plots.by_condition(results, out / "conditions.png")
    plots.learning_curve(results, out / "learning.png")
    write_whole(out / "study.md", page(results, command))
