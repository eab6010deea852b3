"""`spasegment adapt`: a model learns from an institution's own approved objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SPASegmentLib.cli.shared import console
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    from SPASegmentLib.research.evaluation.adapting import Adaptation


def adapt(
    store: Annotated[
        Path,
        typer.Option("--from", metavar="FOLDER", help="Where approved objects were kept (--keep-approved)."),
    ],
    out: Annotated[str, typer.Option(metavar="NAME", help="What the new model is called.")],
    model: Annotated[
        str, typer.Option(metavar="NAME_OR_PATH", help="What is adapted; it stays as it is.")
    ] = "general",
    check_lidc: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="P",
            help="A zip or folder of LIDC-IDRI with its val split, on which the new model must not be worse; "
            "may be repeated.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write the model even if it is not better, or worse on nodules.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Learning steps; more take longer.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
) -> None:
    """Adapt a model to approved objects that you chose to keep; some minutes on a CPU, nothing is sent.

    It is written only where it is better on the own objects, each judged by a model that did not learn from
    it, and, with --check-lidc, no more than 0.005 Dice worse on lung nodules.

    Example:

    spasegment adapt --from approved --model compact --out ours
    """
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.network.checkpoint import CheckpointHeader, read_header, save_checkpoint
    from SPASegmentLib.network.registry import find_model, model_path, own_model
    from SPASegmentLib.profiles.approvals import ApprovalFolder

    path = model_path(own_model(out))
    if path.exists():
        raise InputError(
            f"There is a model {out} already; choose another name, or run `spasegment models delete {out}`."
        )
    start = find_model(model)
    objects = ApprovalFolder(store).read()
    from SPASegmentLib.research.evaluation.adapting import adapt as adapt_to
    from SPASegmentLib.research.evaluation.adapting import lidc_objects
    from SPASegmentLib.research.training.adapting import Recipe, adapted_header

    screen = console()
    nodules = lidc_objects(check_lidc) if check_lidc else []
    groups = count_of(len({one.group for one in objects}), "volume")
    screen.print(f"{count_of(len(objects), 'approved object')} of {groups}, model {model}")
    found = adapt_to(start, objects, Recipe(steps=steps, seed=seed), screen, nodules)
    for line in lines(found):
        screen.print(line)
    refusals = found.refusals()
    if refusals and not force:
        raise InputError(f"Nothing was written: {' and '.join(refusals)}; --force writes it all the same.")
    before = read_header(start)
    provenance = adapted_header(before.provenance, objects) | {
        "started_from": before.as_start(),
        "steps": steps,
        "seconds": 0,
        "share": found.share,
        "judged": {"own": found.own.figures(), "lidc": found.lidc.figures() if found.lidc else None},
    }
    save_checkpoint(path, found.state, CheckpointHeader(before.config, provenance))
    screen.print(f"The model {out} is written; --model {out} uses it, and {model} is as it was.")
    screen.print(f"`spasegment models delete {out}` deletes it.")


def lines(found: Adaptation) -> list[str]:
    """What was found, a line each."""
    own, nodules = found.own.figures(), found.lidc
    said = [
        f"Own objects: Dice after the click {own['before']:.3f} before, {own['after']:.3f} after, each judged"
        " by a model that did not learn from it"
    ]
    if nodules is None:
        said.append(
            "Lung nodules: not checked, since no LIDC-IDRI was given (--check-lidc); what the model has"
            " forgotten of them is not known"
        )
    else:
        figures = nodules.figures()
        said.append(
            f"Lung nodules: {figures['before']:.3f} before, {figures['after']:.3f} after, on"
            f" {count_of(len(nodules.before), 'slice')} of LIDC-IDRI's val split"
        )
    if found.share < 1:
        said.append(f"Only {found.share:.0%} of the change is kept, for the sake of the nodules")
    return said
