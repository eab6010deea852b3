from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.research.evaluation.concentration import (
    Concentration,
    draw_concentration,
    simulate_concentration,
)

FIVE = (0, 3, 6, 9, 12)


@pytest.fixture(scope="module")
def simulated() -> Concentration:
    rng = np.random.default_rng(5)
    mixture = Mixture(
        0.3 * rng.normal(size=16), 2.5 * rng.normal(size=(16, 8)), rng.uniform(0.3, 1.0, (16, 8))
    )
    return simulate_concentration(mixture, FIVE, picks=120, users=10, seed=1)


def test_the_posterior_concentrates_on_the_component_the_user_comes_from(simulated):
    mean = simulated.mean
    assert mean.shape == (5, 121)
    assert (mean[:, 0] < 0.2).all()
    assert (mean[:, -1] > 0.95).all()
    assert (mean[:, 10] > mean[:, 0]).all() and (mean[:, 120] > mean[:, 10] - 1e-3).all()


def test_a_user_of_another_component_is_not_taken_for_this_one(simulated):
    """The theorem holds for the component the picks come from, not for whichever one asks about."""
    rng = np.random.default_rng(5)
    mixture = Mixture(np.zeros(2), np.array([[0.0, 0.0], [4.0, 0.0]]), rng.uniform(0.5, 1.0, (2, 2)))
    both = simulate_concentration(mixture, (0, 1), picks=20, users=5, seed=2)
    assert (both.mean[:, -1] > 0.99).all()


def test_components_that_look_alike_stay_undecided():
    mixture = Mixture(np.zeros(2), np.zeros((2, 2)), np.ones((2, 2)))
    result = simulate_concentration(mixture, (0,), picks=20, users=30, seed=3)
    assert abs(result.mean[0, -1] - 0.5) < 0.2


def test_the_figure_is_drawn(simulated, tmp_path: Path):
    from matplotlib.image import imread

    draw_concentration(simulated, tmp_path / "concentration.png")
    picture = imread(tmp_path / "concentration.png")
    assert picture.shape[0] > 300 and picture[..., :3].std() > 0.05
