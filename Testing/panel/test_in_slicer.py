"""The self-test, the clinician and the random user in the real application that SLICER_EXECUTABLE names."""

from __future__ import annotations

import json
import os
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1500
ERROR_LINE = re.compile(
    r"Traceback|^\w*(Error|Exception): |ERROR|\bERR\||PythonQt: .*does not exist|\[CRITICAL\]"
    r"|Unable to find|Failed to|no display properties|Warning: In",
    re.M,
)
pytestmark = [pytest.mark.slicer, pytest.mark.timeout(SECONDS + 60)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """What came of one run of Slicer, all it wrote, and the folder with its pictures."""
    executable = os.environ.get("SLICER_EXECUTABLE")
    if not executable:
        pytest.skip("SLICER_EXECUTABLE does not name a Slicer to run in")
    folder = Path(os.environ.get("SPASEGMENT_SCREENSHOTS") or tmp_path_factory.mktemp("slicer"))
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.json"
    results.unlink(missing_ok=True)
    done = subprocess.run(
        [
            executable,
            "--no-splash",
            "--ignore-slicerrc",
            "--additional-module-paths",
            str(ROOT / "SPASegment"),
            "--python-script",
            str(ROOT / "Testing" / "panel" / "in_slicer.py"),
        ],
        env={
            **os.environ,
            "SPASEGMENT_RESULTS": str(results),
            "SPASEGMENT_PROFILES": str(folder / "profiles"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
    assert results.is_file(), (
        f"Slicer ended with {done.returncode} before anything ran:\n{done.stdout[-4000:]}"
    )
    return json.loads(results.read_text(encoding="utf-8")), done.stdout, folder


def test_every_scenario_ran_and_passed(run: tuple[dict[str, Any], str, Path]) -> None:
    found, output, _folder = run
    assert len(found["ran"]) >= 13, f"only {found['ran']} ran:\n{found['failed']}\n{output[-4000:]}"
    assert found["failed"] == {}, "\n\n".join(f"{name}:\n{text}" for name, text in found["failed"].items())


def test_the_module_opens_in_two_seconds(run: tuple[dict[str, Any], str, Path]) -> None:
    assert run[0]["loading"] < 2.0


def test_the_five_views_fit_a_small_screen(run: tuple[dict[str, Any], str, Path]) -> None:
    assert run[0]["width"] <= 1280


def test_slicer_wrote_no_error(run: tuple[dict[str, Any], str, Path]) -> None:
    import scenarios

    lines = [line for line in run[1].splitlines() if ERROR_LINE.search(line)]
    assert [line for line in lines if not any(own in line for own in scenarios.SLICERS_OWN)] == []


def test_the_pictures_were_taken(run: tuple[dict[str, Any], str, Path]) -> None:
    views = run[0]["views"]
    assert (len(views["own-layout"]), len(views["four-up"])) == (5, 3)
    for files in views.values():
        assert_seen([_grey(run[2] / name) for name in files])
    for name in ("own-layout.png", "four-up.png"):
        assert _grey(run[2] / name).shape == (800, 1280)


def assert_seen(pictures: list[np.ndarray]) -> None:
    """Each picture has contrast, in its middle too, and no two are alike; (H, W) grey in [0, 255] each."""
    small = []
    for number, picture in enumerate(pictures):
        height, width = picture.shape
        middle = picture[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
        for part, where in ((picture, "picture"), (middle, "middle")):
            spread = float(np.percentile(part, 98) - np.percentile(part, 2))
            assert spread > 40, f"the {where} of view {number} has a contrast of {spread:.0f} of 255"
        rows, cols = (np.linspace(0, size - 1, 160).astype(int) for size in picture.shape)
        small.append(picture[np.ix_(rows, cols)].astype(float))
    for one, other in combinations(range(len(small)), 2):
        differing = float((np.abs(small[one] - small[other]) > 8).mean())
        assert differing > 0.001, f"views {one} and {other} show the same"


def _grey(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))


def test_black_and_equal_views_are_no_pictures() -> None:
    rng = np.random.default_rng(0)
    seen = [rng.integers(0, 255, (300, 400)) for _ in range(5)]
    assert_seen(seen)
    for wrong in (np.zeros((300, 400)), np.full((300, 400), 90), seen[0].copy()):
        with pytest.raises(AssertionError):
            assert_seen([*seen[:4], wrong])
