"""`spasegment study`: plan a study of how people segment, simulate it, and report it."""

from __future__ import annotations

import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SPASegmentLib.cli.shared import Device, SliceSubset, Split, console, plain_table
from SPASegmentLib.inference.config import DEFAULT_MODEL

if TYPE_CHECKING:
    from SPASegmentLib.research.study.simulate import SimulatedWay

app = typer.Typer(
    name="study",
    help="Compare ways to segment with people: a plan, its run in `spasegment view --study`, the report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Seed = Annotated[int, typer.Option(min=0, help="Of all orders.")]


class PlanDesign(str, Enum):
    """Who segments which image how."""

    crossed = "crossed"
    once = "split"


class PlanCondition(str, Enum):
    """What people may be asked to do."""

    picks = "picks"
    both = "both"
    clicks = "clicks"
    editing = "editing"


@app.command(no_args_is_help=True)
def plan(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The plan, a JSON file.")],
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="VOLUME|DICOM_DIR", help="The images.", show_default=False),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Instead of images a table of them: file, and any of id, r, a, s (a point of the object in "
            "mm), structure, reference (a mask), group (the same for images of one patient).",
        ),
    ] = None,
    users: Annotated[int, typer.Option(min=1, max=99, metavar="N", help="How many take part.")] = 6,
    condition: Annotated[
        list[PlanCondition] | None,
        typer.Option(help="How images are segmented; may be repeated. Default: picks and clicks."),
    ] = None,
    design: Annotated[
        PlanDesign,
        typer.Option(
            help="crossed: every image under every condition, a block each; split: every image once."
        ),
    ] = PlanDesign.crossed,
    practice: Annotated[
        int, typer.Option(min=0, metavar="N", help="So many first images are for practice in each block.")
    ] = 0,
    title: Annotated[str, typer.Option(help="Of the study.")] = "",
    seed: Seed = 0,
) -> None:
    """Write who segments which image how, in orders that are balanced over users.

    Users are codes, U01 and so on; who is who is yours to keep elsewhere. Records hold the code, the case's
    id and numbers: no names, no dates, no paths.

    Example:

    spasegment study plan chest-1.nrrd chest-2.nrrd --users 6 --practice 1 --out study.json
    """
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.study.plan import StudyCase, make_plan, read_cases, relative_to_plan, write_plan
    from SPASegmentLib.study.records import records_folder

    if (cases is None) == (not images):
        raise typer.BadParameter("give the images, or --cases CSV with a table of them.")
    if records_folder(out).exists():
        raise InputError(f"There are records of the plan {out}; name another file for a new plan.")
    if cases is not None:
        found = read_cases(cases, out)
    else:
        missing = next((path for path in images or () if not path.exists()), None)
        if missing is not None:
            raise InputError(f"There is no file or folder {missing}; check the path.")
        found = [
            StudyCase(id=f"C{number:02d}", file=relative_to_plan(out, path))
            for number, path in enumerate(images or (), 1)
        ]
    made = make_plan(
        found,
        [one.value for one in dict.fromkeys(condition or (PlanCondition.picks, PlanCondition.clicks))],
        users,
        seed=seed,
        design=design.value,
        practice=practice,
        title=title,
    )
    write_plan(out, made)
    table = plain_table(("user", "images", "conditions in order"), right=("images",))
    for user, order in made.users.items():
        table.add_row(user, str(len(order)), ", ".join(dict.fromkeys(one.condition for one in order)))
    console(tables=True).print(table)
    console().print(f"Plan: {out}; run it with: spasegment view --study {out} --user U01")


