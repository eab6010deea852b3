"""`spasegment train`: a model from your own multi-rater data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from SPASegmentLib.cli.shared import console, read_options

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from SPASegmentLib.research.datasets.case import Case, MultiRaterDataset
    from SPASegmentLib.research.training.loop import StackData, TrainingData
    from SPASegmentLib.research.training.options import TrainOptions


def train(
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="lidc, bu-bil, folder, ...; a wrong name lists them all.")
    ],
    path: Annotated[
        list[Path], typer.Option(metavar="P", help="A zip or folder of the data set; may be repeated.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for checkpoints and the training log.")],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON with training options; else the defaults.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Train a rival or an ablation instead, as SPA would be; a wrong name lists them.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RATER",
            help="Leave this rater out, by name or by number from 0; may be repeated. "
            "`evaluate --unseen` measures the model on what they drew.",
        ),
    ] = None,
    lidc: Annotated[
        list[Path] | None,
        typer.Option(metavar="P", help="With --dataset any: LIDC-IDRI zips to learn from, too; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR.")] = False,
) -> None:
    """Train a model; a run that is stopped, or killed, goes on with --resume.

    Trains on the data set's train split and chooses the checkpoint on its val split.

    Example:

    spasegment train --dataset lidc --path lidc-train-0.zip --path lidc-val-0.zip --out runs/lidc
    """
    from SPASegmentLib.errors import Cancelled, InputError
    from SPASegmentLib.research.systems.registry import keep_checkpoint, training_options
    from SPASegmentLib.research.training.options import TrainOptions

    if (out / "last.safetensors").exists() and not resume:
        raise InputError(
            f"{out} holds a training run; add --resume to go on with it, or choose another folder."
        )
    options = read_options(config, TrainOptions)
    if model is not None:
        options = training_options(model, options)
    screen = console()
    data: TrainingData | StackData
    if dataset == "any":
        data = read_stacks(path, lidc or [], screen, options.synthetic, options.seed)
    else:
        data = read_data(dataset, path, options, screen, without or ())
    try:
        best = _run(model, data, out, options, resume, screen)
    except KeyboardInterrupt:
        raise Cancelled("Stopped; the same command with --resume goes on from the last checkpoint.") from None
    screen.print(f"Best checkpoint: {best}")
    if model is not None:
        screen.print(f"spasegment evaluate --model {model} uses its copy: {keep_checkpoint(model, best)}")


def _run(
    model: str | None,
    data: TrainingData | StackData,
    out: Path,
    options: TrainOptions,
    resume: bool,
    screen: Console,
) -> Path:
    """Train SPA, a rival or a comparison system; the best checkpoint's path."""
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.research.systems.specs import SYSTEMS
    from SPASegmentLib.research.training.loop import TrainingData

    if model in SYSTEMS:
        from SPASegmentLib.research.systems.run import train_system

        if not isinstance(data, TrainingData):
            raise InputError("A comparison system learns from one data set; choose another than 'any'.")
        return train_system(model, data, out, options, resume, screen)
    from SPASegmentLib.research.training.loop import train as run

    return run(data, out, options, resume, screen)


def read_data(
    dataset: str, paths: list[Path], options: TrainOptions, screen: Console, without: Sequence[str] = ()
) -> TrainingData:
    """Train and val split of a data set as arrays, some raters left out. Raises as the loaders do."""
    from SPASegmentLib.errors import DatasetError
    from SPASegmentLib.research.datasets.case import WithoutRaters
    from SPASegmentLib.research.datasets.registry import open_dataset
    from SPASegmentLib.research.training.loop import TrainingData

    if dataset == "any":
        raise DatasetError(
            "Cases of the data set any are made to measure with, and may come from sets that never teach; "
            "train on one of your own folders or on another data set."
        )
    splits: list[MultiRaterDataset] = [
        open_dataset(dataset, paths, split=split, subset="any") for split in ("train", "val")
    ]
    if without:
        splits = [WithoutRaters(split, without) for split in splits]
    colour = options.network.get("image_channels", 1) == 3
    learn, check = (_arrays(split, colour, screen) for split in splits)
    left_out = {"raters_left_out": list(without)} if without else {}
    return TrainingData(
        learn.images, learn.masks, check.images, check.masks, {**learn.provenance, **left_out}
    )


def read_stacks(
    paths: list[Path], lidc: list[Path], screen: Console, synthetic: int = 0, seed: int = 0
) -> StackData:
    """The sets of any structure that may teach a model, LIDC and made-up images beside them.

    Raises as the loaders do.
    """
    from SPASegmentLib.research.training.loop import StackData
    from SPASegmentLib.research.training.stacks import read_choosing_sets, read_lidc, read_sets
    from SPASegmentLib.research.training.synthetic import NAME, synthetic_stacks

    screen.print("Reading the sets ...")
    learn, manifest = read_sets(paths)
    check = read_choosing_sets(paths)
    if lidc:
        learn["lidc"], check["lidc"] = read_lidc(lidc, "train"), read_lidc(lidc, "val")
        manifest.append({"set": "lidc", "licence": "CC BY 3.0", "source": "LIDC-IDRI, TCIA", "entries": []})
    count = sum(len(stacks) for stacks in learn.values())
    if synthetic:
        learn[NAME] = synthetic_stacks(synthetic, seed)
    provenance = {
        "dataset": "any",
        "trained_on": f"{count} images, volumes and nodules of {len(learn)} data sets of many modalities",
        "sets": manifest,
    }
    return StackData(learn, check, provenance)


class _Arrays:
    """images (n, H, W) or (n, H, W, 3) uint8, masks (n, R, H, W) bool, and where they come from."""

    def __init__(self, images: np.ndarray, masks: np.ndarray, provenance: dict[str, Any]) -> None:
        self.images, self.masks, self.provenance = images, masks, provenance


def _arrays(dataset: MultiRaterDataset, colour: bool, screen: Console) -> _Arrays:
    """Read every case. Smaller images are continued at their edges, fewer raters are repeated."""
    import numpy as np
    from rich.progress import track

    cases = list(
        track(
            dataset, f"Reading {dataset.name}", len(dataset), console=screen, disable=not screen.is_terminal
        )
    )
    height = max(case.masks.shape[1] for case in cases)
    width = max(case.masks.shape[2] for case in cases)
    raters = max(len(case.masks) for case in cases)
    pixels = (len(cases), height, width, 3) if colour else (len(cases), height, width)
    images = np.empty(pixels, np.uint8)
    masks = np.zeros((len(cases), raters, height, width), bool)
    for index, case in enumerate(cases):
        image = _as_bytes(case, colour)
        rest = ((0, height - image.shape[0]), (0, width - image.shape[1]))
        images[index] = np.pad(image, (*rest, (0, 0)) if colour else rest, mode="edge")
        drawn = case.masks[np.arange(raters) % len(case.masks)]
        masks[index, :, : drawn.shape[1], : drawn.shape[2]] = drawn
    patients = len({case.patient for case in cases})
    provenance = {
        "dataset": dataset.name,
        "trained_on": f"{len(cases)} images of {patients} patients or sources of the data set {dataset.name}",
        "modalities": sorted({case.modality for case in cases if case.modality}),
        "cases": len(cases),
        "patients": patients,
    }
    return _Arrays(images, masks, provenance)


def _as_bytes(case: Case, colour: bool) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8: grey as luminance (ITU-R BT.601), colour from grey by repetition."""
    import numpy as np

    image = case.image
    if colour and image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    elif not colour and image.ndim == 3:
        image = image @ np.array([0.299, 0.587, 0.114], dtype=image.dtype)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
