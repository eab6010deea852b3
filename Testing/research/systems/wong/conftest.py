"""A run of the experiment so small that it takes a second."""

from __future__ import annotations

import pytest

from SPASegmentLib.research.systems.wong.discs import WongOptions


@pytest.fixture
def tiny() -> WongOptions:
    return WongOptions(
        steps=6,
        batch=4,
        images=12,
        validation_images=10,
        held_out_images=20,
        checkpoint_every=2,
        precision="32-true",
    )
