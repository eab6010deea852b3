"""Which part of a file or folder is wanted, where it holds more than one volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from SPASegmentLib.errors import InputError

_LISTED = 12

Chooser = Callable[[str, Sequence[str]], int]
"""Asks a person: what is to be chosen, and the choices in words; the index of the one chosen."""


@dataclass(frozen=True)
class Wanted:
    """What is read where there is a choice.

    series: a SeriesInstanceUID, or the number of a series in the list that is shown, from 1.
    time: the number of a phase or time point, from 1. resample: whether tilted, sheared or unevenly spaced
    slices are resampled to a rectangular grid; else they are refused. choose: asks where nothing was said.
    """

    series: str | None = None
    time: int | None = None
    resample: bool = False
    choose: Chooser | None = None


ANY = Wanted()
"""Nothing chosen: what needs a choice is refused in a sentence that lists the choices."""


def choose_time(where: object, labels: Sequence[str], wanted: Wanted) -> int:
    """Index of the wanted one of several images of one place. Raises InputError where none was chosen."""
    if wanted.time is not None:
        if not 1 <= wanted.time <= len(labels):
            raise InputError(f"{where} has the time points 1 to {len(labels)}, not {wanted.time}.")
        return wanted.time - 1
    if wanted.choose is not None:
        return wanted.choose(f"{where} has {len(labels)} phases or time points of one place", labels)
    raise InputError(
        f"{where} has {len(labels)} phases or time points of one place; choose one with --time: "
        f"{listed(labels)}."
    )


def choose_series(where: object, labels: Sequence[str], uids: Sequence[str], wanted: Wanted) -> int | None:
    """Index of the wanted series, None where nothing was said and nobody can be asked."""
    if wanted.series is not None:
        if wanted.series in uids:
            return uids.index(wanted.series)
        if wanted.series.isdigit() and 1 <= int(wanted.series) <= len(labels):
            return int(wanted.series) - 1
        raise InputError(f"{where} has no series {wanted.series}; there are: {listed(labels)}.")
    if wanted.choose is not None and len(labels) > 1:
        return wanted.choose(f"{where} holds {len(labels)} series", labels)
    return None


def listed(labels: Sequence[str]) -> str:
    """ "1 = first, 2 = second", shortened where there are many."""
    shown = [f"{number} = {label}" for number, label in enumerate(labels[:_LISTED], start=1)]
    more = len(labels) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