@app.command(no_args_is_help=True)
def simulate(
    dataset: Annotated[str, typer.Option(metavar="NAME", help="Name of the data set, as in `evaluate`.")],
    path: Annotated[list[Path], typer.Option(metavar="PATH", help="Its zips and folders; may be repeated.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for plan, records and report.")],
    picks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="M",
            help="A model or rival whose alternatives are picked; may be repeated.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    both: Annotated[
        list[str] | None,
        typer.Option(
            metavar="M",
            help="A model whose alternatives are picked, or corrected by clicks where none helps.",
        ),
    ] = None,
    clicks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="M",
            help="A model or rival corrected by clicks; may be repeated.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    editing: Annotated[bool, typer.Option(help="Outlines drawn by hand, too.")] = True,
    users: Annotated[int, typer.Option(min=1, max=99, metavar="N", help="How many take part.")] = 5,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many images.")] = 30,
    split: Annotated[Split, typer.Option(help="Which patients.")] = Split.test,
    subset: Annotated[SliceSubset, typer.Option(help="Slices any rater drew on, or all four.")] = (
        SliceSubset.all4
    ),
    satisfied: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Dice that satisfies the most lenient and the strictest user."),
    ] = (0.85, 0.95),
    look: Annotated[float, typer.Option(min=0, metavar="S", help="Seconds to read one mask.")] = 0.4,
    seed: Annotated[int, typer.Option(min=0, help="Of orders, targets, clicks and what users misjudge.")] = 0,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = Device.auto,
) -> None:
    """Run the study with simulated users, whose seconds are of the keystroke-level model, and report it.

    No person takes part, and the report says so. A run that is stopped goes on with the same command; the
    same command gives the same records on one machine.

    Example:

    spasegment study simulate --dataset lidc --path lidc-test-0.zip --picks general --picks level-set-general
    --out runs/study
    """
    from SPASegmentLib.errors import Cancelled
    from SPASegmentLib.research.datasets.registry import open_dataset
    from SPASegmentLib.research.study.simulate import SimulationOptions
    from SPASegmentLib.research.study.simulate import simulate as run
    from SPASegmentLib.research.study.users import Operators

    if not 0 < satisfied[0] <= satisfied[1] < 1:
        raise typer.BadParameter("--satisfied takes two values of Dice between 0 and 1, the lower first.")
    ways = _ways(
        {"picks": picks or [DEFAULT_MODEL], "both": both or [], "clicks": clicks or [DEFAULT_MODEL]},
        editing,
        device.value,
    )
    cases = open_dataset(dataset, path, split=split.value, subset=subset.value)
    options = SimulationOptions(users, limit, seed, satisfied, times=Operators(look=look))
    try:
        plan_path = run(ways, cases, out, options, console(tables=True))
    except KeyboardInterrupt:
        raise Cancelled("Stopped; the same command goes on from here.") from None
    _report(plan_path, out, seed)


def _ways(asked: dict[str, list[str]], editing: bool, device: str) -> dict[str, SimulatedWay]:
    """The conditions of a simulation by name, picks first. asked: models by what users do with them."""
    from SPASegmentLib.cli.evaluate import engine_factories
    from SPASegmentLib.research.study.simulate import EDITING, SimulatedWay

    if any("all" in models for models in asked.values()):
        raise typer.BadParameter("name the models one by one; `all` is for evaluate.")
    names = list(dict.fromkeys(model for models in asked.values() for model in models))
    made = dict(zip(names, engine_factories(names, device).items(), strict=True))
    ways = {
        f"{way}-{made[model][0]}": SimulatedWay(way, made[model][1])
        for way, models in asked.items()
        for model in models
    }
    return {**ways, EDITING: SimulatedWay(EDITING)} if editing else ways


@app.command(no_args_is_help=True)
def report(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan of the study.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for study.md, results.json and plots.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
) -> None:
    """Analyse what was recorded so far: tables as the paper's, intervals by bootstrap, learning curves.

    The first condition of the plan is compared with each of the others. Users and patients are drawn anew,
    both at once, so that intervals hold for others, too.

    Example:

    spasegment study report study.json --out results
    """
    _report(plan, out, seed)


def _report(plan_path: Path, out: Path, seed: int) -> None:
    from SPASegmentLib.research.study.report import analyse, with_dice, write_report
    from SPASegmentLib.research.study.tables import show
    from SPASegmentLib.study.plan import read_plan
    from SPASegmentLib.study.records import read_records, records_folder

    found, folder = read_plan(plan_path), records_folder(plan_path)
    records = with_dice(plan_path, found, read_records(folder, found), folder)
    results = analyse(found, records, seed=seed)
    write_report(results, out, " ".join(["spasegment", *map(shlex.quote, sys.argv[1:])]))
    show(results, console(tables=True))
    console().print(f"Report: {out / 'study.md'}")
