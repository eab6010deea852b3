"""Users who draw a box or a scribble instead of clicking."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_toys import PaintingEngine, RecordingEngine, ToyDataset, ToyEngine

from SPASegmentLib.inference.messages import UsualArea
from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.evaluation.drawing import box_of, draw_and_pick, scribble_of
from SPASegmentLib.research.evaluation.interaction import interact, run_case
from SPASegmentLib.research.evaluation.protocol import Draw, draw
from SPASegmentLib.research.evaluation.results import course


@pytest.fixture
def a_case() -> Case:
    return ToyDataset()[2]


@pytest.fixture
def its_draw(a_case: Case) -> Draw:
    found = draw(a_case, 0)
    assert found is not None
    return found


def test_a_box_lies_around_the_target_in_millimetres() -> None:
    target = np.zeros((40, 50), bool)
    target[10:20, 5:9] = target[15, 5:25] = True
    [point] = box_of(target, (1.0, 2.0))
    assert (point.row, point.col, point.positive, point.size_mm) == (14.5, 14.5, True, 40.0)


def test_a_scribble_covers_the_middle_from_end_to_end() -> None:
    target = np.zeros((40, 80), bool)
    target[15:26, 10:70] = True
    points = scribble_of(target, (1.0, 1.0))
    assert all(17 <= point.row <= 23 and point.positive for point in points)
    columns = [point.col for point in points]
    assert len(points) == 6 and min(columns) <= 14 and max(columns) >= 65
    ring = np.hypot(*(np.mgrid[:60, :60] - 30))
    for point in scribble_of((ring < 25) & (ring > 17), (1.0, 1.0)):
        assert 18 < np.hypot(point.row - 30, point.col - 30) < 24


def test_the_engine_gets_the_drawing_and_then_picks(a_case: Case, its_draw: Draw) -> None:
    for user, drawing in (("box", box_of), ("scribble", scribble_of)):
        engine = RecordingEngine()
        first = interact(engine, a_case, its_draw, usual_area=UsualArea(5.0, 1.0)).first
        assert first is not None
        engine.requests.clear()
        found = draw_and_pick(engine, first, its_draw.target, user=user, iterations=3)
        expected = drawing(its_draw.target, a_case.spacing)
        assert engine.requests[-1].points == expected
        assert engine.requests[-1].usual_area == UsualArea(5.0, 1.0)
        assert [len(one.answered) for one in engine.requests] == [0] * len(expected) + [1, 2]
        assert (found.points, found.picks, len(found.dice)) == (len(expected), 2, 3)


def test_a_scribble_helps_where_points_are_heeded(a_case: Case, its_draw: Draw) -> None:
    engine = PaintingEngine(radius=4.0)
    first = interact(engine, a_case, its_draw).first
    assert first is not None
    found = draw_and_pick(engine, first, its_draw.target, user="scribble", iterations=1)
    alone = interact(engine, a_case, its_draw, iterations=1)
    assert found.points > 1 and found.dice[0] > alone.dice[0]


def test_a_record_keeps_them_beside_the_picking_user(a_case: Case, its_draw: Draw) -> None:
    engine = ToyEngine()
    alone = run_case(engine, a_case, its_draw)
    record = run_case(engine, a_case, its_draw, users=("box", "scribble"))
    assert (record.dice, record.picks) == (alone.dice, alone.picks)
    assert set(record.users) == {"box", "scribble"}
    for user in ("box", "scribble"):
        found = record.users[user]
        assert course([record], user).dice[0].tolist() == found["dice"]
        assert course([record], user).picks.tolist() == [found["points"] + found["picks"]]
