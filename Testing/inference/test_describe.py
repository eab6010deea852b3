"""The words a candidate gets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from SPASegmentLib.inference.describe import areas_in_words, describe, describe_all

SPACING = (0.5, 0.5)


def a_disc(radius: float, centre: tuple[float, float] = (40, 40), size: int = 80) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size]
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2


def a_box(rows: slice, cols: slice) -> np.ndarray:
    mask = np.zeros((80, 80), bool)
    mask[rows, cols] = True
    return mask


def name_of(recommendation: np.ndarray, candidate: np.ndarray) -> tuple[str, str]:
    description = describe(recommendation, candidate, SPACING, 0.25)
    return description.kind, description.name


def test_a_rim_more():
    disc = a_disc(12)
    assert name_of(disc, ndimage.binary_dilation(disc)) == ("larger", "larger, +15%: adds the rim")


def test_a_rim_less():
    disc = a_disc(12)
    assert name_of(disc, ndimage.binary_erosion(disc)) == ("smaller", "smaller, -15%: drops the rim")


def test_a_rim_of_a_large_object_is_wider_than_two_pixels():
    kind, name = name_of(a_disc(30), a_disc(33))
    assert (kind, name) == ("larger", "larger, +21%: adds the rim")


def test_more_than_a_rim_all_around():
    assert name_of(a_disc(12), a_disc(18)) == ("larger", "larger, +129%: grows all around")
    assert name_of(a_disc(18), a_disc(12)) == ("smaller", "smaller, -56%: shrinks all around")


def test_a_spot_that_is_left_of_an_object_is_not_the_object_without_a_part():
    disc = a_disc(18)
    assert name_of(disc, a_disc(3)) == ("smaller", "smaller, -97%: keeps a small spot")
    assert name_of(disc, a_disc(3, (40, 54))) == ("smaller", "smaller, -97%: keeps a small spot at the right")
    assert name_of(disc, a_disc(12))[1] == "smaller, -56%: shrinks all around"


def test_a_satellite_more_and_less():
    disc, both = a_disc(12), a_disc(12) | a_disc(5.7, (40, 65))
    assert name_of(disc, both) == ("with part", "with a separate part, +25 mm2")
    assert name_of(both, disc) == ("without part", "without a separate part, -25 mm2")


def test_a_vessel_that_hangs_on_the_nodule_more_and_less():
    disc = a_disc(12)
    both = disc | a_box(slice(39, 42), slice(40, 76))
    assert name_of(disc, both) == ("with part", "with a part, +18 mm2")
    assert name_of(both, disc) == ("without part", "without a part, -18 mm2")


@pytest.mark.parametrize(
    ("where", "side"),
    [
        ((40, 46), "right"),
        ((40, 34), "left"),
        ((34, 40), "top"),
        ((46, 40), "bottom"),
        ((36, 36), "upper left"),
    ],
)
def test_growth_to_one_side_is_named_by_the_side_of_the_picture(where: tuple[int, int], side: str):
    disc = a_disc(12)
    kind, name = name_of(disc, disc | a_disc(11, where))
    assert kind == "larger"
    assert name.endswith(f"%: grows at the {side}")


def test_loss_of_one_side_is_named_by_the_side_of_the_picture():
    disc = a_disc(12)
    kind, name = name_of(disc, disc & ~a_box(slice(0, 34), slice(0, 80)))
    assert kind == "smaller"
    assert name.endswith("%: drops the top")


def test_growth_on_two_sides_names_no_side():
    disc = a_disc(12)
    assert ":" not in name_of(disc, disc | a_disc(11, (40, 35)) | a_disc(11, (40, 45)))[1]


def test_a_cavity_filled_and_left_out():
    disc, ring = a_disc(12), a_disc(12) & ~a_disc(4)
    assert name_of(ring, disc) == ("larger", "larger, +12%: fills a hole")
    assert name_of(disc, ring) == ("smaller", "smaller, -11%: leaves a hole")


def test_a_shift_is_measured_in_millimetres():
    disc = a_disc(10)
    assert name_of(disc, np.roll(disc, (0, 3), axis=(0, 1))) == ("shifted", "shifted 1.5 mm")


def test_anything_else_is_reshaped():
    wide, tall = a_box(slice(35, 45), slice(25, 55)), a_box(slice(25, 55), slice(35, 45))
    assert name_of(wide, tall) == ("reshaped", "reshaped")


def test_a_reshaped_outline_says_where_it_is_wider_and_where_narrower():
    disc = a_disc(12)
    other = (disc | a_box(slice(34, 46), slice(52, 54))) & ~a_box(slice(0, 31), slice(0, 80))
    assert name_of(disc, other) == ("reshaped", "reshaped: wider at the right, narrower at the top")


def test_an_outline_with_its_teeth_gone_is_smoother():
    disc = a_disc(12)
    edge = disc & ~ndimage.binary_erosion(disc)
    rows, cols = np.indices(disc.shape)
    toothed = disc & ~(edge & ((rows + cols) % 2 == 0))
    toothed |= ndimage.binary_dilation(disc) & ~disc & ((rows + cols) % 3 == 0)
    assert name_of(toothed, disc) == ("reshaped", "reshaped: smoother outline")
    assert name_of(disc, toothed) == ("reshaped", "reshaped: more irregular outline")


@pytest.mark.parametrize("radius", [3, 6, 12])
def test_a_part_added_on_one_side_of_a_small_mask_is_not_growth_all_around(radius: int):
    small = a_disc(radius)
    kind, name = name_of(small, small | a_disc(1.56 * radius, (40, 40 + 0.5 * radius)))
    assert kind == "larger"
    assert "all around" not in name
    assert name.endswith(("grows at the right", "grows mostly at the right"))


def test_growth_all_around_that_is_thicker_on_one_side_says_so():
    disc = a_disc(12)
    assert name_of(disc, a_disc(22, (40, 44)))[1].endswith("grows all around, most at the right")


def test_growth_all_around_is_measured_on_long_and_on_flat_objects_too():
    long = a_box(slice(38, 42), slice(10, 70))
    wider = ndimage.binary_dilation(long, iterations=5)
    assert describe(long, wider, SPACING, 0.1).name.endswith(": grows all around")
    assert describe(wider, long, (0.5, 2.0), 0.1).name.endswith(": shrinks all around")


def test_areas_and_percentages_follow_the_masks():
    old, new = a_box(slice(20, 40), slice(20, 40)), a_box(slice(20, 40), slice(25, 43))
    d = describe(old, new, (0.5, 2.0), 0.3)
    assert (d.area_mm2, d.added_mm2, d.removed_mm2) == (360.0, 60.0, 100.0)
    assert (d.added_percent, d.removed_percent, d.support) == (15.0, 25.0, 0.3)


def test_what_is_added_and_removed_is_said_in_square_millimetres():
    old, new = a_box(slice(20, 40), slice(20, 40)), a_box(slice(20, 40), slice(21, 43))
    assert areas_in_words(describe(old, new, (0.5, 0.5), 0.3)) == "+15 -5.0 mm2"
    assert areas_in_words(describe(old, old, (0.5, 0.5), 0.3)) == "+0 -0 mm2"


def test_against_an_empty_recommendation_there_is_only_an_area():
    d = describe(np.zeros((80, 80), bool), a_disc(6), SPACING, 1.0)
    assert (d.kind, d.name, d.added_percent, d.removed_percent) == (
        "with part",
        "marks an area, 28 mm2",
        100,
        0,
    )


def test_an_empty_candidate_drops_everything():
    d = describe(a_disc(6), np.zeros((80, 80), bool), SPACING, 1.0)
    assert (d.removed_percent, d.area_mm2) == (100.0, 0.0)


def test_equal_names_get_the_side_then_the_area():
    disc = a_disc(12)
    left, right = disc | a_disc(4, (40, 15)), disc | a_disc(4, (40, 65))
    names = [d.name for d in describe_all(disc, [left, right], [0.5, 0.5], SPACING)]
    assert names == ["with a separate part, +12 mm2, left", "with a separate part, +12 mm2, right"]


def test_two_sizes_of_the_same_percentage_are_told_apart_by_their_area():
    disc = a_disc(36)
    first, second = ndimage.binary_dilation(disc), ndimage.binary_dilation(disc)
    second[4, 40] = True
    names = [d.name for d in describe_all(disc, [first, second], [0.5, 0.5], SPACING)]
    assert names[0] != names[1]
    assert all(name.startswith("larger, +5%: adds the rim") for name in names)


def test_two_candidates_no_words_can_tell_apart_are_numbered():
    disc, bigger = a_disc(12), a_disc(13)
    names = [d.name for d in describe_all(disc, [bigger, bigger], [0.5, 0.5], SPACING)]
    assert len(set(names)) == 2
    assert names[1].endswith("(2)")


def test_a_name_does_not_depend_on_where_in_the_slice_the_object_lies():
    disc, bigger = a_disc(12), a_disc(13)
    moved = describe(np.roll(disc, (-20, 20), (0, 1)), np.roll(bigger, (-20, 20), (0, 1)), SPACING, 0.1)
    assert moved == describe(disc, bigger, SPACING, 0.1)
