"""Over a thousand random actions at the panel: no exception, no error line, and no approved voxel lost."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

ACTIONS = int(os.environ.get("SPASEGMENT_MASHER", "2500"))
SEEDS = (2, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 3, 4, 5)))
"""Each does its share of the actions, at a panel of its own."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_no_order_of_actions_breaks_anything_or_loses_a_voxel(
    application: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
    seed: int,
) -> None:
    if seed > 2:  # the others do without neighbouring slices that are encoded meanwhile
        request.getfixturevalue("nothing_ahead")
    application.open_panel()
    from random_user import RandomUser
    from SPASegmentWidgets import selftest

    share = ACTIONS // len(SEEDS)
    random_user = RandomUser(selftest.open_panel(tmp_path), tmp_path, seed)
    random_user.run(share)
    oracle = random_user.oracle
    # The menu alone decides how often something is tried; these are far below what any pace gives.
    assert oracle.compared > share and oracle.approved > share / 100 and oracle.undone > share / 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
