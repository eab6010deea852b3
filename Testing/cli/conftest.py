"""The command run in this process, and a volume for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from SPASegmentLib.cli import main as cli
from SPASegmentLib.cli.sample import write_sample_volume
from SPASegmentLib.imaging.sample import make_sample_volume


@dataclass(frozen=True)
class Ran:
    """What a command left. code: its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run `spasegment` with arguments; all of them are turned into text."""

    def run_(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run_


@pytest.fixture(scope="session")
def a_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up chest CT, tilted on the table, as a file."""
    path = tmp_path_factory.mktemp("volume") / "chest.nrrd"
    write_sample_volume(path, make_sample_volume(0, rotated=True))
    return path
