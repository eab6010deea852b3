"""Every command of the page about adapting works as it stands there."""

from __future__ import annotations

import re
import shlex
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.cli.main import main
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


def test_the_commands_of_the_page_work_one_after_the_other(
    a_desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Adapting with one step, whatever comes of it: what it learns is tested elsewhere."""
    if not model_path("general").exists():
        pytest.skip("the shipped model is not in Resources/Models")
    monkeypatch.chdir(a_desk)
    monkeypatch.setenv("SPASEGMENT_MODELS", str(a_desk / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdin", StringIO())
    for command in COMMANDS:
        words = shlex.split(command)[1:]
        quick = ["--steps", "1", "--force"] if words[0] == "adapt" else []
        with pytest.raises(SystemExit) as ended:
            main([*words, *quick])
        assert not ended.value.code, command
    said = capsys.readouterr()
    assert "4 approved objects of 4 volumes" in said.out + said.err
    assert (a_desk / "with-ours.seg.nrrd").exists()
    assert list((a_desk / "models" / "own").iterdir()) == []


def test_the_page_states_the_codes_numbers() -> None:
    assert f"trainings of {Recipe().steps} steps" in PAGE
    assert f"loses no more than {ALLOWED_LOSS}" in PAGE
    assert f"At least {('no', 'one', 'two', 'three', 'four')[LEAST_OBJECTS]} objects of two volumes" in PAGE
