"""The study by simulated users on a data set: the same plan and records as with people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from SPASegmentLib.errors import InputError
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.research.datasets.case import MultiRaterDataset, read_case
from SPASegmentLib.research.datasets.draws import generator
from SPASegmentLib.research.evaluation.metrics import dice
from SPASegmentLib.research.evaluation.protocol import draw, sample_order
from SPASegmentLib.research.evaluation.runner import progress_bars
from SPASegmentLib.research.study.users import WAYS, Operators, Standards, StudyUser
from SPASegmentLib.study.plan import Assignment, StudyCase, StudyPlan, make_plan, read_plan, write_plan
from SPASegmentLib.study.records import StudyRecord, UserRecords, records_folder
from SPASegmentLib.study.run import mask_digest

PLAN = "plan.json"
EDITING = "editing"


@dataclass(frozen=True)
class SimulatedWay:
    """A condition of a simulation. way: of `users.WAYS`. factory: makes what answers; None for drawing."""

    way: str
    factory: Callable[[], Engine] | None = None


@dataclass(frozen=True)
class SimulationOptions:
    """How to simulate.

    users: how many. limit: images. seed: of the plan, targets, clicks and errors. wanted: Dice with which
    the most lenient and the strictest user are satisfied, the others between. error: see `Standards`.
    """

    users: int = 5
    limit: int = 30
    seed: int = 0
    wanted: tuple[float, float] = (0.85, 0.95)
    error: float = 0.02
    times: Operators = field(default_factory=Operators)

    def standards(self, number: int) -> Standards:
        """Of user `number`, from 0."""
        low, high = self.wanted
        share = number / (self.users - 1) if self.users > 1 else 0.5
        return Standards(round(low + share * (high - low), 4), self.error)


def simulate(
    ways: Mapping[str, SimulatedWay],
    dataset: MultiRaterDataset,
    out: Path,
    options: SimulationOptions,
    console: Console | None = None,
) -> Path:
    """Every user segments every image in every way; a run that was stopped goes on. Returns the plan's path.

    ways: by the condition's name. out: folder of the plan and its records. The same arguments give the same
    bytes on one machine. Raises InputError where `out` holds another simulation or the data set has no image.
    """
    ids = dataset.case_ids()
    order = sample_order(dataset.name, ids, options.seed, "limit")[: options.limit]
    if not order:
        raise InputError("There is no image in this split of the data set; choose another.")
    numbers = {f"C{place:03d}": index for place, index in enumerate(order, 1)}
    cases = [_case(code, dataset, index, options.seed) for code, index in numbers.items()]
    plan = make_plan(
        cases, list(ways), options.users, seed=options.seed, title=f"Simulated users on {dataset.name}"
    )
    path = _written(out, plan)
    engines: dict[Callable[[], Engine], Engine] = {}
    with progress_bars(console) as progress:
        bar = progress.add_task("simulated images", total=sum(map(len, plan.users.values())))
        for number, (user, assignments) in enumerate(plan.users.items()):
            records = UserRecords(records_folder(path), plan, user)
            known = {record.position for record in records.records}
            for position, one in enumerate(assignments, 1):
                if position not in known:
                    way = ways[one.condition]
                    if way.factory is not None and way.factory not in engines:
                        engines[way.factory] = way.factory()
                    engine = None if way.factory is None else engines[way.factory]
                    index = numbers[one.case]
                    records.append(_record(one, position, user, number, way, engine, dataset, index, options))
                progress.advance(bar)
    return path


def _case(code: str, dataset: MultiRaterDataset, index: int, seed: int) -> StudyCase:
    case = read_case(dataset, index, seed)
    return StudyCase(id=code, file=f"{dataset.name}: {case.case_id}", group=case.patient)


def _written(out: Path, plan: StudyPlan) -> Path:
    path = out / PLAN
    if path.exists():
        if read_plan(path) != plan:
            raise InputError(f"{out} holds another study; name another folder with --out.")
        return path
    out.mkdir(parents=True, exist_ok=True)
    write_plan(path, plan)
    return path


def _record(
    one: Assignment,
    position: int,
    user: str,
    number: int,
    way: SimulatedWay,
    engine: Engine | None,
    dataset: MultiRaterDataset,
    index: int,
    options: SimulationOptions,
) -> StudyRecord:
    case = read_case(dataset, index, options.seed)
    wanted = draw(case, int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0]))
    assert wanted is not None  # the protocol's subset is never empty
    rng = generator(dataset.name, case.case_id, options.seed, f"{user} {one.condition}")
    simulated = StudyUser(case, wanted, options.standards(number), rng, options.times, options.seed)
    try:
        effort = WAYS[way.way](simulated, engine)
    except InputError:
        effort = simulated.refused()
    return StudyRecord(
        position=position,
        user=user,
        case=one.case,
        condition=one.condition,
        seconds=round(effort.seconds(options.times), 3),
        keys=effort.keys,
        clicks=effort.clicks,
        picks=effort.picks,
        points=effort.points,
        keeps=effort.keeps,
        iterations=effort.iterations,
        gave_up=not effort.satisfied,
        mask_hash=mask_digest(effort.mask),
        model="" if engine is None else f"{engine.model.name} {engine.model.hash}",
        dice=round(dice(effort.mask, wanted.target), 6),
        looks=effort.looks,
        by_hand=round(effort.drawing, 3),
    )
