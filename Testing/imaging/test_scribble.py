"""A scribble becomes few points that lie on it and are spread over all of it."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.imaging.scribble import MOST, NEAREST, scribble_points


def test_the_points_lie_on_the_scribble_and_reach_its_ends():
    drawn = np.zeros((40, 60), bool)
    drawn[20, 5:55] = True
    points = scribble_points(drawn, (1.0, 1.0))
    assert all(drawn[round(p.row), round(p.col)] and p.positive for p in points)
    assert abs(points[0].col - 29.5) <= 1, "the first in the middle"
    columns = sorted(p.col for p in points)
    assert (columns[0], columns[-1], len(columns)) == (5, 54, MOST)
    assert max(np.diff(columns)) < 16


def test_distances_are_in_millimetres():
    drawn = np.zeros((40, 40), bool)
    drawn[5:35, 20] = drawn[20, 5:35] = True
    points = scribble_points(drawn, (4.0, 1.0), most=3)
    assert all(p.col == 20 for p in points), "down the long way in mm before across"


def test_a_dot_is_one_point_and_an_empty_scribble_none():
    drawn = np.zeros((40, 40), bool)
    assert scribble_points(drawn, (1.0, 1.0)) == ()
    drawn[10:12, 10:12] = True
    assert len(scribble_points(drawn, (1.0, 1.0), positive=False)) == 1
    assert not scribble_points(drawn, (1.0, 1.0), positive=False)[0].positive


def test_no_two_points_are_closer_than_they_may_be():
    drawn = np.random.default_rng(0).random((9, 9)) > 0.3
    points = scribble_points(drawn, (0.5, 0.5), most=50)
    at = np.array([(p.row, p.col) for p in points])
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1)[~np.eye(len(at), dtype=bool)]
    assert 4 < len(points) < 50 and apart.min() >= NEAREST
