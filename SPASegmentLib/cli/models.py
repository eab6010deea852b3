"""`spasegment models`: which models there are, and those that are fetched after consent."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from SPASegmentLib.cli.shared import console, plain_table

app = typer.Typer(
    name="models",
    help="List, download, verify and delete models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Argument(help="A name from `spasegment models list`.", show_default=False)]


@app.command("list")
def list_() -> None:
    """Show every model by name, and whether it is on this computer."""
    from SPASegmentLib.network.registry import list_models, models_dir, own_folder

    table = plain_table(("name", "state", "MB", "what it is", "licence"), right=("MB",))
    for status in list_models():
        model = status.model
        size = status.bytes_on_disk if status.state != "missing" else model.size
        shown = f"{size / 1e6:.0f}" if size >= 1e7 else f"{size / 1e6:.1f}" if size else "-"
        table.add_row(model.name, status.state, shown, model.description, model.licence)
    console(tables=True).print(table)
    console().print(f"Downloads are kept in {models_dir()}, adapted models in {own_folder()}")


@app.command()
def download(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to the download beforehand.")] = False,
) -> None:
    """Fetch a model, after you agree; an interrupted download goes on where it stopped.

    Example:

    spasegment models download medsam_vit_b
    """
    from SPASegmentLib.errors import Cancelled
    from SPASegmentLib.network.download import download_model, download_notice
    from SPASegmentLib.network.registry import get_model, model_status

    model = get_model(name)
    screen = console()
    consent = yes
    if model.url and model_status(model).state != "ready":
        screen.print(download_notice(model))
        if not yes and sys.stdin.isatty():
            consent = typer.confirm("Download it?")
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=screen, disable=not screen.is_terminal) as progress:
            task = progress.add_task(name, total=model.size or None)
            path = download_model(
                model,
                consent=consent,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
    except KeyboardInterrupt:
        raise Cancelled(f"The download of {name} was stopped; the same command goes on from there.") from None
    screen.print(f"{name} is verified and ready: {path}")


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(help="Without a name, every model on this computer.", show_default=False)
    ] = None,
) -> None:
    """Check a model's file byte by byte against its SHA-256."""
    from SPASegmentLib.errors import CheckpointError
    from SPASegmentLib.network.registry import get_model, list_models, verify_model

    screen = console()
    if name is not None:
        screen.print(f"{name} is whole: SHA-256 {verify_model(get_model(name))}")
        return
    bad = []
    for status in list_models():
        if status.state in ("missing", "partial"):
            continue
        try:
            found = verify_model(status.model)
            screen.print(f"{status.model.name} is whole: SHA-256 {found}")
        except CheckpointError as error:
            screen.print(str(error))
            bad.append(status.model.name)
    if bad:
        raise CheckpointError(f"Not whole: {', '.join(bad)}; see above for what to do.")


@app.command()
def delete(name: Name) -> None:
    """Delete a downloaded model, which can be downloaded again, or one that `adapt` made."""
    from SPASegmentLib.network.registry import delete_model

    freed = delete_model(name)
    console().print(f"{name} is deleted: {freed / 1e6:.0f} MB are free again.")
