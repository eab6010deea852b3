"""The root of the command line: help, versions, errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from SPASegmentLib import __version__
from SPASegmentLib.cli import main as cli
from SPASegmentLib.errors import InputError

HEAVY = ("torch", "numpy", "scipy", "SimpleITK", "matplotlib", "sklearn")


def test_help_needs_none_of_the_heavy_libraries_and_a_list_of_models_no_torch():
    code = (
        "import sys\nfrom SPASegmentLib.cli import main as cli\n"
        "def said(*arguments):\n    try:\n        cli.main(arguments)\n    except SystemExit:\n        pass\n"
        f"    return [name for name in {HEAVY} if name in sys.modules]\n"
        "print('loaded', said('--help'), 'torch' in said('models', 'list'))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    ).stdout
    assert "adapted models in" in shown and shown.rstrip().endswith("loaded [] False")
    for command in ("segment", "train", "evaluate", "models", "profile", "benchmark", "sample"):
        assert command in shown


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("segment",),
            ("--seed-ras", "--seed-ijk", "--orientation", "--window", "--model", "--picks", "--out"),
        ),
        (("segment",), ("--report", "--json", "--device", "--seed-value", "--profile", "spasegment segment")),
        (("train",), ("--dataset", "--path", "--out", "--config", "--resume", "spasegment train")),
        (("evaluate",), ("--split", "--subset", "--model", "--limit", "--out", "spasegment evaluate")),
        (("models",), ("list", "download", "verify", "delete")),
        (("benchmark",), ("--model", "--threads", "spasegment benchmark")),
        (("sample",), ("OUT.nrrd", "--rotated", "spasegment sample")),
    ],
)
def test_every_command_has_help_with_its_options_and_an_example(run, monkeypatch, command, words):
    monkeypatch.setenv("COLUMNS", "160")
    ran = run(*command, "--help")
    assert ran.code == 0
    for word in words:
        assert word in ran.out


def test_the_version_is_told(run):
    assert run("--version").out == f"spasegment {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [("dance",), ("segment", "--bogus"), ("models", "dance"), ("train", "--resume")]
)
def test_wrong_usage_is_explained_and_exits_with_2(run, arguments):
    ran = run(*arguments)
    assert ran.code == 2
    assert "Usage" in ran.err
    assert "Traceback" not in ran.err


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """A command that raises what it is given."""

    def set_up(error: BaseException) -> None:
        app = typer.Typer(pretty_exceptions_enable=False)

        @app.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "app", app)

    return set_up


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("The file is\nodd; give another."), 1, "The file is odd; give another."),
        (MemoryError(), 1, "This does not fit into the computer's memory"),
        (OSError(28, "No space left on device", "/tmp/x"), 1, "No space left on device"),
        (RuntimeError("Could not determine home directory."), 1, "This account has no home folder"),
        (RuntimeError("out of memory"), 70, "This should not have happened (RuntimeError"),
        (ZeroDivisionError("division by zero"), 70, "This should not have happened (ZeroDivisionError"),
    ],
)
def test_every_error_ends_as_one_sentence_on_standard_error(run, failing, error, code, sentence):
    failing(error)
    ran = run()
    assert (ran.code, ran.out) == (code, "")
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_a_developer_can_see_where_an_error_happened(failing, monkeypatch):
    failing(ZeroDivisionError("division by zero"))
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_stopping_with_ctrl_c_shows_no_traceback(run, failing):
    failing(KeyboardInterrupt())
    ran = run()
    assert ran.code != 0
    assert "Traceback" not in ran.err


def test_a_sample_is_written_with_places_to_click(run, tmp_path):
    ran = run("sample", tmp_path / "new" / "chest.nrrd")
    assert ran.code == 0
    assert (tmp_path / "new" / "chest.nrrd").stat().st_size > 1e6
    assert "--seed-ras" in ran.out
    assert "nodule with a soft rim" in ran.out
    assert run("sample", tmp_path / "chest.mha").code == 1
