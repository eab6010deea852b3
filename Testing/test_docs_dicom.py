"""Every command of the page about DICOM works as it stands there, and its table is the code's."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import warm

from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.terminology import STRUCTURES
from SPASegmentLib.network.registry import model_path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "dicom.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
for part in ("imaging", "cli"):
    sys.path.insert(0, str(ROOT / "Testing" / part / "support"))  # made-up DICOM files, Orthanc


@pytest.fixture(scope="module")
def a_desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a DICOM series of a bright ball."""
    from made_dicom import write_slice

    desk = tmp_path_factory.mktemp("desk")
    k, j, i = np.mgrid[:7, :56, :60]
    ball = np.hypot(np.hypot((k - 3) * 2.5, (j - 28) * 0.8), (i - 30) * 0.7) < 7
    stored = (np.where(ball, 1000, 300) + np.random.default_rng(0).normal(0, 20, ball.shape)).astype(
        np.uint16
    )
    uids = {"StudyInstanceUID": "1.2.826.0.1.99.1", "FrameOfReferenceUID": "1.2.9"}
    for index in range(7):
        path, position = desk / "series" / f"{index}.dcm", (0, 0, 2.5 * index)
        write_slice(path, stored[index], position, series="1.2.826.0.1.99.1.2", **uids)
    return desk


def run(command: str, desk: Path, **environment: str) -> None:
    """Run a command of the page there; it must succeed."""
    ran = warm.run(
        [sys.executable, "-m", "SPASegmentLib.cli.main", *shlex.split(command)[1:]],
        cwd=desk,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SPASEGMENT_STATE": str(desk / "state")} | environment,
        stdin=subprocess.DEVNULL,
        timeout=200,
    )
    assert ran.returncode == 0, command + ran.stdout + ran.stderr


@pytest.fixture
def the_shipped_model() -> None:
    if not model_path("general").exists():
        pytest.skip("the shipped model is not in Resources/Models")


@pytest.mark.usefixtures("the_shipped_model")
def test_the_commands_of_the_page_work_one_after_the_other(a_desk: Path) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    here = [command for command in COMMANDS if "--dicomweb" not in command]
    assert len(here) >= 2
    for command in here:
        run(command, a_desk)
    volume = read_volume(a_desk / "series")
    for name in ("nodule.dcm", "better.dcm"):
        [read] = read_dicom_seg(a_desk / name, volume)
        assert (read.name, read.structure) == ("Left upper lobe", STRUCTURES["lung-nodule"])
        assert read.mask[3, 28, 30]


@pytest.mark.usefixtures("the_shipped_model")
def test_the_command_for_an_archive_works(a_desk: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    from orthanc import AUTH, running_orthanc

    [command] = [command for command in COMMANDS if "--dicomweb" in command]
    with running_orthanc(tmp_path) as server:
        server.add(a_desk / "series")
        address = "https://pacs.example.org/dicom-web"
        assert address in command
        run(command.replace(address, server.dicomweb), a_desk, SPASEGMENT_DICOMWEB_AUTH=AUTH)
        [[stored]] = server.series("SEG")
    (tmp_path / "stored.dcm").write_bytes(stored)
    [read] = read_dicom_seg(tmp_path / "stored.dcm", read_volume(a_desk / "series"))
    assert read.structure == STRUCTURES["lung-nodule"] and read.mask[3, 28, 30]


def test_the_table_lists_every_structure_with_its_codes() -> None:
    rows = dict(re.findall(r"^\| `(\w[\w-]*)` \| (.+) \|$", PAGE, re.MULTILINE))
    assert list(rows) == list(STRUCTURES)
    for name, structure in STRUCTURES.items():
        concepts = [one for one in (structure.category, structure.type, structure.region) if one]
        assert rows[name] == ", ".join(f"{one.meaning} ({one.value})" for one in concepts)
