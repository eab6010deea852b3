"""The region follows the object: from a speck to an organ, wherever in it the click lies."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.engine.looks import find_region, stands_out
from SPASegmentLib.engine.messages import ProposalRequest
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.network.config import SPAConfig


def disc(radius: float, centre=(100, 100), size: int = 200) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size]
    return np.hypot(rows - centre[0], cols - centre[1]) < radius


def request(mask: np.ndarray, seed=(100.0, 100.0), spacing=(1.0, 1.0)) -> ProposalRequest:
    pixels = 0.2 + 0.5 * mask + np.random.default_rng(0).normal(0, 0.02, mask.shape)
    return ProposalRequest(SliceImage(pixels.astype(np.float32), spacing), (PointPrompt(*seed),))


@pytest.mark.parametrize("radius", [3.0, 10.0, 30.0, 60.0])
def test_the_region_ends_about_three_times_as_wide_as_the_object(radius):
    mask = disc(radius)
    region = find_region(request(mask), SPAConfig(), lambda region: (mask, 0.9))
    assert region.size_mm == pytest.approx(np.clip(2.75 * 2 * radius, 24, 200), rel=0.2)


def test_a_spot_found_inside_an_organ_gives_way_to_the_organ():
    organ, spot = disc(60), disc(4)

    def look(region):
        return (organ, 0.8) if region.size_mm > 90 else (spot, 0.6)

    region = find_region(request(organ), SPAConfig(), look)
    assert region.size_mm > 120


def test_an_object_that_stands_out_needs_no_second_size_of_look():
    nodule, looks = disc(8), []

    def look(region):
        looks.append(region.size_mm)
        return nodule, 0.9

    find_region(request(nodule), SPAConfig(), look)
    assert max(looks) <= 64


def test_contrast_tells_objects_from_spots_in_tissue():
    mask = disc(20)
    pixels = request(mask).image.pixels
    assert stands_out(pixels, mask) > 5
    assert stands_out(pixels, disc(5)) < 0.5
    assert stands_out(pixels, np.zeros_like(mask)) == 0
