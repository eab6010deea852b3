"""Cases that stay below a Dice, beside those of a model one cannot interact with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from SPASegmentLib.research.evaluation.metrics import NOT_REACHED, bootstrap_ratio, iterations_to_reach
from SPASegmentLib.research.evaluation.records import CaseRecord
from SPASegmentLib.research.evaluation.results import course, interval, rounded


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
