"""Levels of a map: their order, their bisection by picks, and what contradictions leave."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.research.systems.level_sets import Interval, Levels, LevelSets, moved_to

SCALES = ("probability", "logit", "area", "log-area")


def cone(width: float = 2.0, top: float = 8.0) -> np.ndarray:
    """Probabilities that fall from the middle of a (64, 64) grid."""
    rows, cols = np.mgrid[:64, :64]
    return (1 / (1 + np.exp((np.hypot(rows - 32, cols - 31) - top) / width))).astype(np.float32)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def bisect(level_sets: LevelSets, cells: np.ndarray, wanted: float, picks: int) -> float:
    """The level recommended after so many picks by who wants the level set at `wanted`."""
    interval, target = level_sets.whole, cells >= wanted
    for _ in range(picks):
        shown = level_sets.split(interval, 4)
        best = int(np.argmax([dice(cells >= level, target) for level in shown]))
        interval = level_sets.kept(interval, shown)[best]
    return level_sets.middle(interval)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("wanted", [0.85, 0.7, 0.5, 0.31, 0.12, 0.03])
def test_six_picks_find_the_wanted_level(scale, wanted):
    cells = cone()
    level_sets = LevelSets(cells, Levels(scale))
    assert dice(cells >= bisect(level_sets, cells, wanted, 6), cells >= wanted) > 0.97


@pytest.mark.parametrize("scale", SCALES)
def test_a_level_and_its_position_say_the_same(scale):
    level_sets = LevelSets(cone(), Levels(scale))
    positions = [level_sets.position(level) for level in (0.8, 0.5, 0.2)]
    assert positions == sorted(positions)
    assert positions[1] == pytest.approx(0.5)
    for position in (0.05, 0.3, 0.5, 0.9):
        assert level_sets.position(level_sets.level(position)) == pytest.approx(position, abs=1e-6)


def test_the_first_recommendation_is_the_map_at_one_half():
    level_sets = LevelSets(cone())
    assert level_sets.middle(level_sets.whole) == pytest.approx(0.5)


def test_candidates_split_the_interval_evenly_from_the_largest_mask_to_the_smallest():
    level_sets = LevelSets(cone(), Levels("probability", 0.9, 0.1))
    high, low = level_sets.whole.high, level_sets.whole.low
    assert level_sets.split(Interval(high, low), 4) == pytest.approx(
        [low + (high - low) * share for share in (0.125, 0.375, 0.625, 0.875)], abs=0.02
    )


def test_a_pick_keeps_its_neighbourhood_and_the_four_share_out_the_interval():
    level_sets = LevelSets(cone())
    interval = Interval(0.8, 0.2)
    shown = level_sets.split(interval, 4)
    kept = level_sets.kept(interval, shown)
    assert all(k.low <= level <= k.high for k, level in zip(kept, shown, strict=True))
    assert sorted([k.high for k in kept], reverse=True)[0] == interval.high
    for tighter, looser in zip(kept[1:], kept[:-1], strict=True):
        assert tighter.low == pytest.approx(looser.high)


def test_a_pick_against_earlier_ones_opens_its_own_neighbourhood_again():
    level_sets = LevelSets(cone())
    narrow = Interval(0.52, 0.5)
    shown = [0.2, 0.3, 0.6, 0.7]
    kept = level_sets.kept(narrow, shown)
    assert kept[0].low < 0.2 < kept[0].high < 0.3
    assert kept[3].high > 0.7 > kept[3].low > 0.6


def test_nothing_shown_leaves_nothing_to_keep():
    level_sets = LevelSets(cone())
    assert level_sets.kept(level_sets.whole, []) == ()


def test_a_faint_map_is_cut_around_half_its_peak():
    cells = cone() * 0.3
    level_sets = LevelSets(cells)
    assert (
        0 < level_sets.whole.low < level_sets.middle(level_sets.whole) < level_sets.whole.high < cells.max()
    )


def test_a_constant_map_has_levels_all_the_same():
    level_sets = LevelSets(np.full((8, 8), 0.2, np.float32))
    assert all(np.isfinite(level_sets.split(level_sets.whole, 4)))


def test_a_moved_map_has_its_outline_where_the_level_was():
    cells = cone()
    assert np.array_equal(moved_to(cells, 0.3) > 0.5, cells > 0.3)
