"""The cases whose first drawn target was not empty: a sub-row of the same run, for comparison.

The protocol redraws an empty target. Where a case is dropped instead, there are fewer cases, and easier
ones: raters who drew nothing are in their targets less often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from SPASegmentLib.research.evaluation.records import CaseRecord

WORDS = "first draw not empty"


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
