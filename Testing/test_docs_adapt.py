"""Every command of the page about adapting works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.network.registry import model_path
from SPASegmentLib.profiles.approvals import ApprovalFolder, ApprovedObject
from SPASegmentLib.research.evaluation.adapting import ALLOWED_LOSS, LEAST_OBJECTS
from SPASegmentLib.research.training.adapting import Recipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "adapt.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.fixture
def a_desk(tmp_path: Path) -> Path:
    """A folder with the sample, and three objects that were approved before."""
    store = ApprovalFolder(tmp_path / "approved")
    rows, cols = np.mgrid[:96, :96]
    for number in range(3):
        mask = np.hypot(rows - 48, cols - 48) < 8 + 2 * number
        image = SliceImage((0.2 + 0.5 * mask).astype(np.float32), (0.7, 0.7), "CT")
        store.keep(ApprovedObject(image, mask, (48, 48), str(number)))
    return tmp_path


def test_the_commands_of_the_page_work_one_after_the_other(a_desk: Path) -> None:
    """Adapting with one step and whatever comes of it: what it learns is tested elsewhere."""
    if not model_path("general").exists():
        pytest.skip("the shipped model is not in Resources/Models")
    said = ""
    for command in ["spasegment sample chest.nrrd", *COMMANDS]:
        words = shlex.split(command)[1:]
        quick = ["--steps", "1", "--force"] if words[0] == "adapt" else []
        ran = subprocess.run(
            [sys.executable, "-m", "SPASegmentLib.cli.main", *words, *quick],
            cwd=a_desk,
            env=os.environ | {"PYTHONPATH": str(ROOT), "SPASEGMENT_MODELS": str(a_desk / "models")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, command + ran.stdout + ran.stderr
        said += ran.stdout + ran.stderr
    assert "4 approved objects of 4 volumes" in " ".join(said.split())
    assert (a_desk / "with-ours.seg.nrrd").exists()
    assert list((a_desk / "models" / "own").iterdir()) == []


def test_the_page_states_the_codes_numbers() -> None:
    assert f"trainings of {Recipe().steps} steps" in PAGE
    assert f"loses no more than {ALLOWED_LOSS}" in PAGE
    assert f"At least {('no', 'one', 'two', 'three', 'four')[LEAST_OBJECTS]} objects of two volumes" in PAGE
