"""How rough outlines are."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.research.evaluation.outlines import bending_energy


def disc(radius: float, teeth: int = 0) -> np.ndarray:
    """With so many single pixels on its rim."""
    rows, cols = np.mgrid[:101, :101] - 50
    mask = np.hypot(rows, cols) <= radius
    for angle in 2 * np.pi * np.arange(teeth) / max(teeth, 1):
        for far in (0.5, 1.0, 1.5, 2.0):
            out = (radius + far) * np.array([np.sin(angle), np.cos(angle)])
            mask[tuple(np.rint(50 + out).astype(int))] = True
    return mask


@pytest.mark.parametrize("radius", [15, 25, 40])
def test_a_disc_bends_as_a_circle_does(radius):
    points = round(2 * np.pi * radius / 2)
    assert bending_energy(disc(radius)) == pytest.approx(4 * np.pi**2 / points, rel=0.5, abs=0.3)


def test_each_tooth_and_each_hole_adds_to_it():
    plain, few, many = (bending_energy(disc(30, teeth)) for teeth in (0, 6, 18))
    assert plain + 1 < few < many - 2
    ring = disc(30) & ~disc(15)
    assert bending_energy(ring) == pytest.approx(plain + bending_energy(disc(15)), rel=0.05)


def test_specks_and_nothing_have_no_outline():
    assert bending_energy(np.zeros((9, 9), bool)) is None
    assert bending_energy(np.eye(3, dtype=bool)[:1]) is None
