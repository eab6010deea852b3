"""Fixtures every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "Testing" / "research" / "datasets" / "support"))  # made-up sets


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the multi-rater data sets: SPASEGMENT_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("SPASEGMENT_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the data sets are not at {folder}; set SPASEGMENT_DATA to their folder")
    return folder
