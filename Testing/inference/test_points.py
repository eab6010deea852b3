"""Points are obeyed: after any history a positive one lies inside the mask, a negative one outside."""

from __future__ import annotations

import numpy as np
import pytest

from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage
from SPASegmentLib.inference.candidates import hold_points
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.inference.region_search import room_for_points
from SPASegmentLib.inference.session import Session
from SPASegmentLib.network.config import SPAConfig


def disc(radius: float, centre: tuple[float, float] = (60, 60), size: int = 120) -> np.ndarray:
    rows, cols = np.mgrid[:size, :size]
    return np.hypot(rows - centre[0], cols - centre[1]) < radius


def an_image(seed: int = 0) -> SliceImage:
    noise = np.random.default_rng(seed).normal(0, 0.03, (120, 120))
    pixels = 0.2 + 0.4 * disc(14) + 0.2 * disc(6, (64, 66)) + 0.3 * disc(7, (60, 84)) + noise
    return SliceImage(pixels.clip(0, 1).astype(np.float32))


def a_request(*points: PointPrompt) -> ProposalRequest:
    return ProposalRequest(an_image(), points)


def test_a_mask_that_obeys_its_points_stays_as_it_is() -> None:
    mask = disc(14)
    request = a_request(PointPrompt(60, 60), PointPrompt(60, 90, positive=False))
    assert np.array_equal(hold_points(mask, request, Region((60, 60), 64, 64)), mask)


def test_what_a_point_changes_lies_near_it() -> None:
    mask = disc(14)
    request = a_request(PointPrompt(60, 60), PointPrompt(20, 20), PointPrompt(60, 70, positive=False))
    held = hold_points(mask, request, Region((60, 60), 96, 64))
    assert held[20, 20] and not held[60, 70] and held[60, 60]
    changed = np.argwhere(held != mask)
    near = np.minimum(np.hypot(*(changed - (20, 20)).T), np.hypot(*(changed - (60, 70)).T))
    assert 0 < len(changed) < 60 and near.max() <= 3.1


def test_two_points_beside_each_other_are_both_obeyed() -> None:
    request = a_request(PointPrompt(60, 60), PointPrompt(60, 74), PointPrompt(60, 75, positive=False))
    for mask in (disc(10), disc(30)):
        held = hold_points(mask, request, Region((60, 60), 64, 64))
        assert held[60, 74] and not held[60, 75]


@pytest.mark.parametrize("model", ["compact"])
def test_every_point_is_obeyed_in_random_histories(model: str) -> None:
    engine = load_engine(model, "cpu")
    for trial in range(6):
        rng = np.random.default_rng(trial)
        session = Session.start(an_image(trial), engine.model, (60.0, 60.0)).advance(engine)
        for _ in range(5):
            assert session.proposal is not None
            candidates = session.proposal.candidates
            if candidates and rng.random() < 0.4:
                session = session.pick(int(rng.integers(len(candidates))))
            else:
                row, col = rng.uniform(5, 114, 2)
                session = session.add_point(float(row), float(col), positive=bool(rng.random() < 0.5))
            session = session.advance(engine)
            assert session.proposal is not None
            for mask in (session.proposal.recommendation, *(c.mask for c in session.proposal.candidates)):
                for point in session.points:
                    assert mask[round(point.row), round(point.col)] == point.positive


def test_a_positive_point_outside_the_region_makes_room_for_itself() -> None:
    config = SPAConfig(zoom_factor=2.2)
    region = Region((60, 60), 44.0, 64)
    request = a_request(PointPrompt(60, 60), PointPrompt(60, 84), PointPrompt(5, 5, positive=False))
    larger = room_for_points(region, request, config)
    assert larger.size_mm > 44 and abs(84 - larger.centre[1]) < larger.size_mm / 2 * 0.9
    assert abs(50 - larger.centre[1]) < larger.size_mm / 2  # what it was fitted to stays in sight
    inside = a_request(PointPrompt(60, 60), PointPrompt(60, 74))
    assert room_for_points(region, inside, config) == region
