"""How well raters agree among themselves: what a model's Dice is to be read against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from SPASegmentLib.research.evaluation.metrics import bootstrap_means, dice
from SPASegmentLib.research.evaluation.records import CaseRecord

DIGITS = 6


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
        "others": round(others.mean, DIGITS),
        "others_interval": [round(others.low, DIGITS), round(others.high, DIGITS)],
        "model": {str(i): round(estimate.mean, DIGITS) for i, estimate in enumerate(model, 1)},
    }
