"""The shape part of z bulges outlines to one side or another and leaves every fourth sample alone."""

from __future__ import annotations

import math

import pytest
import torch

from SPASegmentLib.network.shape import angles_around, shape_change


def disc(row: float, col: float, radius: float = 8.0, grid: int = 32) -> torch.Tensor:
    axis = torch.arange(grid).float()
    return (torch.hypot(axis[:, None] - row, axis[None] - col) < radius).float()[None]


def test_angles_are_measured_around_the_objects_centre():
    angles = angles_around(disc(12, 18))
    assert angles[0, 12, 25] == pytest.approx(0.0, abs=1e-4)
    assert angles[0, 20, 18] == pytest.approx(math.pi / 2, abs=1e-4)


def test_a_first_harmonic_moves_the_outline_to_one_side():
    noise = torch.zeros(1, 2, 2, 4)
    noise[0, 1, 0, 0] = 2.0
    change = shape_change(noise, angles_around(disc(16, 16)), 1.0, 4)[0, 1]
    assert change[16, 24] > 1.5
    assert change[16, 8] < -1.5


def test_every_fourth_sample_keeps_its_shape():
    noise = torch.randn(1, 8, 2, 4, generator=torch.Generator().manual_seed(0))
    change = shape_change(noise, angles_around(disc(16, 16)), 1.0, 4)[0]
    plain = [bool((one == 0).all()) for one in change]
    assert plain == [index % 4 == 0 for index in range(8)]


def test_an_empty_map_has_finite_angles():
    assert torch.isfinite(angles_around(torch.zeros(1, 16, 16))).all()


def test_harmonics_fall_with_the_root_of_their_order():
    angles = torch.zeros(1, 4, 4)  # cos(k phi) = 1 for every k
    amplitudes = []
    for k in range(4):
        noise = torch.zeros(1, 2, 2, 4)
        noise[0, 1, 0, k] = 1.0
        amplitudes.append(float(shape_change(noise, angles, 3.0, 4)[0, 1, 0, 0]))
    assert amplitudes == pytest.approx([3 / math.sqrt(k) for k in (1, 2, 3, 4)])
