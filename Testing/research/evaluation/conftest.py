"""What the tests of the evaluation share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))  # so that worker processes find the toys too
