"""Tasks for a network of any structure: who wants what under one click, and how it is looked at."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from stack_toys import ball, disc_with_core, nodule

from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.research.training.stacks import Stack
from SPASegmentLib.research.training.styles import STYLES, drawn_in_style
from SPASegmentLib.research.training.tasks import ClickTask, TaskMaker, TaskShares
from SPASegmentLib.research.training.views import ViewMaker, sampled

SETS = {"made-up-discs": [disc_with_core()], "made-up-balls": [ball()], "lidc": [nodule()]}
CONFIG = SPAConfig(
    fusion="linear",
    grid=32,
    image_channels=3,
    context=3.0,
    neighbours=2,
    extent_bins=20,
    planes=("picked", "recommendation", "belief", "positive", "negative", "carried"),
)


def tasks_of(
    sets: dict[str, list[Stack]], count: int = 200, users: int = 4, **shares: float
) -> list[ClickTask]:
    maker = TaskMaker(sets, users, 2.2, replace(TaskShares(), **shares))
    return [maker.task(np.random.default_rng(i)) for i in range(count)]


def test_everybody_who_shares_a_click_wants_the_clicked_pixel() -> None:
    for task in tasks_of(SETS, carried=0.0):
        assert task.users[(slice(None), *task.click)].all()


def test_a_click_in_the_core_teaches_both_the_core_and_the_disc_around_it() -> None:
    outer, inner = disc_with_core().masks[:, 0]
    in_core = [t for t in tasks_of({"made-up-discs": SETS["made-up-discs"]}, styled=0.0) if inner[t.click]]
    assert len(in_core) > 20
    for task in in_core:
        wanted = list(task.users)
        assert any(np.array_equal(mask, outer) for mask in wanted)
        assert any(np.array_equal(mask, inner) for mask in wanted)


def test_the_followed_user_may_be_one_with_a_style_of_their_own() -> None:
    plain = list(disc_with_core().masks[:, 0])
    for share, low, high in ((0.0, 0.0, 0.0), (1.0, 0.25, 0.9)):
        drawn = tasks_of({"made-up-discs": SETS["made-up-discs"]}, styled=share)
        own = [not any(np.array_equal(t.users[0], mask) for mask in plain) for t in drawn]
        assert low <= np.mean(own) <= high


def test_sets_are_drawn_by_their_root_and_lidc_by_its_share() -> None:
    sets = {"a": [disc_with_core()] * 9, "b": [disc_with_core()], "lidc": [nodule()]}
    maker = TaskMaker(sets, 2, 2.2, TaskShares(lidc=0.5))
    assert dict(zip(maker.names, maker.weights, strict=True)) == pytest.approx(
        {"a": 0.375, "b": 0.125, "lidc": 0.5}
    )


def test_a_carried_mask_lies_near_the_object_and_some_objects_have_ended() -> None:
    carried = [t for t in tasks_of({"b": [ball()]}, carried=1.0, absent=1.0) if t.carried is not None]
    ended = [t for t in carried if not t.users.any()]
    assert 0 < len(ended) < len(carried)
    for task in carried:
        assert task.carried is not None and task.carried[task.click]
        if task.users.any():
            overlap = 2 * (task.users[0] & task.carried).sum() / (task.users[0].sum() + task.carried.sum())
            assert overlap > 0.3
    never = [t for t in tasks_of({"b": [ball()]}, carried=1.0, absent=0.0) if t.carried is not None]
    assert all(t.users.any() for t in never)


def test_one_persons_wish_is_the_same_on_both_slices_of_a_carried_task() -> None:
    stack = nodule()
    subsets = [stack.masks[k] for k in range(4)]
    for task in tasks_of({"lidc": [stack]}, carried=1.0):
        if task.carried is not None and task.users.any():
            assert any(np.array_equal(task.users[0], mask[task.index]) for mask in subsets)


@pytest.mark.parametrize("style", range(len(STYLES)))
def test_every_style_draws_something_else_of_some_object(style: int) -> None:
    rows, cols = np.mgrid[:64, :64]
    body = np.hypot(rows - 30, cols - 26) < 13
    mask = body & ~(np.hypot(rows - 26, cols - 22) < 3) | (abs(rows - 30) < 3) & (cols > 30) & (cols < 54)
    mask |= np.hypot(rows - 52, cols - 10) < 4
    mask[17:20, 24:27] = True
    pixels = np.random.default_rng(0).normal(100, 20, mask.shape)
    drawn = [STYLES[style](mask, pixels, np.random.default_rng(seed)) for seed in range(8)]
    assert any(not np.array_equal(one, mask) for one in drawn)
    assert all(one.shape == mask.shape and one.dtype == bool for one in drawn)


def test_a_style_that_loses_the_click_or_the_object_is_not_used() -> None:
    line = np.zeros((20, 20), bool)
    line[10, 3:17] = True
    for seed in range(40):
        drawn = drawn_in_style(line, np.ones((20, 20)), (10, 5), np.random.default_rng(seed))
        assert drawn[10, 5] and drawn.sum() >= 0.2 * line.sum()


def test_a_batch_is_a_pure_function_of_seed_and_step_and_has_what_the_network_takes() -> None:
    def made() -> ViewMaker:
        return ViewMaker(TaskMaker(SETS, 3, 2.2, TaskShares()), CONFIG)

    first, again, other = made().batch(3, 5, 6), made().batch(3, 5, 6), made().batch(3, 6, 6)
    assert torch.equal(first.image, again.image) and torch.equal(first.users, again.users)
    assert not torch.equal(first.image, other.image)
    assert first.image.shape == (6, 3, 32, 32) and first.users.shape == (6, 3, 32, 32)
    assert first.context is not None and first.context.shape == (6, 3, 32, 32)
    assert first.neighbours is not None and first.neighbours.shape == (6, 4, 32, 32)
    assert first.carried is not None and first.carried.shape == (6, 1, 32, 32)
    assert float(first.image.min()) >= 0 and float(first.image.max()) <= 1


def test_the_click_lies_on_the_target_in_the_view_too() -> None:
    maker = ViewMaker(TaskMaker({"d": [disc_with_core()]}, 2, 2.2, TaskShares(styled=0.0)), CONFIG)
    for step in range(6):
        batch = maker.batch(0, step, 8)
        x, y = batch.points[:, 0].round().long().unbind(dim=1)
        near = torch.nn.functional.max_pool2d(batch.users, 3, stride=1, padding=1)
        assert (near[torch.arange(8), 0, y, x] == 1).float().mean() > 0.9


def test_extents_say_how_large_the_object_is_in_the_view() -> None:
    maker = ViewMaker(TaskMaker({"d": [disc_with_core()]}, 2, 2.2, TaskShares(styled=0.0)), CONFIG)
    batch = maker.batch(0, 0, 24)
    assert batch.extents is not None
    for mask, log_extent in zip(batch.users[:, 0], batch.extents[:, 0], strict=True):
        area = float(mask.mean())
        inside = not (mask[[0, -1]].any() or mask[:, [0, -1]].any())
        if inside and area > 0.02:
            assert math.sqrt(area * 4 / math.pi) == pytest.approx(2 ** float(log_extent), rel=0.25)


def test_a_view_shows_pixels_where_it_says() -> None:
    image = np.zeros((1, 40, 60), np.float32)
    image[0, 10:14, 30:34] = 1
    view = np.array([[8.0, 0, 31.5], [0, 8.0, 11.5]])  # 16 pixels wide around the square
    shown = sampled(torch.from_numpy(image), view, 32)[0]
    rows, cols = np.nonzero(shown.numpy() > 0.5)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (12, 19, 12, 19)


def test_slices_without_neighbours_are_grey_there() -> None:
    maker = ViewMaker(TaskMaker({"d": [disc_with_core()]}, 2, 2.2, TaskShares()), CONFIG)
    neighbours = maker.batch(0, 0, 4).neighbours
    assert neighbours is not None and torch.equal(neighbours, torch.full_like(neighbours, 0.5))
    stack = ViewMaker(TaskMaker({"b": [ball()]}, 2, 2.2, TaskShares()), CONFIG).batch(0, 0, 12).neighbours
    assert stack is not None and (stack != 0.5).any()
