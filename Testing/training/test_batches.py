"""Training batches: what is drawn, and how it is resampled."""

from __future__ import annotations

import tracemalloc

import numpy as np
import torch
from torch.nn import functional as F

from SPASegmentLib.network.config import build_config
from SPASegmentLib.training.batches import BatchMaker, wanted_mask

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
