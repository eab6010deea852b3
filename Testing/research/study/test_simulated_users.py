"""What simulated users do and how long it takes them, with engines small enough to see through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation_toys import PaintingEngine, ToyDataset, ToyEngine

from SPASegmentLib.research.datasets.case import Case
from SPASegmentLib.research.evaluation.interaction import Trace
from SPASegmentLib.research.evaluation.metrics import dice
from SPASegmentLib.research.evaluation.protocol import Draw, draw
from SPASegmentLib.research.study.users import (
    MOST_PROPOSALS,
    Operators,
    Standards,
    StudyUser,
    drawn_by_hand,
)

TIMES = Operators()


def a_user(wanted: float, index: int = 0, seed: int = 0, error: float = 0.0) -> StudyUser:
    case: Case = ToyDataset()[index]
    target = draw(case, seed)
    assert target is not None
    return StudyUser(case, target, Standards(wanted, error), np.random.default_rng(0))


def hardest(wanted: float, engine: Any) -> StudyUser:
    """A user whom the first proposal does not satisfy."""
    users = [a_user(wanted, index, seed) for index in range(8) for seed in range(3)]
    return next(user for user in users if user.clicks(engine).iterations > 1)


def test_a_user_satisfied_at_once_looks_clicks_thinks_and_presses_enter() -> None:
    for way in (StudyUser.picks, StudyUser.both, StudyUser.clicks):
        effort = way(a_user(0.01), ToyEngine())
        counts = (effort.clicks, effort.points, effort.keys, effort.looks, effort.thinks, effort.iterations)
        assert counts == (2, 1, 1, 2, 2, 1)  # the seed and Next; Enter; the image and the mask
        assert effort.seconds(TIMES) == pytest.approx(2 * (1.1 + 0.2) + 0.28 + 2 * 0.4 + 2 * 1.35 + 0.2)
        assert effort.satisfied and not effort.drawing


def test_picks_go_on_until_the_mask_satisfies_and_every_pick_costs_its_looks() -> None:
    user = hardest(0.97, ToyEngine())
    effort = user.picks(ToyEngine())
    assert effort.satisfied and dice(effort.mask, user.draw.target) >= 0.97
    assert effort.points == 1 and effort.clicks == 2
    rounds = effort.picks + effort.keeps
    assert effort.iterations == 1 + rounds
    taken = effort.keys == rounds + 2  # Shift and the number in the place of Enter
    assert effort.keys == rounds + (2 if taken else 1)
    assert effort.looks == 1 + effort.iterations + 4 * (rounds + taken)
    assert effort.thinks == 1 + effort.iterations + rounds + taken
    assert effort.picks + taken > 0


def test_corrective_clicks_go_to_the_largest_error_and_x_comes_before_one_that_excludes() -> None:
    user = hardest(0.97, PaintingEngine(radius=1.5))
    effort = user.clicks(PaintingEngine(radius=1.5))
    placed = effort.points - 1
    assert placed > 0 and effort.picks == effort.keeps == 0
    assert effort.iterations == 1 + placed and effort.clicks == effort.points + 1
    assert effort.looks == 1 + effort.iterations
    assert effort.thinks == 1 + effort.iterations + placed
    assert 0 <= effort.keys - effort.satisfied <= placed
    negatives = []
    for index in range(8):
        for engine in (PaintingEngine(radius=1.5),):
            user = a_user(0.97, index, 1)
            found = user.clicks(engine)
            negatives.append(found.keys - found.satisfied)
    assert max(negatives) > 0


def test_who_may_do_both_clicks_only_where_no_alternative_seems_better() -> None:
    useless = PaintingEngine(radius=2.0)
    useless._step = 0.0  # all alternatives are one mask
    user = hardest(0.97, useless)
    effort = user.both(useless)
    assert effort.points > 1 and effort.keeps == 0
    helpful = hardest(0.97, ToyEngine())
    assert helpful.both(ToyEngine()).points == 1


@pytest.mark.parametrize("way", [StudyUser.picks, StudyUser.clicks])
def test_who_is_never_satisfied_gives_up_and_draws_by_hand(way: Any) -> None:
    stubborn = ToyEngine(step=0.0)  # heeds nothing
    user = hardest(0.97, stubborn)
    effort = way(user, stubborn)
    assert not effort.satisfied and effort.iterations == MOST_PROPOSALS
    assert dice(effort.mask, user.draw.target) >= 0.97
    by_hand = user.editing()
    assert np.array_equal(effort.mask, by_hand.mask) and effort.drawing == by_hand.drawing > 3
    assert effort.seconds(TIMES) > by_hand.seconds(TIMES)


def test_a_misjudging_user_sees_a_mask_alike_whenever_they_look_and_errs_as_much_as_stated() -> None:
    user = a_user(0.9, error=0.05)
    masks = np.random.default_rng(1).random((400, *user.draw.target.shape)) < 0.5
    first = user.seen(masks)
    assert np.array_equal(first, user.seen(masks))
    errors = first - a_user(0.9).seen(masks)
    assert errors.std() == pytest.approx(0.05, rel=0.2) and abs(errors.mean()) < 0.01


class Prompted:
    """A system that brings its own interaction: its masks are those of the toy, whatever is shown to it."""

    def __init__(self, user: str, engine: ToyEngine) -> None:
        self.user, self._engine, self.model = user, engine, engine.model

    def propose(self, request: Any, cancel: Any = None) -> Any:
        return self._engine.propose(request, cancel)

    def interact(self, case: Case, draw: Draw, *, iterations: int, seed: int) -> Trace:
        from SPASegmentLib.research.evaluation.interaction import interact

        return interact(self._engine, case, draw, iterations=iterations, seed=seed)


@pytest.mark.parametrize(("says", "presses"), [("clicks", 1), ("draws boxes", 2)])
def test_a_system_with_its_own_prompts_is_paid_for_each_until_it_satisfies(says: str, presses: int) -> None:
    engine = ToyEngine()
    user = hardest(0.97, engine)
    effort = user.clicks(Prompted(says, engine))
    assert effort.iterations > 1 and effort.points == presses * effort.iterations
    assert effort.clicks == effort.points + 1
    assert effort.thinks == 2 * effort.iterations and effort.looks == 1 + effort.iterations
    if effort.satisfied:
        assert dice(effort.mask, user.draw.target) >= 0.97


def disc(radius: float, size: int = 40) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size]
    return np.hypot(rows - size / 2, cols - size / 2) < radius


def test_a_stricter_user_draws_more_sides() -> None:
    sides = []
    for wanted in (0.8, 0.9, 0.95, 0.98):
        mask, count, cm = drawn_by_hand(disc(12), wanted, 8.0)
        assert dice(mask, disc(12)) >= wanted
        assert 15 < cm < 30  # around a circle of 8 cm: 25 cm
        sides.append(count)
    assert sides == sorted(sides) and sides[0] < sides[-1]


def test_length_goes_by_the_screen_and_not_by_pixels() -> None:
    _, small_sides, small = drawn_by_hand(disc(8), 0.9, 8.0)
    _, large_sides, large = drawn_by_hand(disc(16), 0.9, 8.0)
    assert small == pytest.approx(large, rel=0.1) and small_sides == pytest.approx(large_sides, abs=2)
    assert drawn_by_hand(disc(8), 0.9, 16.0)[2] == pytest.approx(2 * small)


@pytest.mark.parametrize("kind", ["pixel", "ring", "two", "at the edge"])
def test_any_target_can_be_drawn(kind: str) -> None:
    target = np.zeros((40, 40), bool)
    if kind == "pixel":
        target[3, 4] = True
    elif kind == "ring":
        target = disc(14) & ~disc(7)
    elif kind == "two":
        target[2:9, 3:9] = target[20:35, 25:32] = True
    else:
        target[:6, :] = True
    mask, sides, cm = drawn_by_hand(target, 0.95, 8.0)
    assert dice(mask, target) >= 0.95
    assert sides >= 3 and cm > 0
