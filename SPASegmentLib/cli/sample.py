"""`spasegment sample`: a made-up chest CT to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from SPASegmentLib.cli.shared import console


def sample(
    out: Annotated[Path, typer.Argument(metavar="OUT.nrrd", help="The file to write.", show_default=False)],
    seed_value: Annotated[int, typer.Option(min=0, help="Another seed, another patient.")] = 0,
    rotated: Annotated[bool, typer.Option(help="Tilt the patient on the table.")] = False,
) -> None:
    """Write a made-up chest CT and say where its nodules are.

    Example:

    spasegment sample chest.nrrd
    """
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.imaging.sample import make_sample_volume, sample_seeds, write_sample_volume

    if not out.name.lower().endswith(".nrrd"):
        raise InputError(
            f"The sample is written as .nrrd, not as {out.name}; choose a name such as chest.nrrd."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_sample_volume(out, make_sample_volume(seed_value, rotated=rotated))
    screen = console()
    screen.print(f"Wrote {out}. Worth clicking:")
    for place in sample_seeds(seed_value, rotated=rotated):
        r, a, s = place.ras
        screen.print(f"  --seed-ras {r:g} {a:g} {s:g}   {place.name}")
