"""Targets, clicks and simulated users, to the letter of PROTOCOL.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.datasets.draws import half_agree
from SPASegmentLib.research.evaluation.protocol import (
    TargetRule,
    approves,
    draw,
    draw_click,
    pick,
    sample_order,
    style_target,
)


def a_case(masks: np.ndarray, case_id: str = "a", raters: tuple[str, ...] = ()) -> Case:
    return Case("made-up", case_id, "p", np.zeros(masks.shape[1:], np.float32), masks, raters)


def a_different_mask_each(count: int) -> np.ndarray:
    """Rater r drew row r alone, so that a target tells which raters are in it."""
    return np.eye(count, dtype=bool)[:, :, None].repeat(2, axis=2)


def test_each_non_empty_subset_is_drawn_equally_often() -> None:
    masks = a_different_mask_each(3)
    masks |= np.array([True, False])  # every rater draws the first column, so no target is empty
    drawn = Counter(draw(a_case(masks, str(i)), 0).included for i in range(7000))
    assert len(drawn) == 7
    assert all(850 < count < 1150 for count in drawn.values())


def test_the_target_is_foreground_where_at_least_half_of_the_subset_drew() -> None:
    for number in range(40):
        case = a_case(np.random.default_rng(number).random((4, 5, 5)) < 0.5, str(number))
        drawn = draw(case, 0)
        expected = case.masks[list(drawn.included)].mean(axis=0) >= 0.5
        assert (drawn.target == expected).all()


def test_a_target_that_comes_out_empty_is_drawn_again() -> None:
    masks = np.zeros((4, 3, 3), bool)
    masks[2, 1, 1] = True
    included = {draw(a_case(masks, str(i)), 0).included for i in range(300)}
    assert included == {(2,), (0, 2), (1, 2), (2, 3)}


def test_a_case_nobody_drew_in_has_no_target() -> None:
    case = a_case(np.zeros((4, 3, 3), bool))
    assert draw(case, 0) is None
    assert all(draw(case, 0, TargetRule(style)) is None for style in ("largest", "smallest", "majority"))


def test_the_draw_depends_on_data_set_case_and_seed_and_on_nothing_else() -> None:
    masks = np.random.default_rng(0).random((4, 16, 16)) < 0.5
    case = a_case(masks)
    first = draw(case, 0).target
    other_person = replace(case, patient="q", image=np.ones((16, 16), np.float32))
    assert (draw(other_person, 0).target == first).all()
    for name, case_id, seed in [("other", "a", 0), ("made-up", "b", 0), ("made-up", "a", 1)]:
        others = [replace(a_case(masks, case_id + "x" * i), dataset=name) for i in range(8)]
        assert any((draw(other, seed).target != first).any() for other in others)


def test_the_draw_is_the_one_written_down_here() -> None:
    """A change of these numbers makes figures incomparable with earlier ones."""
    case = a_case(np.random.default_rng(0).random((4, 16, 16)) < 0.5, "LIDC/1")
    drawn = draw(case, 0)
    assert drawn.included == (1, 3)
    assert (drawn.click.row, drawn.click.col) == (0, 11)


def test_the_click_falls_evenly_on_the_pixels_all_raters_share() -> None:
    masks = np.zeros((3, 8, 8), bool)
    masks[:, 2:4, 2:4] = True
    masks[0, :, 0] = True
    clicks = Counter(
        (click.row, click.col)
        for click in (draw_click("made-up", a_case(masks, str(i)), masks[0], 0) for i in range(2000))
    )
    assert set(clicks) == {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert all(420 < count < 580 for count in clicks.values())


def test_the_click_falls_on_the_target_where_raters_share_no_pixel() -> None:
    masks = a_different_mask_each(4)
    for number in range(50):
        drawn = draw(a_case(masks, str(number)), 0)
        assert drawn.target[int(drawn.click.row), int(drawn.click.col)]


@given(
    arrays(bool, (3, 4, 4)),
    st.integers(0, 5),
    st.sampled_from(["subset", "largest", "smallest", "raters:0+2"]),
)
def test_the_click_lies_in_the_target_whatever_it_is(masks: np.ndarray, seed: int, rule: str) -> None:
    drawn = draw(a_case(masks), seed, TargetRule.parse(rule))
    if drawn is not None:
        assert drawn.target[int(drawn.click.row), int(drawn.click.col)]
        assert drawn.click.positive


def test_the_click_does_not_tell_which_target_was_drawn() -> None:
    masks = np.zeros((4, 8, 8), bool)
    masks[:, 2:5, 2:5] = True
    masks[1, 6, 6] = True
    clicks = {
        draw(a_case(masks), 0, rule).click
        for rule in map(TargetRule.parse, ("subset", "largest", "raters:1"))
    }
    assert len(clicks) == 1


def test_styles_are_union_intersection_and_majority() -> None:
    masks = np.zeros((4, 1, 4), bool)
    masks[0, 0, :1] = masks[1, 0, :2] = masks[2, 0, :3] = True  # the fourth rater drew nothing
    assert style_target(masks, "largest")[0].tolist() == [True, True, True, False]
    assert style_target(masks, "smallest")[0].tolist() == [True, False, False, False]
    assert style_target(masks, "majority")[0].tolist() == [True, True, False, False]


def test_smallest_is_the_smallest_mask_where_masks_share_no_pixel() -> None:
    masks = np.zeros((3, 1, 4), bool)
    masks[1, 0, :2] = masks[2, 0, 3:] = True
    assert style_target(masks, "smallest")[0].tolist() == [False, False, False, True]


def test_half_of_an_even_number_of_raters_is_enough() -> None:
    assert half_agree(np.array([[[True, True, False]], [[True, False, False]]]))[0].tolist() == [
        True,
        True,
        False,
    ]


def test_named_raters_are_targets_or_left_out() -> None:
    case = a_case(a_different_mask_each(3), raters=("Ann", "Bob", "Cy"))
    assert (draw(case, 0, TargetRule.parse("raters:Bob")).target == case.masks[1]).all()
    assert draw(case, 0, TargetRule.parse("raters:Cy+Ann")).included == (2, 0)
    without = [
        draw(replace(case, case_id=str(i)), 0, TargetRule.parse("without:Bob")).included for i in range(60)
    ]
    assert set(without) == {(0,), (2,), (0, 2)}


def test_a_rater_who_is_not_there_is_an_error_that_names_the_others() -> None:
    with pytest.raises(DatasetError, match="no rater 'Dan' here; choose among Ann, Bob"):
        draw(a_case(a_different_mask_each(2), raters=("Ann", "Bob")), 0, TargetRule.parse("raters:Dan"))


@pytest.mark.parametrize("text", ["", "biggest", "raters", "raters:", "largest:Ann", "without"])
def test_a_target_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="is no target"):
        TargetRule.parse(text)


@pytest.mark.parametrize("text", ["subset", "largest", "raters:Ann+Bob", "without:0"])
def test_a_target_rule_reads_what_it_writes(text: str) -> None:
    assert str(TargetRule.parse(text)) == text


def test_the_user_picks_the_best_candidate_and_the_first_of_equals() -> None:
    assert pick([0.2, 0.8, 0.8]) == 1


def test_the_user_approves_only_what_is_better_than_every_candidate() -> None:
    assert approves(0.8, [0.7, 0.79])
    assert not approves(0.8, [0.7, 0.8])
    assert approves(0.1, [])


def test_a_sub_sample_only_grows_and_does_not_depend_on_the_order_of_the_list() -> None:
    ids = [f"case-{i}" for i in range(50)]
    chosen = [ids[i] for i in sample_order("d", ids, 0, "limit")]
    backwards = ids[::-1]
    assert [backwards[i] for i in sample_order("d", backwards, 0, "limit")] == chosen
    some = [case for case in ids if case != chosen[0]]
    assert [some[i] for i in sample_order("d", some, 0, "limit")] == chosen[1:]
    assert chosen != [ids[i] for i in sample_order("d", ids, 1, "limit")]


def test_one_of_seventy_raters_is_enough_for_a_target() -> None:
    """Hardly any subset's majority holds what one of seventy drew: the draw must end all the same."""
    masks = np.zeros((70, 4, 4), bool)
    masks[65, 1:3, 1:3] = True
    drawn = draw(a_case(masks), 0)
    assert drawn is not None and np.array_equal(drawn.target, masks[65])
    assert drawn.redrawn and drawn.included == (65,)
