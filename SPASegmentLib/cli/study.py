"""`spasegment study`: plan a study of how people segment, simulate it, and report it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from SPASegmentLib.cli.shared import console, plain_table

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
    split = "split"


class PlanCondition(str, Enum):
    """What people may be asked to do."""

    picks = "picks"
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
