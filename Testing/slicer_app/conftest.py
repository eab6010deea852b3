"""The stand-in's own tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from slicer_fixtures import *  # noqa: F403
