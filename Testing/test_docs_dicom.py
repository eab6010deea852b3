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

from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.terminology import STRUCTURES
from SPASegmentLib.network.registry import model_path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "dicom.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
sys.path.insert(0, str(ROOT / "Testing" / "imaging" / "support"))  # made-up DICOM files


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
    for index in range(7):
        write_slice(
            desk / "series" / f"{index}.dcm", stored[index], (0, 0, 2.5 * index), FrameOfReferenceUID="1.2.9"
        )
    return desk


def test_the_commands_of_the_page_work_one_after_the_other(a_desk: Path) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    if not model_path("general").exists():
        pytest.skip("the shipped model is not in Resources/Models")
    assert len(COMMANDS) >= 2
    for command in COMMANDS:
        words = [sys.executable, "-m", "SPASegmentLib.cli.main", *shlex.split(command)[1:]]
        ran = subprocess.run(
            words,
            cwd=a_desk,
            env=os.environ | {"PYTHONPATH": str(ROOT), "SPASEGMENT_STATE": str(a_desk / "state")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=200,
            check=False,
        )
        assert ran.returncode == 0, command + ran.stdout + ran.stderr
    volume = read_volume(a_desk / "series")
    for name in ("nodule.dcm", "better.dcm"):
        [read] = read_dicom_seg(a_desk / name, volume)
        assert (read.name, read.structure) == ("Left upper lobe", STRUCTURES["lung-nodule"])
        assert read.mask[3, 28, 30]


def test_the_table_lists_every_structure_with_its_codes() -> None:
    rows = dict(re.findall(r"^\| `(\w[\w-]*)` \| (.+) \|$", PAGE, re.MULTILINE))
    assert list(rows) == list(STRUCTURES)
    for name, structure in STRUCTURES.items():
        concepts = [one for one in (structure.category, structure.type, structure.region) if one]
        assert rows[name] == ", ".join(f"{one.meaning} ({one.value})" for one in concepts)
