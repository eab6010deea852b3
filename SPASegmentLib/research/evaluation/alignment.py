"""Whether picks bring the mask to the raters in the target and away from the others (paper Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from SPASegmentLib.research.evaluation.metrics import bootstrap_means
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.results import by_iteration, interval, rounded

INCLUDED, EXCLUDED = "included", "excluded"


def alignment(records: Sequence[CaseRecord], resamples: int) -> dict[str, Any] | None:
    """Dice with each single rater by iteration, over cases whose target includes them and over the others.

    Returns `{"raters": {NAME: {"included": figures, "excluded": figures}}, "mean": {...}}`, where "mean" is
    over all pairs of a case and a rater, or None where raters have no names. A rater who drew nothing in a
    case is left out of it.
    """
    pairs = [pair for record in records for pair in _pairs(record)]
    if not pairs:
        return None
    names = list(dict.fromkeys(name for name, *_ in pairs))
    return {
        "raters": {name: _by_side([p for p in pairs if p[0] == name], resamples) for name in names},
        "mean": _by_side(pairs, resamples),
    }


_Pair = tuple[str, str, str, list[float]]


def _pairs(record: CaseRecord) -> list[_Pair]:
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
    return {side: _figures(held, resamples) for side, held in sides.items() if held}


def _figures(pairs: Sequence[_Pair], resamples: int) -> dict[str, Any]:
    """Mean Dice by iteration, and the change from the first to the last with its interval."""
    dice = np.array([row for *_, row in pairs])
    [change] = bootstrap_means(dice[:, -1:] - dice[:, :1], [patient for _, _, patient, _ in pairs], resamples)
    return {
        "cases": len(pairs),
        "dice": by_iteration(dice.mean(axis=0).tolist()),
        "change": rounded(change.mean),
        "change_interval": interval(change),
    }
