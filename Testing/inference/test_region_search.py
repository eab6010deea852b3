"""The region follows the object: from a speck to an organ, wherever in it the click lies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.inference.region_search import Sight, find_region, likely_extent, stands_out
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.extent import soft_bins


def disc(radius: float, centre=(100, 100), size: int = 200) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size]
    return np.hypot(rows - centre[0], cols - centre[1]) < radius


def request(mask: np.ndarray, seed=(100.0, 100.0), spacing=(1.0, 1.0)) -> ProposalRequest:
    pixels = 0.2 + 0.5 * mask + np.random.default_rng(0).normal(0, 0.02, mask.shape)
    return ProposalRequest(SliceImage(pixels.astype(np.float32), spacing), (PointPrompt(*seed),))


@pytest.mark.parametrize("radius", [3.0, 10.0, 30.0, 60.0])
def test_the_region_ends_about_three_times_as_wide_as_the_object(radius):
    mask = disc(radius)
    region = find_region(request(mask), SPAConfig(), lambda region: Sight(mask, 0.9))
    assert region.size_mm == pytest.approx(np.clip(2.75 * 2 * radius, 24, 200), rel=0.2)


def test_a_spot_found_inside_an_organ_gives_way_to_the_organ():
    organ, spot = disc(60), disc(4)

    def look(region):
        return Sight(organ, 0.8) if region.size_mm > 90 else Sight(spot, 0.6)

    region = find_region(request(organ), SPAConfig(), look)
    assert region.size_mm > 120


def test_an_object_that_stands_out_needs_no_second_size_of_look():
    nodule, looks = disc(8), []

    def look(region):
        looks.append(region.size_mm)
        return Sight(nodule, 0.9)

    find_region(request(nodule), SPAConfig(), look)
    assert max(looks) <= 64


def test_contrast_tells_objects_from_spots_in_tissue():
    mask = disc(20)
    pixels = request(mask).image.pixels
    assert stands_out(pixels, mask) > 5
    assert stands_out(pixels, disc(5)) < 0.5
    assert stands_out(pixels, np.zeros_like(mask)) == 0


EXTENT = SPAConfig(extent_bins=20, zoom_factor=2.2)


def says(extent_mm: float):
    """What a network that knows the extent says in a region."""

    def look(region) -> Sight:
        size = torch.tensor(math.log2(extent_mm / region.size_mm))
        return Sight(disc(extent_mm / 2), 0.9, soft_bins(size, 20).numpy())

    return look


@pytest.mark.parametrize("extent", [8.0, 30.0, 90.0])
def test_a_network_that_says_how_large_the_object_is_gets_a_region_of_that_size(extent):
    region = find_region(request(disc(extent / 2)), EXTENT, says(extent))
    assert region.size_mm == pytest.approx(np.clip(2.2 * extent, 24, 200), rel=0.2)


def test_a_look_too_close_to_see_the_whole_yields_to_the_looks_that_see_it():
    close, far = np.full(20, 0.0), soft_bins(torch.tensor(math.log2(100 / 256)), 20).numpy()
    close[-1] = 1.0  # as large as it can say
    assert likely_extent([(32.0, close), (256.0, far), (512.0, np.roll(far, -3))]) == pytest.approx(
        100, rel=0.15
    )


def test_a_spot_hardly_brighter_than_the_tissue_around_it_gives_way_to_the_organ():
    organ, spot = disc(60), disc(4)
    pixels = request(organ).image.pixels + 0.025 * spot
    faint = replace(request(organ), image=SliceImage(pixels.astype(np.float32)))
    assert 0.3 < stands_out(pixels, spot) < 1.4

    def look(region):
        return Sight(organ, 0.8) if region.size_mm > 90 else Sight(spot, 0.6)

    assert find_region(faint, SPAConfig(), look).size_mm > 120
