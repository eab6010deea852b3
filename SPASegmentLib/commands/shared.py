"""Options and words the commands share."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

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


class Split(str, Enum):
    """Which patients."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


class Subset(str, Enum):
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
