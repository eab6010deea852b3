"""An engine whose samples are known: discs of several sizes around the middle of a slice."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region, SliceImage
from SPASegmentLib.inference.messages import Feedback, ModelInfo, Proposal
from SPASegmentLib.research.systems.partial.labels import BACKGROUND, FOREGROUND

SIDE, MIDDLE = 64, 31.5
_ROWS, _COLS = np.mgrid[:SIDE, :SIDE]
DISTANCE = np.hypot(_ROWS - MIDDLE, _COLS - MIDDLE)


class DiscEngine:
    """Answers every request with discs of radius 8, 10, 12 and 14 pixels, in equal parts."""

    model = ModelInfo("discs", "0", 1, "nothing")
    radii = (8, 10, 12, 14)

    def __init__(self) -> None:
        self.requests = []

    def propose(self, request, cancel=None):
        self.requests.append(request)
        region = Region((MIDDLE, MIDDLE), 48.0, 48)
        discs = [zoom.sample((radius > DISTANCE).astype(float), (1.0, 1.0), region) for radius in self.radii]
        samples = np.round(255 * np.repeat(discs, 4, axis=0)).astype(np.uint8)
        nothing = np.zeros((SIDE, SIDE), bool)
        feedback = Feedback(
            region, samples, np.zeros(16, int), samples[:0], samples[0], np.zeros((0, 1), np.float64)
        )
        return Proposal(nothing, nothing.astype(np.float32), (), feedback, 0.0)


@pytest.fixture
def engine() -> DiscEngine:
    return DiscEngine()


@pytest.fixture
def image() -> SliceImage:
    return SliceImage((DISTANCE < 11).astype(np.float32))


@pytest.fixture
def distance() -> np.ndarray:
    return DISTANCE


@pytest.fixture
def rough() -> np.ndarray:
    """The middle is foreground, a stroke to the left is background."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[DISTANCE < 4] = FOREGROUND
    labels[20:44, 10:13] = BACKGROUND
    return labels
