"""Users who see the target: what they do, and what is counted of it."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_toys import PaintingEngine, RecordingEngine, ToyDataset, ToyEngine

from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.session import Session
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.evaluation.corrections import changed_far, correct, points_held
from SPASegmentLib.research.evaluation.interaction import interact, run_case
from SPASegmentLib.research.evaluation.metrics import dice
from SPASegmentLib.research.evaluation.protocol import Draw, draw
from SPASegmentLib.research.evaluation.records import from_line, to_line
from SPASegmentLib.research.evaluation.results import course


@pytest.fixture
def a_case() -> Case:
    return ToyDataset()[2]


@pytest.fixture
def its_draw(a_case: Case) -> Draw:
    found = draw(a_case, 0)
    assert found is not None
    return found


def first_of(engine: ToyEngine, case: Case, wanted: Draw) -> Session:
    first = interact(engine, case, wanted).first
    assert first is not None and first.iteration == 1
    return first


def test_each_correction_is_one_point_in_the_largest_error_and_it_helps(a_case: Case, its_draw: Draw) -> None:
    engine = PaintingEngine(radius=2.0)
    found = correct(engine, first_of(engine, a_case, its_draw), its_draw.target, user="correct", iterations=6)
    assert (found.points, found.picks, len(found.dice)) == (5, 0, 6)
    assert found.dice[-1] > found.dice[0] + 0.01
    assert [total for _, total in found.held] == [2, 3, 4, 5, 6]


def test_the_engine_is_told_points_and_no_picks(a_case: Case, its_draw: Draw) -> None:
    engine = RecordingEngine()
    first = first_of(engine, a_case, its_draw)
    engine.requests.clear()
    correct(engine, first, its_draw.target, user="correct", iterations=3)
    assert [len(request.points) for request in engine.requests] == [2, 3]
    for request in engine.requests:
        assert request.points[0] == its_draw.click and not request.answered
        for point in request.points[1:]:
            assert its_draw.target[int(point.row), int(point.col)] == point.positive


def test_who_may_do_both_keeps_what_brings_more(a_case: Case, its_draw: Draw) -> None:
    for engine in (PaintingEngine(radius=2.0), PaintingEngine(radius=6.0), ToyEngine()):
        trace = interact(engine, a_case, its_draw)
        first = first_of(engine, a_case, its_draw)
        point = correct(engine, first, its_draw.target, user="correct", iterations=2)
        both = correct(engine, first, its_draw.target, user="mixed", iterations=2)
        assert both.dice[1] == max(trace.dice[1], point.dice[1])
        assert both.picks + both.points == 1
        assert both.picks == (trace.dice[1] >= point.dice[1])


def test_points_an_engine_does_not_heed_are_counted(a_case: Case, its_draw: Draw) -> None:
    deaf = ToyEngine()
    found = correct(deaf, first_of(deaf, a_case, its_draw), its_draw.target, user="correct", iterations=4)
    assert found.held == [[1, 2], [1, 3], [1, 4]]
    assert [changed for changed, _ in found.far] == [0, 0, 0]


def test_nothing_is_left_to_do_once_the_mask_is_the_target(a_case: Case, its_draw: Draw) -> None:
    engine = ToyEngine()
    first = first_of(engine, a_case, its_draw)
    proposal = first.proposal
    assert proposal is not None
    found = correct(engine, first, proposal.recommendation, user="correct", iterations=6)
    assert (found.dice, found.points, found.held) == ([1.0] * 6, 0, [])


def test_positive_points_hold_inside_and_negative_ones_outside() -> None:
    mask = np.eye(3, dtype=bool)
    points = [PointPrompt(0, 0), PointPrompt(0, 1), PointPrompt(1, 1, False), PointPrompt(1, 2, False)]
    assert points_held(points, mask) == [2, 4]


def test_changes_count_as_far_beyond_a_third_of_the_objects_size() -> None:
    target = np.zeros((60, 60), bool)
    rows, cols = np.mgrid[:60, :60]
    target[np.hypot(rows - 30, cols - 30) <= 13] = True  # 26 pixels across: far begins at 8.7
    before, after = np.zeros_like(target), np.zeros_like(target)
    after[30, 30:40] = True
    before[5, 5:8] = after[5, 5:8] = True
    point = PointPrompt(30, 30)
    assert changed_far(before, after, target, point, (1, 1)) == [1, 4]
    assert changed_far(before, after, target, point, (3, 3)) == [1, 4]
    assert changed_far(before, after, target, PointPrompt(30, 39), (1, 1)) == [1, 4]
    assert changed_far(before, after, target, point, (1, 4)) == [5, 8]  # beyond 17 mm: four columns


def test_a_record_keeps_them_beside_the_picking_user(a_case: Case, its_draw: Draw) -> None:
    engine = PaintingEngine(radius=2.0)
    alone = run_case(engine, a_case, its_draw)
    record = run_case(engine, a_case, its_draw, users=("correct", "mixed"))
    assert from_line(type(record), to_line(record)) == record
    assert (record.dice, record.picks) == (alone.dice, alone.picks) and not alone.users
    assert set(record.users) == {"correct", "mixed"}
    assert course([record], "correct").dice[0].tolist() == record.users["correct"]["dice"]
    assert course([record], "correct").picks.tolist() == [5]
    assert course([record], "always-pick").dice[0].tolist() == alone.dice


def test_whoever_wants_another_structure_under_the_click_is_followed_to_the_end(a_case: Case) -> None:
    masks = a_case.masks
    click = PointPrompt(*map(float, np.argwhere(masks.all(axis=0))[0]))
    wanted = Draw(masks[1], (1,), click, None, {"larger": masks[3]})
    record = run_case(ToyEngine(), a_case, wanted)
    other = interact(ToyEngine(), a_case, Draw(masks[3], (3,), click))
    best = [max(other.dice[at], *other.candidates[at]) for at in (0, -1)]
    assert record.nested[1] == pytest.approx(best) and len(record.nested) == 2
    first = other.proposals[0]
    shown = (first.recommendation, *(candidate.mask for candidate in first.candidates))
    assert best[0] == max(dice(mask, masks[3]) for mask in shown)
    assert run_case(ToyEngine(), a_case, Draw(masks[1], (1,), click)).nested == []
