"""What a click's Dice changes by when the same slice is shown in another way."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.research.evaluation.invariance import ShownSlice, ways


def a_disc(modality: str | None = "MR", shape: tuple[int, int] = (61, 80)) -> ShownSlice:
    """A bright disc off the middle, a click in it off its own middle; an uneven number of rows."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    target = np.hypot(rows - 22, cols - 50) < 9
    pixels = (0.3 + 0.4 * target + 0.1 * cols / shape[1]).astype(np.float32)
    around = (None, pixels * 0.9, pixels * 0.8, None)
    return ShownSlice(SliceImage(pixels, (0.8, 0.6), modality, neighbours=around), target, (18.0, 54.0))


def test_every_way_shows_the_same_disc_and_the_click_at_the_same_place_in_it() -> None:
    shown = a_disc()
    middle = np.argwhere(shown.target).mean(axis=0)
    away = np.subtract(shown.click, middle) * shown.image.spacing
    found = ways(shown)
    assert len(found) == 9
    for way, one in found.items():
        height, width = one.target.shape
        assert one.image.shape == (height, width), way
        assert [n is None for n in one.image.neighbours] == [True, False, False, True]
        assert one.image.neighbours[1].shape == (height, width)
        mm = np.array(one.image.spacing)
        area = one.target.sum() * mm.prod()
        assert area == pytest.approx(shown.target.sum() * 0.48, rel=0.04), way
        there = (one.click - np.argwhere(one.target).mean(axis=0)) * mm
        expected = {
            "mirrored left to right": (away[0], -away[1]),
            "mirrored top to bottom": (-away[0], away[1]),
            "a quarter turn": (-away[1], away[0]),
        }.get(way, away)
        assert there == pytest.approx(expected, abs=0.1), way
        inside = one.image.pixels[one.target].mean() - one.image.pixels[~one.target].mean()
        assert (inside < 0) == (way == "inverted"), way
        assert one.image.pixels.min() >= 0 and one.image.pixels.max() <= 1


def test_only_mr_is_inverted_and_what_is_too_small_is_left_out() -> None:
    assert "inverted" not in ways(a_disc("CT"))
    shown = a_disc()
    dot = np.zeros_like(shown.target)
    dot[18, 54] = True
    assert "half the resolution" not in ways(ShownSlice(shown.image, dot, shown.click))
