"""Options and words the commands share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, TypeVar

import typer

from SPASegmentLib.service.choice import ADDRESS_VARIABLE

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console
    from rich.table import Table

    from SPASegmentLib.inference.messages import Engine
    from SPASegmentLib.research.evaluation.cluster import RayCluster

Options = TypeVar("Options", bound="BaseModel")
MASK_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii")


class Device(str, Enum):
    """Where the network runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


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
    typer.Option(
        "--seed-ijk", metavar="I J K", help="The seed in voxels as stored in the file, counted from 0."
    ),
]
SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="N_OR_UID",
        help="Which series of a DICOM folder: its number in the list shown, or its SeriesInstanceUID. "
        "Default: the largest. With --dicomweb: the SeriesInstanceUID.",
    ),
]
TimeOption = Annotated[
    int | None,
    typer.Option("--time", metavar="N", help="Which phase or time point of a 4-D image, from 1."),
]
ResampleOption = Annotated[
    bool,
    typer.Option(
        "--resample", help="Resample tilted or unevenly spaced slices to a rectangular grid, else refused."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing files without a question.")]


ServerUrl = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar=ADDRESS_VARIABLE,
        help="A server that computes (see `spasegment serve`); its key is read from SPASEGMENT_SERVER_KEY.",
    ),
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


POINTS = ("--add-ijk", "--add-ras", "--remove-ijk", "--remove-ras")


def joined_points(arguments: Sequence[str]) -> list[str]:
    """Arguments with the three numbers behind each option of a point in one: `--add-ijk=1,2,3`."""
    joined: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word in POINTS:
            numbers, waiting = waiting[:3], waiting[3:]
            word = f"{word}={','.join(numbers)}"
        joined.append(word)
    return joined


def triple_of(text: str) -> Triple:
    """The three numbers of a point. Raises BadParameter for anything else."""
    try:
        first, second, third = (float(word) for word in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f'"{text}" is no point; give three numbers behind options such as --add-ijk.'
        ) from None
    return (first, second, third)


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


def open_model(model: str, device: str, server: str | None, *, fall_back: bool = True) -> Engine:
    """A model's engine: a server's where one is named, else this computer's.

    fall_back: go on here, and say so, where the server does not answer for ten seconds; else wait for it for
    ten minutes. Raises CheckpointError, ServerError.
    """
    from dataclasses import replace

    from SPASegmentLib.service.choice import chosen_server

    def load() -> Engine:
        from SPASegmentLib.inference.local import load_engine

        return load_engine(model, device)

    choice = chosen_server(server)
    if choice is None:
        return load()
    from SPASegmentLib.service.opening import open_engine

    if not fall_back:
        choice = replace(choice, fall_back=False, patience=600.0)
    return open_engine(choice, model, load)


Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Spread the cases over this running Ray cluster (auto: the one this computer belongs to). "
        "Then --workers is of the cluster; default: all it has room for.",
    ),
]
Gpus = Annotated[float, typer.Option(min=0, help="With --address: GPUs of each process, may be a fraction.")]


def chosen_cluster(address: str | None, workers: int | None, gpus: float) -> RayCluster | None:
    """The cluster of `--address`. Raises BadParameter for GPUs without one."""
    from SPASegmentLib.research.evaluation.cluster import RayCluster

    if address is None and gpus:
        raise typer.BadParameter("--gpus says how a cluster is shared; give --address, too.")
    return None if address is None else RayCluster(address, workers, gpus)


def check_outputs(
    what: str,
    out: Path | None,
    json: Path | None,
    report: Path | None,
    given: Sequence[Path],
    suffixes: Sequence[str] = MASK_SUFFIXES,
) -> None:
    """Refuse outputs that cannot be, before anything is computed.

    what: `out` holds. given: files that are read. suffixes: `out` may have. Raises InputError.
    """
    from SPASegmentLib.errors import InputError

    if out is not None and not out.name.lower().endswith(tuple(suffixes)):
        offered = ", ".join(one for one in suffixes if one not in (".nii.gz", ".nii"))
        raise InputError(f"{what} cannot be written as {out.name}; choose {offered} or .nii.gz.")
    if out is not None and json is not None and out.resolve() == json.resolve():
        raise InputError(f"--out and --json both name {out}; give each a file of its own.")
    if report is not None and any(
        report.resolve() in one.resolve().parents and one.match("iteration-*.png") for one in given
    ):
        raise InputError(f"A picture in {report} would take the place of the volume; choose another folder.")
    if report is not None and report.exists() and not report.is_dir():
        raise InputError(f"{report} is a file; give a folder for the pictures.")
    for path in (out, json):
        if path is None:
            continue
        if path.exists() and any(one.resolve() in path.resolve().parents for one in given):
            raise InputError(f"{path} is a part of the volume; choose another file for the output.")
        if any(path.exists() and one.exists() and path.samefile(one) for one in given):
            raise InputError(f"{path} is one of the given files; choose another file for the output.")
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file in it.")
        if path.exists() and any(one.resolve() in path.resolve().parents for one in given):
            raise InputError(f"{path} is a part of the volume; choose another file for the output.")
        path.parent.mkdir(parents=True, exist_ok=True)


def plain_table(columns: Sequence[str], right: Sequence[str] = ()) -> Table:
    """An empty table without frames. right: the columns that stand to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    return table


def read_options(path: Path | None, kind: type[Options]) -> Options:
    """Options of a JSON file, or the defaults. Raises InputError where it is missing or wrong."""
    from pydantic import ValidationError

    from SPASegmentLib.errors import InputError

    try:
        return kind.model_validate_json("{}" if path is None else path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The options in {path} cannot be read; check the path.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"The options in {path} are wrong at {place}: {first['msg']}.") from error
