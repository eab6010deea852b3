"""What is drawn over a slice."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from SPASegmentLib.reporting.overlay import (
    ADDED,
    RECOMMENDED,
    REMOVED,
    View,
    draw,
    stretched,
    swatch,
    view_of,
)


def a_mask(rows: slice, cols: slice, shape: tuple[int, int] = (100, 120)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[rows, cols] = True
    return mask


def lightness(rgb: np.ndarray) -> float:
    return float(rgb.reshape(-1, 3).mean(axis=0) @ [0.2126, 0.7152, 0.0722])


def test_the_view_holds_all_masks_and_points_with_room_around():
    view = view_of([a_mask(slice(40, 60), slice(50, 70))], [(35, 55)], (1, 1))
    rows, cols = view.pixels(200)
    assert rows[0] < 34
    assert rows[-1] > 60
    assert cols[0] < 49
    assert cols[-1] > 71
    assert view.size < 70, "small objects are not lost in a large slice"


def test_the_view_stays_on_the_slice_and_on_tiny_slices_shows_all_of_it():
    rows, _ = view_of([a_mask(slice(0, 10), slice(0, 10))], [], (1, 1)).pixels(50)
    assert rows[0] > -0.5
    view = view_of([a_mask(slice(1, 2), slice(1, 2), (5, 9))], [], (2, 1))
    assert view == View((2.0, 4.0), 10.0, (2, 1))


def test_a_view_without_any_mask_shows_the_slice():
    assert view_of([np.zeros((10, 30), bool)], [], (1, 1)).size == 30


def test_millimetres_count_not_pixels():
    view = view_of([a_mask(slice(40, 60), slice(50, 60))], [], (1.0, 2.0))
    square = draw(np.zeros((100, 120)), view, 200, [(a_mask(slice(40, 60), slice(50, 60)), RECOMMENDED)])
    hit = np.argwhere(square.any(axis=2))
    high, wide = np.ptp(hit, axis=0)
    assert abs(int(high) - int(wide)) <= 2


def test_a_mask_is_drawn_exactly_where_its_pixels_are():
    mask = a_mask(slice(45, 46), slice(60, 61))
    view = view_of([mask], [], (1, 1))
    drawn = np.argwhere(draw(np.zeros((100, 120)), view, 320, [(mask, ADDED)]).any(axis=2))
    row, col = view.place(45, 60, 320)
    np.testing.assert_allclose(drawn.mean(axis=0), (row, col), atol=1)
    assert np.ptp(drawn, axis=0).tolist() == [9, 9], "a pixel of 32 across 320 dots is ten dots wide"


def test_what_lies_beside_the_slice_is_black():
    picture = draw(np.ones((5, 9)), View((2, 4), 9, (1, 1)), 90, [])
    assert not picture[:15].any()
    assert (picture[25:65] == 255).all()


def test_additions_and_removals_differ_in_hue_lightness_and_pattern():
    added, removed = swatch(ADDED, 60, 60), swatch(REMOVED, 60, 60)
    assert abs(lightness(added) - lightness(removed)) > 40
    hues = [colorsys.rgb_to_hsv(*(np.array(look.fill) / 255))[0] for look in (ADDED, REMOVED)]
    assert 0.25 < abs(hues[0] - hues[1]) < 0.75
    inner = (added[10:50, 10:50], removed[10:50, 10:50])
    stripes, dots = ((p == p.min(axis=(0, 1))).all(axis=2) for p in inner)
    assert stripes.any(axis=0).all(), "stripes cross every column"
    assert stripes.any(axis=1).all()
    assert 0.05 < dots.mean() < 0.5
    assert not np.array_equal(stripes, dots)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("look", [ADDED, REMOVED])
def test_changes_stand_out_from_dark_and_bright_tissue(look, level: float):
    mask = a_mask(slice(20, 80), slice(20, 80), (100, 100))
    picture = draw(np.full((100, 100), level), View((49.5, 49.5), 100, (1, 1)), 400, [(mask, look)])
    inside, outside = picture[100:300, 100:300].astype(float), picture[10:50].astype(float)
    assert np.abs(inside - outside.mean(axis=(0, 1))).sum(axis=2).mean() > 100


def test_colour_slices_keep_their_colours():
    pixels = np.zeros((40, 40, 3), np.float32)
    pixels[..., 0] = 1
    assert draw(pixels, view_of([np.zeros((40, 40), bool)], [], (1, 1)), 40, [])[20, 20].tolist() == [
        255,
        0,
        0,
    ]


def test_a_faint_object_is_shown_with_the_contrast_of_what_is_in_view():
    pixels = np.full((100, 120), 0.1, np.float32)
    pixels[40:60, 50:70] = 0.3
    pixels[:5] = 1.0
    view = view_of([a_mask(slice(40, 60), slice(50, 70))], [], (1, 1))
    shown = stretched(pixels, view)
    assert (shown[50, 60], shown[38, 48]) == (1, 0)
    flat = np.full((100, 120), 0.4, np.float32)
    assert stretched(flat, view) is flat
