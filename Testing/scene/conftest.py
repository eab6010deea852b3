"""What the tests of the scene share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slicer_app"))

from slicer_fixtures import *  # noqa: F403
