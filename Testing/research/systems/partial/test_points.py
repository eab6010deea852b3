"""A rough labelling becomes a seed and a few points of both kinds."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.errors import SeedError
from SPASegmentLib.research.systems.partial.growth import points_of
from SPASegmentLib.research.systems.partial.labels import BACKGROUND, FOREGROUND


def test_every_point_lies_on_a_label_of_its_kind_and_the_seed_is_the_deepest(rough):
    points = points_of(rough)
    for point in points:
        wanted = FOREGROUND if point.positive else BACKGROUND
        assert rough[int(point.row), int(point.col)] == wanted
    assert points[0].positive and np.hypot(points[0].row - 31.5, points[0].col - 31.5) < 1.5


def test_background_next_to_the_object_is_told_and_background_far_away_is_not():
    labels = np.zeros((80, 80), np.uint8)
    labels[40:48, 40:48] = FOREGROUND
    labels[2:4, 2:4] = BACKGROUND
    assert all(point.positive for point in points_of(labels))
    labels[50:52, 40:48] = BACKGROUND
    assert any(not point.positive and point.row >= 50 for point in points_of(labels))


def test_a_single_pixel_and_the_whole_slice_give_a_seed():
    one = np.zeros((20, 20), np.uint8)
    one[3, 17] = FOREGROUND
    assert [(p.row, p.col) for p in points_of(one)] == [(3, 17)]
    assert points_of(np.full((20, 20), FOREGROUND, np.uint8))[0].positive


def test_without_foreground_there_is_nothing_to_grow():
    with pytest.raises(SeedError, match="no foreground"):
        points_of(np.full((20, 20), BACKGROUND, np.uint8))
