"""What a study counts of an interaction on a real scene."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from SPASegmentLib.mrml.study import StepCounter
from SPASegmentLib.mrml.work import LIVE


@pytest.fixture
def counted(a_controller):
    """The counts of the controller's steps, told of at every new screen, as a face does."""
    counts: Counter[str] = Counter()
    steps = StepCounter(lambda what: counts.update([what]))
    controller = a_controller.controller
    controller.subscribe(lambda _: steps.update(controller.works))
    counts.steps = steps  # type: ignore[attr-defined]
    return counts


def test_every_step_and_every_proposal_counts_once_and_undone_ones_too(a_controller, counted, an_engine):
    bench = a_controller
    bench.click()
    for action in ("pick:1", "undo", "pick:0", "none_of_these", "keep"):
        bench.controller.act(action)
        bench.settle()
    bench.controller.seed(tuple(np.add(bench.nodules[0], (1.0, 0.0, 0.0))))
    bench.settle()
    expected = {"points": 2, "picks": 2, "rejections": 1, "keeps": 1, "iterations": 6}
    assert dict(counted) == expected
    for action in ("undo", "redo", "approve", "undo", "redo"):
        bench.controller.act(action)
        bench.settle()
    assert dict(counted) == expected
    assert counted.steps.model == f"{an_engine.model.name} {an_engine.model.hash}"
    counted.steps.forget()
    assert counted.steps.model == ""


def test_a_box_and_a_line_are_one_step_each(a_controller, counted):
    bench = a_controller
    middle = np.array(bench.nodules[0])
    matrix = np.array([[bench.large.GetSliceToRAS().GetElement(r, c) for c in range(3)] for r in range(3)])
    low, high = (tuple(middle + matrix @ (side, side, 0.0)) for side in (-7.0, 7.0))
    bench.controller.box(low, high)
    bench.settle()
    assert dict(counted) == {"points": 1, "iterations": 1}
    beside = [tuple(middle + matrix @ (12.0, up, 0.0)) for up in (-9.0, 0.0, 9.0)]
    bench.controller.scribble(beside, positive=False)
    bench.settle()
    assert len(bench.work.session.points) > 2, "several points stand for the line"
    assert dict(counted) == {"points": 2, "iterations": 2}


def test_a_seed_carried_from_the_slice_before_is_no_point_of_the_user(a_controller, counted):
    bench = a_controller
    bench.click()
    bench.controller.act("approve")
    bench.settle()
    bench.controller.act("next_slice")
    bench.settle()
    assert dict(counted) == {"points": 1, "iterations": 2}


def test_steps_that_are_computed_again_do_not_count_again(a_controller, counted):
    bench = a_controller
    bench.click()
    bench.controller.act("pick:0")
    bench.settle()
    for _ in range(LIVE + 1):
        bench.controller.act("approve_next")
        bench.settle()
    first = next(iter(bench.controller.works))
    assert first.session is None and first.log is not None
    before = dict(counted)
    for _ in range(3 * LIVE + 6):
        if first.session is not None:
            break
        bench.controller.act("undo")
        bench.settle()
    assert first.session is not None
    assert dict(counted) == before == {"points": 1, "picks": 1, "iterations": LIVE + 3}
