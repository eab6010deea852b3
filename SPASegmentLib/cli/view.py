"""`spasegment view`: the browser viewer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SPASegmentLib.cli.segment_options import KeepOption
from SPASegmentLib.cli.shared import Device, ResampleOption, SeriesOption, ServerUrl, TimeOption, console
from SPASegmentLib.inference.config import DEFAULT_MODEL

if TYPE_CHECKING:
    from SPASegmentLib.viewer.options import ViewerOptions


def view(
    volumes: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="VOLUME|DICOM_DIR", help="Without one, a made-up chest CT.", show_default=False
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="A preference profile to start from and to teach.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address or name to listen at; the page answers to no other.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 8765, or a free one.", show_default=False)
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    self_check: Annotated[
        bool,
        typer.Option("--self-check", help="Run one interaction without a browser, say how it went, exit."),
    ] = False,
    continued: Annotated[
        Path | None,
        typer.Option(
            "--continue",
            metavar="FILE",
            help="Segments on the first volume's voxels to go on from (C): .seg.nrrd, .nrrd, .nii.gz or "
            "DICOM SEG.",
        ),
    ] = None,
    keep_approved: KeepOption = None,
    series: SeriesOption = None,
    time: TimeOption = None,
    resample: ResampleOption = False,
    model: Annotated[
        str, typer.Option(metavar="NAME_OR_PATH", help="See `spasegment models`.")
    ] = DEFAULT_MODEL,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Intensities that are black and white, on the screen and for the model.",
            show_default=False,
        ),
    ] = None,
    server: ServerUrl = None,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="PLAN", help="Run a study's plan instead of showing volumes (see `spasegment study`)."
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="With --study: who takes part, by a code of the plan (U03)."),
    ] = None,
    max_upload_mb: Annotated[
        int, typer.Option("--max-upload-mb", min=1, help="Largest upload the page may send.")
    ] = 1024,
) -> None:
    """Segment in the browser: the whole interaction, without installing 3D Slicer.

    Nothing leaves the computer but the slices that a --server is to compute, only this computer can reach
    the page unless --host says otherwise, and only who has the printed address, token included, can open it.

    Examples:

    spasegment view

    spasegment view chest.nrrd --profile "Dr. A, nodules" --no-browser
    """
    from SPASegmentLib.imaging.choice import Wanted
    from SPASegmentLib.service.choice import chosen_server
    from SPASegmentLib.viewer.options import MEGABYTE, ViewerOptions

    options = ViewerOptions(
        volumes=tuple(volumes or ()),
        profile=profile,
        model=model,
        device=device.value,
        host=host,
        port=port,
        browser=browser,
        max_upload=max_upload_mb * MEGABYTE,
        window=window,
        server=chosen_server(server),
        wanted=Wanted(series, time, resample),
        continued=continued,
        keep_approved=keep_approved,
        study=study,
        user=user,
    )
    _check(options)
    screen = console()
    with screen.status("Starting the viewer..."):
        _import_viewer()
    import asyncio

    if self_check:
        from SPASegmentLib.cli.self_check import check

        asyncio.run(check(options, screen.print))
    else:
        from SPASegmentLib.viewer.server import serve

        asyncio.run(serve(options, screen.print))


def _check(options: ViewerOptions) -> None:
    """Refuse what cannot be, before anything is loaded."""
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.network.registry import find_model
    from SPASegmentLib.viewer.server import free_port

    find_model(options.model)
    if options.window is not None and not options.window[0] < options.window[1]:
        raise InputError("The window's first intensity must lie below its second one.")
    if options.continued is not None and not options.volumes:
        raise InputError("--continue goes on from segments of a volume; give the volume, too.")
    for path in (*options.volumes, *([options.continued] if options.continued else [])):
        if not path.exists():
            raise InputError(f"There is no file or folder {path}; check the path.")
    _check_study(options)
    free_port(options)


def _check_study(options: ViewerOptions) -> None:
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.study.run import StudyRun

    if options.study is None:
        if options.user is not None:
            raise InputError("--user says who takes part in a study; give its plan with --study, too.")
        return
    if options.user is None:
        raise InputError("Give the code of who takes part with --user, for example --user U01.")
    if options.volumes or options.profile is not None:
        raise InputError("A study shows its own images, without a profile; leave both out.")
    StudyRun(options.study, options.user)


def _import_viewer() -> None:
    """Load what the viewer needs. Raises InputError where it is not installed."""
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.viewer.server import prepare

    prepare()
    try:
        import trame_slicer.core  # noqa: F401
    except ImportError as error:
        raise InputError(
            f'The viewer\'s parts are not installed ({error.name}); run: pip install "spasegment[viewer]"'
        ) from error
