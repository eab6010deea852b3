"""In which order the users of a transfer work through their cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset, SetsOfCases, read_case, set_of
from SPASegmentLib.research.evaluation.protocol import STYLES, TargetRule, sample_order

STRUCTURE = "structure:"
"""Begins the name of a user who segments one structure of a set of structures."""


@dataclass(frozen=True)
class TransferOptions:
    """How a user's cases are put in sequence.

    users: TargetRule texts, or None for every named rater, and where raters have no names for the styles.
    warm: cases after which the profile is judged. length: about how many cases a sequence has.
    apart: whether the first `warm` cases alone teach, and none of their patients' are judged.
    """

    users: tuple[str, ...] | None = None
    warm: int = 10
    length: int = 25
    apart: bool = False


@dataclass(frozen=True)
class Plan:
    """A sequence of cases by index. teaching: so many at the start teach; later ones too, unless frozen."""

    indices: tuple[int, ...]
    teaching: int
    frozen: bool = False


class Joined(MultiRaterDataset):
    """Two data sets as one, the second one's cases after the first's."""

    def __init__(self, first: MultiRaterDataset, second: MultiRaterDataset | None) -> None:
        self.name = first.name
        self.sets = first.sets if isinstance(first, SetsOfCases) else {}
        self._parts = [first] if second is None else [first, second]

    def __getitem__(self, index: int) -> Case:
        """Read one case."""
        return self.case(index, 0)

    def case(self, index: int, protocol_seed: int) -> Case:
        """Read one case; which structure it is of may depend on the seed."""
        first = self._parts[0]
        if index < len(first):
            return read_case(first, index, protocol_seed)
        return read_case(self._parts[1], index - len(first), protocol_seed)

    def case_ids(self) -> list[str]:
        """All ids, the first data set's first."""
        return [case_id for part in self._parts for case_id in part.case_ids()]


def default_users(dataset: MultiRaterDataset) -> tuple[str, ...]:
    """Every rater who is a person, else the simulated styles."""
    return tuple(f"raters:{name}" for name in dataset[0].raters) or STYLES


def plan_by_user(
    dataset: MultiRaterDataset,
    chosen: Sequence[int],
    options: TransferOptions,
    seed: int,
    learn_from: MultiRaterDataset | None = None,
) -> dict[str, list[Plan]]:
    """Every user with their sequences (`plan_sequences`).

    Of several sets that do not share their raters, a user is who segments one of the structures, and works
    through the cases of that alone; structures of too few cases are left out. Raises as `plan_sequences`.
    """
    if options.users is None and isinstance(dataset, SetsOfCases) and not getattr(dataset, "raters", ()):
        return _plan_by_structure(dataset, chosen, options, seed)
    plans = plan_sequences(dataset, chosen, options, seed, learn_from)
    return dict.fromkeys(options.users or default_users(dataset), plans)


def rule_of(user: str) -> TargetRule:
    """Which segmentation the user of a transfer wants. Raises DatasetError for none."""
    return TargetRule() if user.startswith(STRUCTURE) else TargetRule.parse(user)


def _plan_by_structure(
    dataset: MultiRaterDataset, chosen: Sequence[int], options: TransferOptions, seed: int
) -> dict[str, list[Plan]]:
    ids = dataset.case_ids()
    groups: dict[str, list[int]] = {}
    for index in chosen:
        name = read_case(dataset, index, seed).structure.partition("#")[0]
        groups.setdefault(f"{STRUCTURE}{set_of(ids[index])}/{name}", []).append(index)
    plans = {}
    for user, cases in sorted(groups.items()):
        if len(set(patients_of(dataset, cases))) > options.warm:
            plans[user] = plan_sequences(dataset, cases, options, seed)
    if not plans:
        raise _too_few(options)
    return plans


def plan_sequences(
    dataset: MultiRaterDataset,
    chosen: Sequence[int],
    options: TransferOptions,
    seed: int,
    learn_from: MultiRaterDataset | None = None,
) -> list[Plan]:
    """Put cases in sequences that hold at most one case of a patient, in an order of the seed alone.

    With `learn_from` there is one sequence: `warm` cases of it (indices behind the data set's) that teach,
    then all chosen ones, that do not. Apart, `warm` of the chosen cases teach, and those of other patients
    follow. Raises SPASegmentError where there are too few cases to judge.
    """
    if learn_from is not None:
        teachers = next(_rounds(learn_from, range(len(learn_from)), seed))[: options.warm]
        if len(teachers) < options.warm:
            raise _too_few(options)
        return [Plan((*(len(dataset) + i for i in teachers), *chosen), len(teachers), frozen=True)]
    if options.apart:
        teachers = next(_rounds(dataset, chosen, seed))[: options.warm]
        patients = dict(zip(chosen, patients_of(dataset, chosen), strict=True))
        taught = {patients[index] for index in teachers}
        judged = [index for index in chosen if patients[index] not in taught]
        if len(teachers) < options.warm or not judged:
            raise _too_few(options)
        return [Plan((*teachers, *judged), len(teachers), frozen=True)]
    plans: list[Plan] = []
    for cases in _rounds(dataset, chosen, seed):
        parts = np.array_split(np.array(cases), max(1, round(len(cases) / options.length)))
        plans += [Plan(tuple(map(int, part)), options.warm) for part in parts if len(part) > options.warm]
    if not plans:
        raise _too_few(options)
    return plans


def _rounds(dataset: MultiRaterDataset, chosen: Sequence[int], seed: int) -> Iterator[list[int]]:
    """Random order; the first case of every patient, then the second of those who have one, and so on."""
    patients, ids = patients_of(dataset, chosen), dataset.case_ids()
    waiting: dict[str, list[int]] = {}
    for at in sample_order(dataset.name, [ids[index] for index in chosen], seed, "sequence"):
        waiting.setdefault(patients[at], []).append(chosen[at])
    for number in range(max(map(len, waiting.values()), default=0)):
        yield [cases[number] for cases in waiting.values() if len(cases) > number]


def patients_of(dataset: MultiRaterDataset, chosen: Sequence[int]) -> list[str]:
    """The patient of each chosen case, without reading images where the data set knows them."""
    listed = getattr(dataset, "patients", None)
    if callable(listed):
        every = listed()
        return [every[index] for index in chosen]
    return [dataset[index].patient for index in chosen]


def _too_few(options: TransferOptions) -> SPASegmentError:
    return SPASegmentError(
        f"A profile is judged after {options.warm} cases of different patients, and there are not that many; "
        "give more cases or judge it earlier."
    )
