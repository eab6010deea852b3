"""Training batches: what is drawn, and how it is resampled."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from SPASegmentLib.network.config import build_config
from SPASegmentLib.research.training.batches import BatchMaker, wanted_mask

CONFIG = build_config({"grid": 32, "default_region": 32.0})


def test_the_batch_of_a_step_does_not_depend_on_the_steps_before():
    images = np.random.default_rng(0).integers(0, 255, (6, 48, 48)).astype(np.uint8)
    masks = np.zeros((6, 3, 48, 48), bool)
    masks[:, :2, 20:28, 20:28] = True
    maker = BatchMaker(images, masks, CONFIG, 0.5, 0.5, 3)
    again = BatchMaker(images, masks, CONFIG, 0.5, 0.5, 3)
    maker.batch(3, 0, 4)
    for name in ("image", "target", "points", "labels", "users"):
        assert torch.equal(getattr(maker.batch(3, 1, 4), name), getattr(again.batch(3, 1, 4), name))


def test_further_users_want_what_some_raters_agree_on():
    images, masks = np.zeros((1, 48, 48), np.uint8), np.zeros((1, 4, 48, 48), bool)
    for rater in range(3):
        masks[0, rater, 10 : 24 + 4 * rater, 10:30] = True  # the fourth drew nothing
    batch = BatchMaker(images, masks, CONFIG, 1.0, users=400).batch(0, 0, 1)
    assert torch.equal(batch.users[:, 0], batch.target)
    areas = batch.users.sum(dim=(2, 3))[0]
    assert (areas > 0).all()
    found, counts = areas[1:].round(decimals=-1).unique(return_counts=True)
    assert len(found) == 3, "the mask of each rater who drew one"
    assert counts.min() > 50


def test_seeds_lie_in_the_target_they_were_clicked_in():
    images = np.zeros((4, 48, 48), np.uint8)
    masks = np.zeros((4, 2, 48, 48), bool)
    masks[:, :, 10:20, 24:40] = True
    maker = BatchMaker(images, masks, CONFIG, 0.7)
    inside = []
    for step in range(20):
        batch = maker.batch(0, step, 4)
        col, row = batch.points[:, 0].round().long().unbind(dim=1)
        within_a_cell = torch.nn.functional.max_pool2d(batch.target[:, None], 3, stride=1, padding=1)
        inside += [float(within_a_cell[i, 0, row[i], col[i]]) for i in range(4)]
    assert np.mean(inside) == 1.0


def test_a_part_of_a_slice_gives_what_the_whole_slice_gives():
    """Views inside, across an edge, and larger than the slice; masks are empty and pixels repeat outside."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (1, 90, 70)).astype(np.uint8)
    masks = rng.random((1, 3, 90, 70)) < 0.5
    maker = BatchMaker(images, masks, CONFIG, 1.0)
    for row, col, half, angle in ((45, 35, 10, 0.4), (3, 66, 12, 1.1), (88, 1, 9, 0), (40, 30, 80, 2)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * half
        view = np.hstack([turn, [[col], [row]]])
        scale = np.array([2 / 70, 2 / 90])
        theta = view * scale[:, None]
        theta[:, 2] += scale / 2 - 1
        grid = F.affine_grid(torch.from_numpy(theta).float()[None], [1, 1, 32, 32], align_corners=False)
        whole = torch.from_numpy(images)[None].float() / 255
        image, soft = maker._sampled(0, masks[0], view)
        expected = F.grid_sample(whole, grid, padding_mode="border", align_corners=False)
        assert torch.allclose(image, expected, atol=1e-4)
        expected = F.grid_sample(torch.from_numpy(masks).float(), grid, align_corners=False)
        assert torch.allclose(soft, expected, atol=1e-4)


def test_further_users_of_a_large_slice_take_little_memory():
    """Ten raters on a million pixels: no floating-point slice for each subset tried, which took 512 MB."""
    masks = np.zeros((1, 10, 1000, 1000), bool)
    masks[0, :, 480:520, 480:520] = True
    maker = BatchMaker(np.zeros((1, 1000, 1000), np.uint8), masks, CONFIG, 1.0, users=8)
    tracemalloc.start()
    try:
        maker.batch(0, 0, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6


def test_one_of_sixty_four_raters_is_enough_for_a_target():
    masks = np.zeros((64, 8, 8), bool)
    masks[40, 2:4, 2:4] = True
    assert np.array_equal(wanted_mask(masks, np.random.default_rng(0)), masks[40])


def spot(masks: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Largest value of each mask within a cell of its image's point: (B, U, G, G), (B, 2) -> (B, U)."""
    near = F.max_pool2d(masks, 3, stride=1, padding=1)
    col, row = points.round().long().unbind(dim=1)
    return near[torch.arange(len(masks)), :, row, col]


@pytest.mark.parametrize("raters", [3, 4, 9])
def test_whoever_may_have_made_the_click_wants_what_was_clicked(raters):
    """Raters who drew different objects: the click tells which of them cannot be the user."""
    masks = np.zeros((1, raters, 48, 48), bool)
    for rater in range(raters):
        top, left = 16 * (rater // 3), 16 * (rater % 3)
        masks[0, rater, top : top + 12, left : left + 12] = True
    maker = BatchMaker(np.zeros((1, 48, 48), np.uint8), masks, CONFIG, 0.0, users=6)
    for step in range(30):
        batch = maker.batch(0, step, 1)
        assert spot(batch.users, batch.points[:, 0]).min() == 1


def test_clicks_lie_where_all_raters_agree():
    """What all agree on is bright; half of the users want nine times as much."""
    images, masks = np.zeros((4, 96, 96), np.uint8), np.zeros((4, 2, 96, 96), bool)
    images[:, 42:52, 42:52] = 255
    masks[:, 0, 32:62, 32:62] = masks[:, 1, 42:52, 42:52] = True
    maker = BatchMaker(images, masks, CONFIG, 1.0)
    for step in range(10):
        batch = maker.batch(0, step, 4)
        assert spot(batch.image, batch.points[:, 0]).min() > 0.5


def test_the_seed_lies_where_its_pixel_lies_in_the_resampled_slice():
    """The only pixel all raters agree on is the middle of a disc, the target of the others."""
    rows, cols = np.mgrid[:96, :96]
    masks = np.stack([np.hypot(rows - 48, cols - 40) < radius for radius in (15, 1)])[None]
    maker = BatchMaker(np.zeros((1, 96, 96), np.uint8), masks, CONFIG, 1.0)
    offsets, axis = [], torch.arange(32.0)
    for step in range(60):
        batch = maker.batch(0, step, 1)
        target, seed = batch.target[0], batch.points[0, 0]
        if target.sum() > 20 and target[[0, -1]].sum() + target[:, [0, -1]].sum() == 0:
            middle = torch.stack([(target.sum(dim=0) * axis).sum(), (target.sum(dim=1) * axis).sum()])
            offsets.append(seed - middle / target.sum())
    assert len(offsets) > 20
    assert torch.stack(offsets).mean(dim=0).abs().max() < 0.1
