"""The command `spasegment`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from SPASegmentLib import __version__
from SPASegmentLib.cli import (
    adapt,
    benchmark,
    compare,
    evaluate,
    models,
    partial,
    profile,
    sample,
    segment,
    serve,
    study,
    train,
    view,
    wong,
)
from SPASegmentLib.cli.streams import prepare_streams
from SPASegmentLib.errors import SPASegmentError

DEBUG_VARIABLE = "SPASEGMENT_DEBUG"
"""Where it is set, an error that should not happen shows where it happened."""
FAILED, UNEXPECTED = 1, 70
"""Exit codes: of a refusal with its sentence, and of a fault of this program. Usage errors give 2."""
EXTRAS = {
    "SimpleITK": "cli",
    "pydicom": "cli",
    "nibabel": "cli",
    "matplotlib": "cli",
    "highdicom": "dicom",
    "python_multipart": "dicom",
    "httpx": "client",
    "zstandard": "client",
    "PIL": "research",
    "torchvision": "research",
    "lightning_fabric": "research",
    "monai": "research",
}
"""Packages that only some commands need, and the extra that brings them."""

app = typer.Typer(
    name="spasegment",
    help="Interactive segmentation that learns what its user includes and leaves out (SPA).",
    epilog="Exit codes: 0 done, 1 refused with one sentence on standard error, 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("segment", no_args_is_help=True, cls=segment.SegmentCommand)(segment.segment)
app.command("train", no_args_is_help=True)(train.train)
app.command("evaluate", no_args_is_help=True)(evaluate.evaluate)
app.command("adapt", no_args_is_help=True)(adapt.adapt)
app.command("compare", no_args_is_help=True)(compare.compare)
app.add_typer(models.app, name="models")
app.command("benchmark")(benchmark.benchmark)
app.command("view")(view.view)
app.command("serve")(serve.serve)
app.command("sample", no_args_is_help=True)(sample.sample)
app.add_typer(profile.app, name="profile")
app.add_typer(study.app, name="study")
app.command("partial", no_args_is_help=True)(partial.partial)
app.command("wong", no_args_is_help=True)(wong.wong)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spasegment {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Nothing is set up before a command runs."""


@functools.lru_cache(maxsize=1)
def _command(of: typer.Typer) -> Any:
    """All commands with their options, made once for programs that run many: it takes a tenth of a second."""
    return typer.main.get_command(of)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; leaves the process with an exit code.

    The one place where errors meet the user: each is one sentence on standard error.
    """
    prepare_streams()
    try:
        _command(app).main(args=None if arguments is None else list(arguments), prog_name="spasegment")
    except SPASegmentError as error:
        _complain(str(error))
        sys.exit(FAILED)
    except MemoryError:
        _complain("This does not fit into the computer's memory; use a smaller volume, or fewer workers.")
        sys.exit(FAILED)
    except OSError as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        about = f" ({error.filename})" if error.filename else ""
        _complain(f"The system refused a file{about}: {error.strerror or type(error).__name__}.")
        sys.exit(FAILED)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        _complain(f'This needs the package {error.name}; run: pip install "spasegment[{EXTRAS[error.name]}]"')
        sys.exit(FAILED)
    except RuntimeError as error:
        if "home directory" not in str(error):
            _unexpected(error)
        _complain("This account has no home folder to keep files in; set HOME to a folder of yours.")
        sys.exit(FAILED)
    except Exception as error:
        _unexpected(error)


def _unexpected(error: Exception) -> NoReturn:
    """Ends for a fault of this program."""
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    _complain(
        f"This should not have happened ({type(error).__name__}: {error}); "
        f"please report it with what {DEBUG_VARIABLE}=1 shows."
    )
    sys.exit(UNEXPECTED)


def _complain(sentence: str) -> None:
    typer.secho(" ".join(sentence.split()), err=True, fg=typer.colors.RED)


if __name__ == "__main__":
    main()
