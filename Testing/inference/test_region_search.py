"""The region follows the object: from a speck to an organ, wherever in it the click lies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.messages import ProposalRequest, UsualArea
from SPASegmentLib.inference.region_search import Sight, find_regions, of_usual_area, stands_out
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
    region = find_regions(request(mask), SPAConfig(), lambda regions: [Sight(mask, 0.9)] * len(regions))[
        0
    ].region
    assert region.size_mm == pytest.approx(np.clip(2.75 * 2 * radius, 24, 200), rel=0.2)


def test_a_spot_found_inside_an_organ_gives_way_to_the_organ():
    organ, spot = disc(60), disc(4)

    def look(regions):
        return [Sight(organ, 0.8) if region.size_mm > 90 else Sight(spot, 0.6) for region in regions]

    region = find_regions(request(organ), SPAConfig(), look)[0].region
    assert region.size_mm > 120


def test_an_object_that_stands_out_needs_no_second_size_of_look():
    nodule, looks = disc(8), []

    def look(regions):
        looks.extend(region.size_mm for region in regions)
        return [Sight(nodule, 0.9)] * len(regions)

    find_regions(request(nodule), SPAConfig(), look)
    assert max(looks) <= 64


def test_contrast_tells_objects_from_spots_in_tissue():
    mask = disc(20)
    pixels = request(mask).image.pixels
    assert stands_out(pixels, mask) > 5
    assert stands_out(pixels, disc(5)) < 0.5
    assert stands_out(pixels, np.zeros_like(mask)) == 0


EXPECTS = SPAConfig(extent_bins=20, zoom_factor=2.2)


def sees(mask: np.ndarray):
    """A network that segments well what fills a third to two thirds of the region, and knows it."""

    def look(regions):
        found = []
        for region in regions:
            extent = (
                max(np.ptp(np.flatnonzero(mask.any(axis=0))), np.ptp(np.flatnonzero(mask.any(axis=1)))) + 1
            )
            rows, cols = np.mgrid[: mask.shape[0], : mask.shape[1]]
            inside = (
                np.maximum(abs(rows - region.centre[0]), abs(cols - region.centre[1])) < region.size_mm / 2
            )
            fits = 1 - abs(math.log2(extent / region.size_mm * 2.2))
            found.append(Sight(mask & inside, 0.9, 0.5 + 0.4 * fits))
        return found

    return look


@pytest.mark.parametrize(("radius", "centre"), [(4.0, (100, 100)), (15.0, (90, 104)), (45.0, (70, 130))])
def test_a_network_that_expects_a_dice_gets_the_region_that_fits_the_object(radius, centre):
    mask = disc(radius, centre)
    region = find_regions(request(mask), EXPECTS, sees(mask))[0].region
    assert region.size_mm == pytest.approx(np.clip(2.2 * 2 * radius, 24, 200), rel=0.25)
    assert region.centre == pytest.approx(centre, abs=2)


@pytest.mark.parametrize(("certainty", "expected", "wanted"), [(0.8, 0.7, "organ"), (0.45, 0.2, "spot")])
def test_of_an_organ_and_a_spot_in_it_that_are_as_sure_the_organ_is_meant(certainty, expected, wanted):
    masks = {"organ": disc(60), "spot": disc(4)}

    def look(regions):
        return [
            Sight(masks["organ"], certainty, expected)
            if region.size_mm > 90
            else Sight(masks["spot"], 0.9, 0.8)
            for region in regions
        ]

    found = find_regions(request(masks["organ"]), EXPECTS, look)
    assert [one.sight is not None and one.sight.mask is masks[wanted] for one in found] == [True, False]
    assert found[0].log_weight > found[1].log_weight
    organ, spot = (found[0], found[1]) if wanted == "organ" else (found[1], found[0])
    assert organ.log_certainty < spot.log_certainty, "of which the network is surer, whatever its size"
    assert np.exp([one.log_certainty for one in found]).sum() == pytest.approx(1)


def test_a_spot_hardly_brighter_than_the_tissue_around_it_gives_way_to_the_organ():
    organ, spot = disc(60), disc(4)
    pixels = request(organ).image.pixels + 0.025 * spot
    faint = replace(request(organ), image=SliceImage(pixels.astype(np.float32)))
    assert 0.3 < stands_out(pixels, spot) < 1.4

    def look(regions):
        return [Sight(organ, 0.8) if region.size_mm > 90 else Sight(spot, 0.6) for region in regions]

    assert find_regions(faint, SPAConfig(), look)[0].region.size_mm > 120


def test_of_objects_under_one_click_the_one_that_is_as_large_as_usual_comes_first():
    organ, spot = disc(60), disc(4)

    def look(regions):
        return [Sight(organ, 0.9, 0.8) if one.size_mm > 90 else Sight(spot, 0.8, 0.8) for one in regions]

    found = find_regions(request(organ), EXPECTS, look)
    assert found[0].sight is not None and found[0].sight.mask is organ

    def first(area: float, deviation: float, spacing: tuple[float, float] = (1.0, 1.0)):
        ordered = of_usual_area(found, UsualArea(math.log(area), deviation), spacing)
        assert np.exp([one.log_weight for one in ordered]).sum() == pytest.approx(1)
        assert np.exp([one.log_certainty for one in ordered]).sum() == pytest.approx(1)
        assert ordered[0].log_weight == max(one.log_weight for one in ordered)
        assert ordered[0].sight is not None
        return ordered[0].sight.mask, ordered[0].log_weight

    assert first(50, 0.4)[0] is spot and first(11_000, 0.4)[0] is organ
    assert first(50, 20)[0] is organ, "who segments all sizes says nothing"
    assert first(2000, 0.4)[0] is organ and first(2000, 0.4, (2.0, 2.0))[0] is spot, "areas are in mm2"
    assert first(50, 0.01)[1] < np.log(0.97), "however sure, it may be another object this time"
    assert of_usual_area(found[:1], UsualArea(0.0, 0.1), (1.0, 1.0)) == found[:1]
