"""`spasegment partial`: a rough partial labelling grows through proposals. Experimental."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from SPASegmentLib.cli.shared import (
    Device,
    ForceOption,
    Orientation,
    ResampleOption,
    SeriesOption,
    TimeOption,
    check_outputs,
    console,
    warn,
)

if TYPE_CHECKING:
    from SPASegmentLib.cli.opening_labels import OpenedLabels
    from SPASegmentLib.research.systems.partial.session import PartialSession


def partial(
    volume: Annotated[
        Path,
        typer.Argument(
            metavar="VOLUME", help="NRRD, NIfTI, MHA, PNG, JPEG, TIFF, or a DICOM folder.", show_default=False
        ),
    ],
    labels: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The rough labelling on the volume's grid (.seg.nrrd with one layer, .nrrd, .nii.gz, ...): "
            "0 is unknown.",
        ),
    ],
    foreground: Annotated[int, typer.Option(metavar="VALUE", help="The value of the object in it.")] = 1,
    background: Annotated[int, typer.Option(metavar="VALUE", help="The value of what is not.")] = 2,
    orientation: Annotated[Orientation, typer.Option(help="The slices that were labelled.")] = (
        Orientation.axial
    ),
    slice_index: Annotated[
        int | None,
        typer.Option(
            "--slice", min=0, metavar="N", help="Which slice. Default: the one with most object labelled."
        ),
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Intensities shown black and white. Default: as `segment`."),
    ] = None,
    series: SeriesOption = None,
    time: TimeOption = None,
    resample: ResampleOption = False,
    model: Annotated[str, typer.Option(metavar="NAME_OR_PATH", help="See `spasegment models`.")] = "compact",
    picks: Annotated[
        str | None,
        typer.Option(
            metavar="2,g,...",
            help="Candidates to pick, g to go on from the recommendation, n for none of these; then approve. "
            "Without it, a terminal is asked; without a terminal the recommendation is approved.",
        ),
    ] = None,
    reach: Annotated[
        float | None,
        typer.Option(metavar="MM", help="How far a proposal may grow. Default: a quarter of the object."),
    ] = None,
    certainty: Annotated[
        float, typer.Option(metavar="P", help="Share of the network's samples that must agree.")
    ] = 0.9,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The larger labelling: 1 object, 2 background, 0 still unknown."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for one picture per iteration.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="What every iteration added.")] = None,
    force: ForceOption = False,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    seed_value: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """EXPERIMENTAL. Grow a rough partial labelling of one slice through proposals to pick from.

    Mark a part of the object, and where you like a part of what is not, in any editor. Each proposal labels
    more of the slice, where the model's samples that fit your labels agree, and leaves the rest unknown; no
    label of yours is ever changed. The idea is Wong et al.'s, but the proposals are made by SPA's network,
    which learnt whole masks from points: theirs has only ever seen made-up discs (`spasegment wong`). It
    has not been tested with users. Correct the result by hand and give it as --labels again.

    Examples:

    spasegment partial chest.nrrd --labels rough.nii.gz --out more.seg.nrrd

    spasegment partial chest.nrrd --labels rough.seg.nrrd --picks 2,g --out more.seg.nrrd --report pictures
    """
    from SPASegmentLib.cli.dialogue import parse_picks
    from SPASegmentLib.cli.growing import GO_ON, Growing, GrowthFolder
    from SPASegmentLib.cli.terminal import ask_to_overwrite, is_terminal, wanted_of

    answers = None if picks is None else parse_picks(picks, {GO_ON: "to go on"})
    check_outputs("Labels", out, json, report, (volume, labels))
    screen = console()
    asks = answers is None and is_terminal()
    ask_to_overwrite((out, json), force=force)

    from SPASegmentLib.cli.opening_labels import open_labels
    from SPASegmentLib.inference.local import load_engine
    from SPASegmentLib.research.systems.partial.session import PartialSession

    with screen.status("Loading the model..."):
        engine = load_engine(model, device.value)
    opened = open_labels(
        volume,
        labels,
        values=(foreground, background),
        orientation=orientation.value,
        index=slice_index,
        window=window,
        wanted=wanted_of(screen, series, time, resample),
        model_window=engine.model.window,
    )
    for line in opened.words():
        screen.print(line)
    screen.print(f"Model {engine.model.name}, trained on {engine.model.trained_on}; growing is experimental")
    warn(opened.slice.image.warnings)
    session = PartialSession.of_labels(
        opened.slice.image,
        engine.model,
        opened.labels,
        random_seed=seed_value,
        reach=reach,
        certainty=certainty,
    )
    with ExitStack() as stack:
        folder = report
        if folder is None and asks:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="spasegment-")))
        pictures = GrowthFolder(folder)
        session = Growing(engine, screen, pictures, ask=asks).run(session, answers or [])
        if report is not None:
            pictures.complete(session)
    _finish(session, opened, out, json)
    later = [w for proposal, _ in session.proposals for w in proposal.warnings]
    warn(w for w in later if w not in opened.slice.image.warnings)
    for line in _summary(session, out, report, json):
        screen.print(line)


def _finish(session: PartialSession, opened: OpenedLabels, out: Path | None, json: Path | None) -> None:
    """Write what was asked for."""
    if out is not None:
        opened.write(out, session.result().labels)
    if json is not None:
        from SPASegmentLib.cli.record import write_record

        write_record(_record(session, opened), json)


def _record(session: PartialSession, opened: OpenedLabels) -> dict[str, Any]:
    """Every iteration in numbers; seconds apart from everything else."""
    from dataclasses import asdict

    from SPASegmentLib.cli.record import answer_words
    from SPASegmentLib.inference.session import Step

    iterations = [
        {
            "recommendation": asdict(proposal.recommendation.growth),
            "candidates": [asdict(candidate.growth) for candidate in proposal.candidates],
            "fewer_reason": proposal.fewer_reason,
            "warnings": list(proposal.warnings),
            "answer": "went on" if step == Step("pick") else answer_words(step),
            "seconds": round(proposal.seconds, 6),
        }
        for proposal, step in session.proposals
        if step is not None
    ]
    return {
        "experimental": True,
        "model": {"name": session.model.name, "hash": session.model.hash},
        "random_seed": session.random_seed,
        "certainty": session.certainty,
        "reach_mm": session.reach,
        "slice": {
            "index": opened.slice.plane.index,
            "shape": list(session.image.shape),
            "spacing_mm": list(session.image.spacing),
        },
        "given_pixels": opened.counts(session.labels),
        "iterations": iterations,
        "result": {"how": session.state, **opened.counts(session.result().labels)},
    }


def _summary(session: PartialSession, out: Path | None, report: Path | None, json: Path | None) -> list[str]:
    how = "Approved" if session.state == "approved" else "Took a candidate"
    lines = [f"{how}: {session.added} pixels more are labelled after {session.iteration} proposals"]
    lines += [
        f"{word}: {path}" for word, path in (("Labels", out), ("Pictures", report), ("Numbers", json)) if path
    ]
    if out is None:
        lines.append("The labels were not written; add --out FILE.seg.nrrd to keep them.")
    return lines
