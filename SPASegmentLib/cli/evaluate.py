"""`spasegment evaluate`: the protocol on a data set, for one model or several."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from SPASegmentLib.cli.shared import (
    Address,
    Device,
    Gpus,
    ServerUrl,
    SliceSubset,
    Split,
    chosen_cluster,
    console,
    open_model,
)
from SPASegmentLib.research.datasets.splits import in_split

if TYPE_CHECKING:
    from collections.abc import Callable

    from SPASegmentLib.inference.messages import Engine
    from SPASegmentLib.research.datasets.case import MultiRaterDataset


def evaluate(
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="lidc, bu-bil, folder, ...; a wrong name lists them all.")
    ],
    path: Annotated[
        list[Path], typer.Option(metavar="P", help="A zip or folder of the data set; may be repeated.")
    ],
    split: Annotated[
        Split | None,
        typer.Option(help="Which patients; held-out: val and test. Default: all, of any held-out."),
    ] = None,
    subset: Annotated[
        SliceSubset, typer.Option(help="Drawn by any rater, or by all of them.")
    ] = SliceSubset.any,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="M",
            help="A name, a checkpoint or a rival (level-set, unet, sam, ..., or NAME=CHECKPOINT); may be "
            "repeated, the others are compared with the first. all: compact and every system of the "
            "paper's table. Default: compact.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="So many cases (of any: per set), the same for all."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for results.json; a stopped run goes on from it."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare every other model with this one of the run, as the tables call it. Default: the "
            "first with each of the others.",
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(help="Whose mask is wanted: subset (of raters), or see the protocol.")
    ] = "subset",
    user: Annotated[
        list[str] | None,
        typer.Option(
            help="User model; may be repeated: always-pick, approve (default: both), keep (keeps the "
            "recommendation where it is best), boundary (picks by boundary distance), noisy (15% random "
            "picks), correct (a point per iteration), mixed (a pick or a point), box or scribble (instead of "
            "the click). The last four see the target."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: 1.", show_default=False)
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
    samples: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="Samples per proposal; repeated, every model runs with each."),
    ] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Also measure what a carried profile brings its user.")
    ] = False,
    learn_from: Annotated[
        Split | None,
        typer.Option(help="With --transfer: teach profiles on this split, 10 cases, and judge on --split."),
    ] = None,
    teach: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --transfer: teach profiles on N cases of --learn-from, or else of the split, and "
            "judge none of their patients. Default: each case teaches the next, judged after 10.",
        ),
    ] = None,
    transfer_user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help="With --transfer: this user's, raters:Ann or largest; may be repeated. Default: every named "
            "rater's, or else those of largest, smallest and majority; of any, one for each structure.",
        ),
    ] = None,
    unseen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RATER=M",
            help="Also measure a model trained --without a rater on what that rater drew; may be repeated. "
            "all=M: every rater in turn, for a model that saw none of them.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Also run the first model with this preference profile; it is not taught. "
            "Say with --target whose masks it should lead to.",
        ),
    ] = None,
    whole_object: Annotated[
        bool,
        typer.Option(
            "--whole-object",
            help="Measure whole objects instead of slices: one click, two picks, three reviewed slices.",
        ),
    ] = False,
    invariance: Annotated[
        bool,
        typer.Option(
            "--invariance",
            help="Measure instead by how much the click's Dice changes when the slice is mirrored, turned, "
            "in another window, inverted (MR), at half and at twice the resolution.",
        ),
    ] = False,
    protocol_seed: Annotated[int, typer.Option(min=0, help="Of targets and clicks.")] = 0,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    server: ServerUrl = None,
    address: Address = None,
    gpus: Gpus = 0.0,
) -> None:
    """Measure models against several raters: Dice by iteration, picks, uncertainty, seconds.

    Example:

    spasegment evaluate --dataset lidc --path lidc-test-0.zip --path lidc-test-1.zip --split test
    --subset all4 --out results
    """
    from SPASegmentLib.profiles.store import ProfileStore
    from SPASegmentLib.research.datasets.registry import open_dataset
    from SPASegmentLib.research.evaluation import TransferOptions, run
    from SPASegmentLib.research.evaluation.protocol import USERS

    split = split or (Split.held_out if dataset == "any" else Split.all)
    check_learn_from(split, learn_from, transfer)
    if (transfer_user or teach) and not transfer:
        raise typer.BadParameter("--transfer-user and --teach say how --transfer measures; give both.")
    factories = engine_factories(model or ["compact"], device.value, server)
    if (whole_object or invariance) and address is not None:
        which = "--whole-object" if whole_object else "--invariance"
        raise typer.BadParameter(f"{which} is measured on this computer; leave --address out.")
    if whole_object:
        from SPASegmentLib.research.datasets.object_cases import open_objects
        from SPASegmentLib.research.evaluation.whole_object import evaluate_objects

        objects = open_objects(dataset, path, split.value, protocol_seed)
        screen = console(tables=True)
        evaluate_objects(
            factories, objects, out=out, limit=limit, protocol_seed=protocol_seed, console=screen
        )
        return
    cases = open_dataset(dataset, path, split=split.value, subset=subset.value)
    by_raters = unseen or target != "subset" or (transfer and (transfer_user or learn_from))
    if dataset == "any" and by_raters and not getattr(cases, "raters", ()):
        raise typer.BadParameter(
            "--target, --transfer-user, --learn-from and --unseen go by raters; of any, give only sets of "
            "the same raters."
        )
    if invariance:
        from SPASegmentLib.research.evaluation.invariance import evaluate_invariance

        screen = console(tables=True)
        evaluate_invariance(
            factories, cases, out=out, limit=limit, protocol_seed=protocol_seed, console=screen
        )
        return
    options: dict[str, Any] = {
        "limit": limit,
        "workers": workers or 1,
        "cluster": chosen_cluster(address, workers, gpus),
        "threads": threads,
        "protocol_seed": protocol_seed,
        "users": tuple(user) if user else USERS,
        "target": target,
        "against": against,
        "n_samples": samples[0] if samples and len(samples) == 1 else None,
        "sample_counts": samples if samples and len(samples) > 1 else (),
        "transfer": TransferOptions(
            tuple(transfer_user) if transfer_user else None,
            warm=teach or TransferOptions.warm,
            apart=teach is not None and learn_from is None,
        )
        if transfer
        else None,
        "learn_from": learn_from and open_dataset(dataset, path, split=learn_from.value, subset=subset.value),
        "unseen": unseen_factories(unseen or [], device.value, lambda: rater_names(cases)),
        "profile": None if profile is None else ProfileStore().load(profile),
    }
    run(
        factories,
        cases,
        out=out,
        **options,
        command=" ".join(["spasegment", *map(shlex.quote, sys.argv[1:])]),
        console=console(tables=True),
    )
    if out is not None:
        console().print(f"Figures: {out / 'results.json'}")


def check_learn_from(split: Split, learn_from: Split | None, transfer: bool) -> None:
    """Raises BadParameter unless profiles are taught on other patients than they are judged on."""
    if learn_from is not None and (not transfer or parts_of(split) & parts_of(learn_from)):
        raise typer.BadParameter(
            "profiles learn from one split and are judged on another: give --transfer with, for example, "
            "--learn-from train --split test."
        )


def parts_of(split: Split) -> set[str]:
    """The patients of a split as train, val and test."""
    return {part for part in ("train", "val", "test") if in_split(part, split.value)}


def rater_names(cases: MultiRaterDataset) -> list[str]:
    """How `--unseen` and `--target raters:` call the raters: by name, or by number from 0."""
    first = cases[0]
    return list(first.raters) or [str(number) for number in range(len(first.masks))]


def unseen_factories(
    given: list[str], device: str, raters: Callable[[], list[str]]
) -> dict[str, dict[str, Callable[[], Engine]]]:
    """By rater left out, models that never saw them; "all" stands for each of `raters`.

    Raises BadParameter and as `engine_factories` does.
    """
    models: dict[str, list[str]] = {}
    for text in given:
        rater, equals, model = text.partition("=")
        if not (rater and equals and model):
            raise typer.BadParameter(
                f"{text!r} is not RATER=MODEL, for example Ann=runs/without-ann/best.safetensors."
            )
        for name in raters() if rater == "all" else [rater]:
            models.setdefault(name, []).append(model)
    return {rater: engine_factories(names, device) for rater, names in models.items()}


def engine_factories(
    models: list[str], device: str, server: str | None = None
) -> dict[str, Callable[[], Engine]]:
    """What makes the engine of each model or rival; a rival is always computed here.

    Raises InputError and CheckpointError if none does.
    """
    from SPASegmentLib.network.registry import find_model
    from SPASegmentLib.research.systems.registry import rival_factory
    from SPASegmentLib.research.systems.specs import TABLE

    names: list[str] = []
    makers: list[Callable[[], Engine]] = []
    every = ["compact", *TABLE]
    for model in (name for asked in models for name in (every if asked == "all" else [asked])):
        rival = rival_factory(model, device)
        if rival is None and server is None:
            find_model(model)
        names.append(model if rival is None else rival.name)
        makers.append(rival or partial(open_model, model, device, server, fall_back=False))
    return dict(zip(labels(names), makers, strict=True))


def labels(models: list[str]) -> list[str]:
    """What each model is called in the results: its name, or its file's, numbered where they repeat."""
    found: list[str] = []
    for model in models:
        stem = Path(model).stem if Path(model).suffix else model
        taken = [label for label in found if label == stem or label.startswith(f"{stem}-")]
        found.append(f"{stem}-{len(taken) + 1}" if stem in found else stem)
    return found
