"""`spasegment wong`: the experiment of the paper on probabilistic partial segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SPASegmentLib.cli.shared import console, read_options

if TYPE_CHECKING:
    pass


def wong(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the networks, wong.md, wong.png and wong.json.")
    ],
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Train so many, with different seeds.")] = 1,
    seed_value: Annotated[int, typer.Option(min=0, help="Seed of the first run; the next has one more.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Steps of training, if not those of the options.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON with options of the experiment.")
    ] = None,
    inputs: Annotated[int, typer.Option(min=1, max=20, metavar="N", help="Inputs shown in wong.png.")] = 4,
    samples: Annotated[
        int, typer.Option(min=1, max=20, metavar="N", help="Predictions shown for each of them.")
    ] = 6,
    threads: Annotated[int, typer.Option(min=1, help="CPU cores.")] = 1,
) -> None:
    """Train the partial segmentation of Wong et al. on made-up discs and reproduce its figures.

    A few minutes a run on one CPU core. A run that was stopped goes on with the same command, and one that
    is finished is measured again without training.

    Example:

    spasegment wong --out runs/wong --runs 5
    """
    from SPASegmentLib.research.systems.wong.discs import WongOptions

    options = read_options(config, WongOptions).model_copy(
        update={"seed": seed_value, **({} if steps is None else {"steps": steps})}
    )
    if out.exists() and not out.is_dir():
        from SPASegmentLib.errors import InputError

        raise InputError(f"{out} is a file; give a folder for the experiment.")
    out.mkdir(parents=True, exist_ok=True)
    import torch

    from SPASegmentLib.errors import Cancelled
    from SPASegmentLib.research.systems.wong.experiment import run_experiment

    screen, before = console(), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run_experiment(out, options, screen, runs=runs, inputs=inputs, samples=samples)
    except KeyboardInterrupt:
        raise Cancelled("Stopped; the same command goes on from the last checkpoint.") from None
    finally:
        torch.set_num_threads(before)
    screen.print(f"Report: {out / 'wong.md'}")
