"""`spasegment compare`: the systems of the paper's Table 1, side by side on real data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from SPASegmentLib.cli.shared import Address, Device, Gpus, Split, chosen_cluster, console, read_options
from SPASegmentLib.cli.train import read_data


def compare(
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="lidc, bu-bil, folder, ...; a wrong name lists them all.")
    ],
    path: Annotated[
        list[Path], typer.Option(metavar="P", help="A zip or folder of the data set; may be repeated.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for runs, results and the table; goes on from it.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="M", help="A row: a system, a rival or a model; may be repeated. Default: all, SPA first."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON with training options for all systems.")
    ] = None,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Train what is missing.")] = True,
    search: Annotated[
        bool, typer.Option("--search", help="Try three learning rates on val before each training.")
    ] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Also draw masks of every system, and iterations to a Dice.")
    ] = False,
    split: Annotated[Split, typer.Option(help="Which patients are measured.")] = Split.test,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="So many cases, the same for every system.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: 1.", show_default=False)
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
    protocol_seed: Annotated[int, typer.Option(min=0, help="Of targets and clicks.")] = 0,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = Device.auto,
    address: Address = None,
    gpus: Gpus = 0.0,
) -> None:
    """Train every system that is missing, measure all on the same cases, and show the table.

    A run that is stopped goes on with the same command. From the same checkpoints every figure is the same.

    Example:

    spasegment compare --dataset lidc --path lidc-train-0.zip --path lidc-val-0.zip --path lidc-test-0.zip
    --out comparison
    """
    from SPASegmentLib.errors import Cancelled
    from SPASegmentLib.research.datasets.registry import open_dataset
    from SPASegmentLib.research.evaluation.protocol import Options
    from SPASegmentLib.research.systems.comparison import compare as run
    from SPASegmentLib.research.systems.comparison import train_missing
    from SPASegmentLib.research.systems.specs import TABLE
    from SPASegmentLib.research.training.options import TrainOptions

    names = list(dict.fromkeys(model or ["compact", *TABLE]))
    screen = console()
    options = read_options(config, TrainOptions)
    try:
        if train:
            read = partial(read_data, dataset, path, options, screen)
            train_missing(names, read, out, options, screen, search)
        cases = open_dataset(dataset, path, split=split.value, subset="any")
        measured = Options(
            protocol_seed=protocol_seed,
            limit=limit,
            workers=workers or 1,
            threads=threads,
            cluster=chosen_cluster(address, workers, gpus),
        )
        run(names, cases, out, measured, console(tables=True), device.value, pictures)
    except KeyboardInterrupt:
        raise Cancelled("Stopped; the same command goes on from here.") from None
    screen.print(f"Table: {out / 'table.md'}")
