"""`spasegment segment`: one interaction on one slice of a volume."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from SPASegmentLib.cli.segment_options import (
    BoxOption,
    ContinueOption,
    DicomWebOption,
    HeaderOption,
    InsecureOption,
    KeepOption,
    NameOption,
    Overwrite,
    OverwriteOption,
    ScribbleOption,
    SeedsOption,
    SegType,
    SegTypeOption,
    StowOption,
    StructureOption,
    StudyOption,
)
from SPASegmentLib.cli.shared import (
    MASK_SUFFIXES,
    Device,
    ForceOption,
    Orientation,
    ResampleOption,
    SeedIjk,
    SeedRas,
    SeriesOption,
    ServerUrl,
    TimeOption,
    check_outputs,
    console,
    joined_points,
    open_model,
    triple_of,
    warn,
)
from SPASegmentLib.inference.config import DEFAULT_MODEL
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    import numpy as np

    from SPASegmentLib.cli.continuing import Start
    from SPASegmentLib.cli.report_folder import ReportFolder
    from SPASegmentLib.cli.result_file import ResultFile
    from SPASegmentLib.imaging.slicing import OpenedSlice
    from SPASegmentLib.inference.messages import Engine, ModelInfo
    from SPASegmentLib.inference.object_session import ObjectSession
    from SPASegmentLib.inference.session import Session
    from SPASegmentLib.profiles.profile import Profile


class SegmentCommand(TyperCommand):
    """Its options of points take three numbers each, any number of times, which typer has no type for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Joins the three numbers of each point before the options are told apart."""
        return super().parse_args(ctx, joined_points(args))


def segment(
    context: typer.Context,
    volume: Annotated[
        Path | None,
        typer.Argument(
            metavar="VOLUME", help="NRRD, NIfTI, MHA, PNG, JPEG, TIFF, or a DICOM folder.", show_default=False
        ),
    ] = None,
    seed_ras: SeedRas = None,
    seed_ijk: SeedIjk = None,
    box: BoxOption = None,
    scribble: ScribbleOption = None,
    seeds: SeedsOption = None,
    orientation: Annotated[Orientation, typer.Option(help="The slice through the seed.")] = Orientation.axial,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Intensities shown black and white. Default: for CT the model's own window, "
            "else the file's, else soft tissue where no lung shows; for others percentiles.",
        ),
    ] = None,
    add_ijk: Annotated[
        list[str] | None,
        typer.Option("--add-ijk", metavar="I J K", help="A further voxel of the object; may be repeated."),
    ] = None,
    add_ras: Annotated[
        list[str] | None,
        typer.Option("--add-ras", metavar="R A S", help="A further point of the object, in mm."),
    ] = None,
    remove_ijk: Annotated[
        list[str] | None,
        typer.Option("--remove-ijk", metavar="I J K", help="A voxel outside the object; may be repeated."),
    ] = None,
    remove_ras: Annotated[
        list[str] | None,
        typer.Option("--remove-ras", metavar="R A S", help="A point outside the object, in mm."),
    ] = None,
    series: SeriesOption = None,
    dicomweb: DicomWebOption = None,
    study: StudyOption = None,
    stow: StowOption = False,
    dicomweb_header: HeaderOption = None,
    insecure: InsecureOption = False,
    time: TimeOption = None,
    resample: ResampleOption = False,
    model: Annotated[
        str, typer.Option(metavar="NAME_OR_PATH", help="See `spasegment models`.")
    ] = DEFAULT_MODEL,
    picks: Annotated[
        str | None,
        typer.Option(
            metavar="2,1,...",
            help="Candidates to pick, after all points, then approve; n for none of these, k to keep the "
            "recommendation and see others around it. "
            "Without it, a terminal is asked; without a terminal the recommendation is approved.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The mask: .seg.nrrd, .nrrd, .nii.gz, or .dcm (SEG) of a DICOM series."
        ),
    ] = None,
    seg_type: SegTypeOption = SegType.binary,
    structure: StructureOption = None,
    segment_name: NameOption = None,
    continued: ContinueOption = None,
    overwrite: OverwriteOption = Overwrite.none,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for one picture per iteration.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Areas, descriptions and seconds per iteration.")
    ] = None,
    force: ForceOption = False,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    server: ServerUrl = None,
    seed_value: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A preference profile to start from and to teach."),
    ] = None,
    keep_approved: KeepOption = None,
    whole_object: Annotated[
        bool,
        typer.Option("--whole-object", help="Go on from the slice through the volume until the object ends."),
    ] = False,
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="S:2,1,...",
            help="With --whole-object: review slice S and approve it after these picks; S: alone approves it "
            "as it is, S:end says that the object ends there. May be repeated.",
        ),
    ] = None,
    learn: Annotated[
        bool,
        typer.Option(
            help="Teach the profile. An approval nobody was asked for (no --picks, no terminal) never does."
        ),
    ] = True,
) -> None:
    """Segment one object, on one slice or in the whole volume: seed, four alternatives, picks, mask.

    Examples:

    spasegment segment chest.nrrd --seed-ras 64.4 -31.9 -101.3 --out nodule.seg.nrrd

    spasegment segment chest.nrrd --seed-ijk 48 101 86 --picks 2,1 --out nodule.nii.gz --report pictures

    spasegment segment chest.nrrd --seed-ijk 48 101 86 --picks 1 --whole-object --out nodule.seg.nrrd

    spasegment segment chest.nrrd --seed-ijk 48 101 86 --add-ijk 51 103 86 --remove-ijk 40 98 86

    spasegment segment series --seed-ijk 48 101 86 --structure lung-nodule --out nodule.dcm

    spasegment segment chest.nrrd --continue nodule.seg.nrrd --picks 1 --out better.seg.nrrd

    spasegment segment --dicomweb https://pacs.example.org/dicom-web --study UID --series UID --stow ...
    spasegment segment chest.nrrd --seeds nodules.csv --whole-object --out nodules.seg.nrrd
    """
    given = [
        (positive, name, triple_of(text))
        for positive, name, texts in (
            *((True, "ijk", add_ijk), (True, "ras", add_ras)),
            *((False, "ijk", remove_ijk), (False, "ras", remove_ras)),
        )
        for text in texts or []
    ]
    from SPASegmentLib.cli.batch import BatchResult, SeedsBatch, segment_batch
    from SPASegmentLib.cli.beginning import beginning_of, doubts_about, load_profile, started
    from SPASegmentLib.cli.dialogue import Dialogue, parse_picks
    from SPASegmentLib.cli.dicomweb import archive_of, private_folder
    from SPASegmentLib.cli.report_folder import ReportFolder
    from SPASegmentLib.cli.result_file import DICOM, result_file
    from SPASegmentLib.cli.seeds_file import read_seeds
    from SPASegmentLib.cli.terminal import ask_to_overwrite, is_terminal, wanted_of
    from SPASegmentLib.cli.whole_object import (
        MONTAGE,
        fill_object,
        follow_on,
        object_lines,
        parse_anchor,
        write_montage,
    )

    if anchor and not whole_object:
        raise typer.BadParameter("--anchor says what a slice of a whole object is like; add --whole-object.")
    begins = (seed_ras, seed_ijk, box, scribble, continued)
    beginning = None
    if seeds is None:
        beginning = beginning_of(*begins, overwrite)
    elif any(one for one in (*begins, *given, anchor, segment_name)):
        raise typer.BadParameter("--seeds says where all objects begin; leave other starts and points out.")
    elif out is None:
        raise typer.BadParameter("--seeds needs --out, the file of the segments.")
    elif stow or keep_approved is not None:
        raise typer.BadParameter("--seeds writes a file only; leave --stow and --keep-approved out.")
    anchors = [parse_anchor(text) for text in anchor or []]
    archive = archive_of(dicomweb, study, series, dicomweb_header or (), stow, insecure, volume)
    result = result_file(out, segment_name, structure, seg_type, archive)
    answers = None if picks is None else parse_picks(picks)
    rows = seeds and read_seeds(seeds, orientation.value, tuple(answers or ()), whole_object)
    result.check_count(len(rows or ()))
    sources = [path for path in (volume, seeds) if path is not None]
    check_outputs("A mask", out, json, report, sources, (*MASK_SUFFIXES, DICOM))
    screen = console()
    is_asked = answers is None and is_terminal()
    ask_to_overwrite((out, json), force=force)

    from SPASegmentLib.imaging.files import read_volume
    from SPASegmentLib.imaging.headers import OWN

    with screen.status("Loading the model..."):
        engine = open_model(model, device.value, server)
    if archive is not None:
        with screen.status("Fetching the series..."):
            volume = archive.fetch(context.with_resource(private_folder()))
    assert volume is not None
    read = read_volume(volume, OWN, wanted_of(screen, None if archive else series, time, resample))
    result.check(read)
    taught = load_profile(profile, engine.model, model)
    if rows:
        batch = SeedsBatch(engine, read, rows, window, taught, seed_value)
        takes = overwrite is not Overwrite.none
        segment_batch(batch, seeds, BatchResult(result, json, report, takes), screen)  # type: ignore[arg-type]
        return
    assert beginning is not None
    begun = beginning.open(read, orientation.value, window, engine.model.window)
    opened, start = begun.opened, begun.start
    places = [*begun.points]
    places += [opened.point(**{name: at}, positive=positive) for positive, name, at in given]
    for line in _introduction(opened, engine.model, taught, start):
        screen.print(line)
    warned = [*opened.image.warnings, *doubts_about(taught, opened)]
    warn(warned)
    was_asked = is_asked or answers is not None
    session = started(opened, engine.model, taught, seed_value, learn and was_asked, begun.mask)
    with ExitStack() as stack:
        folder = report
        if folder is None and is_asked:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="spasegment-")))
        pictures: ReportFolder[Session] = ReportFolder(folder, f"model {engine.model.name}")
        dialogue = Dialogue(engine, screen, pictures, ask=is_asked, place=opened.point)
        session = dialogue.run(session, [*places, *(answers or [])])
        found = None
        if whole_object:
            found = fill_object(engine, opened, session, anchors, partial(follow_on, screen))
        mask = _finish(session, opened, pictures if report else None, result, json, found, start)
        if found is not None and report is not None:
            write_montage(found, report / MONTAGE)
    later = [w for done in session.done if done.proposal for w in done.proposal.warnings]
    warn(w for w in later if w not in warned)
    if taught is not None:
        _teach(taught, session, engine)
    said = [*_summary(session, out, report, json, stow), *(object_lines(found.object) if found else [])]
    if keep_approved is not None:
        said.append(_keep(keep_approved, session, was_asked))
    for line in said:
        screen.print(line)
    if archive is not None and stow:
        with screen.status("Storing the segmentation..."):
            result.store(mask, opened.volume, session.model, start)
        screen.print(f"Stored: DICOM SEG in the study on {archive.server.address}")


def _introduction(
    opened: OpenedSlice, model: ModelInfo, profile: Profile | None, start: Start | None
) -> list[str]:
    height, width = opened.image.shape
    row, col = opened.image.spacing
    (i, j, k), (r, a, s) = opened.ijk, opened.ras
    number = "" if opened.plane.index is None else f" {opened.plane.index}"
    lines = [
        f"Slice{number}: {height} x {width} pixels of {row:.3g} x {col:.3g} mm, "
        f"window {opened.window.low:g} to {opened.window.high:g}",
        f"Seed: voxel {i} {j} {k} as stored in the file, RAS {r:.2f} {a:.2f} {s:.2f}",
        f"Model {model.name}, trained on {model.trained_on}",
    ]
    if profile is not None:
        lines.append(f'Profile "{profile.name}" ({count_of(profile.n_images, "image")})')
    if start is not None:
        lines[1] = f'Goes on from "{start.segment.name}" in {start.path}'
    return lines


def _finish(
    session: Session,
    opened: OpenedSlice,
    pictures: ReportFolder | None,
    result: ResultFile,
    json: Path | None,
    found: ObjectSession | None,
    start: Start | None,
) -> np.ndarray:
    """Write what was asked for; the mask first. Returns it, (K, J, I) bool."""
    on_slice = session.result().mask
    if found is not None:
        mask = found.mask()
    else:
        mask = opened.on_grid(on_slice) if start is None else start.with_slice(opened, on_slice)
    result.write(mask, opened.volume, session.model, start)
    if json is not None:
        from SPASegmentLib.cli.record import slice_record, write_record

        record = slice_record(session, opened)
        if start is not None:
            record["continued"] = {"file": str(start.path), "segment": start.segment.name}
        if found is not None:
            from SPASegmentLib.cli.whole_object import object_record

            record["object"] = object_record(found)
        write_record(record, json)
    if pictures is not None:
        pictures.complete(session)
    return mask


def _teach(profile: Profile, session: Session, engine: Engine) -> None:
    from SPASegmentLib.profiles.learning import commit_approval
    from SPASegmentLib.profiles.store import ProfileStore

    commit_approval(ProfileStore(), profile, session, engine=engine)


def _keep(folder: Path, session: Session, was_asked: bool) -> str:
    """Keep what was approved, and say so. was_asked: whether anybody looked at it."""
    from SPASegmentLib.profiles.approvals import ApprovalFolder, new_group, object_of

    if not was_asked:
        return "Nothing was kept: nobody was asked, so nobody approved (see --picks)."
    approved = object_of(session, new_group())
    if approved is None:
        return "Nothing was kept: the mask is empty."
    return f"Kept for `spasegment adapt`: {ApprovalFolder(folder).keep(approved)}"


def _summary(
    session: Session, out: Path | None, report: Path | None, json: Path | None, stow: bool
) -> list[str]:
    result = session.result()
    row, col = session.image.spacing
    how = "Approved" if result.how == "approved" else f"Took candidate {(result.candidate or 0) + 1}"
    lines = [
        f"{how}: {result.mask.sum() * row * col:.1f} mm2 after {count_of(result.picks, 'pick')}, "
        f"{result.seconds:.2f} s of computing"
    ]
    lines += [
        f"{word}: {path}" for word, path in (("Mask", out), ("Pictures", report), ("Numbers", json)) if path
    ]
    if out is None and not stow:
        lines.append("The mask was not written; add --out FILE.seg.nrrd to keep it.")
    return lines
