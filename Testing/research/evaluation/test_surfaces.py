"""Distances between outlines against MONAI's and against values worked out by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance

from SPASegmentLib.research.evaluation.surfaces import mean_boundary_distance, surface_dice

SPACINGS = st.sampled_from([(1.0, 1.0), (0.7, 0.7), (0.5, 2.0)])


def square(row: int, col: int, side: int) -> np.ndarray:
    mask = np.zeros((12, 12), bool)
    mask[row : row + side, col : col + side] = True
    return mask


EMPTY = np.zeros((12, 12), bool)


@settings(max_examples=40, deadline=None)
@given(arrays(bool, (7, 9)), arrays(bool, (7, 9)), SPACINGS, st.sampled_from([0.0, 1.0, 2.0]))
def test_both_figures_are_monais(
    mask: np.ndarray, target: np.ndarray, spacing: tuple[float, float], tolerance: float
) -> None:
    if not mask.any() or not target.any():
        return
    pair = [torch.from_numpy(one[None, None].astype(np.uint8)) for one in (mask, target)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        dice = compute_surface_dice(*pair, [tolerance], include_background=True, spacing=list(spacing))
        away = compute_average_surface_distance(
            *pair, include_background=True, symmetric=True, spacing=list(spacing)
        )
    assert surface_dice(mask, target, spacing, [tolerance])[0] == pytest.approx(float(dice), abs=1e-6)
    assert mean_boundary_distance(mask, target, spacing) == pytest.approx(float(away), abs=1e-5)


def test_surface_dice_of_a_square_and_a_larger_one_around_it() -> None:
    """Outlines of 8 and 16 pixels: a corner of the larger one is the root of 2 away, all others are 1."""
    small, large = square(4, 4, 3), square(3, 3, 5)
    assert surface_dice(small, large, (1.0, 1.0), (0.5, 1.0, 2.0)) == pytest.approx([0.0, 20 / 24, 1.0])
    assert surface_dice(small, large, (2.0, 2.0), (1.0, 2.0)) == pytest.approx([0.0, 20 / 24])


def test_mean_distance_of_a_square_and_a_larger_one_around_it() -> None:
    small, large = square(4, 4, 3), square(3, 3, 5)
    expected = (20 + 4 * np.sqrt(2)) / 24
    assert mean_boundary_distance(small, large, (1.0, 1.0)) == pytest.approx(expected)
    assert mean_boundary_distance(small, large, (0.5, 0.5)) == pytest.approx(expected / 2)


def test_an_empty_mask_is_far_from_all_but_an_empty_one() -> None:
    assert surface_dice(EMPTY, EMPTY, (1.0, 1.0), (1.0,)) == [1.0]
    assert surface_dice(EMPTY, square(2, 2, 3), (1.0, 1.0), (1.0, 9.0)) == [0.0, 0.0]
    assert mean_boundary_distance(EMPTY, EMPTY, (1.0, 1.0)) == 0
    assert mean_boundary_distance(square(2, 2, 3), EMPTY, (1.0, 1.0)) == np.inf
