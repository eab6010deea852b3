"""Options and words the commands share."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

if TYPE_CHECKING:
    from rich.console import Console


class Device(str, Enum):
    """Where the network runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Orientation(str, Enum):
    """Which slices are cut."""

    axial = "axial"
    sagittal = "sagittal"
    coronal = "coronal"


Triple = tuple[float, float, float]
SeedRas = Annotated[
    Triple | None, typer.Option("--seed-ras", metavar="R A S", help="The seed in mm, as Slicer shows it.")
]
SeedIjk = Annotated[
    Triple | None,
    typer.Option("--seed-ijk", metavar="I J K", help="The seed in voxels, counted from 0."),
]


class SeedOption(TypedDict):
    """A seed as `slicing.cut_slice` takes it: one of the two, the other None."""

    seed_ras: Triple | None
    seed_ijk: Triple | None


def one_seed(seed_ras: Triple | None, seed_ijk: Triple | None) -> SeedOption:
    """The seed that was given. Raises BadParameter unless it is exactly one."""
    if (seed_ras is None) == (seed_ijk is None):
        raise typer.BadParameter("give the seed either as --seed-ras R A S or as --seed-ijk I J K.")
    return SeedOption(seed_ras=seed_ras, seed_ijk=seed_ijk)


class Split(str, Enum):
    """Which patients."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"
    held_out = "held-out"


class SliceSubset(str, Enum):
    """Which slices: drawn by any rater, or by all of them."""

    any = "any"
    all4 = "all4"


def console(*, tables: bool = False) -> Console:
    """Standard output. tables: fit what is printed to the width; else lines are never broken."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=not tables)


def warn(sentences: Iterable[str]) -> None:
    """Show each different warning once, on standard error."""
    for sentence in dict.fromkeys(sentences):
        typer.secho(f"Warning: {sentence}", err=True, fg=typer.colors.YELLOW)
