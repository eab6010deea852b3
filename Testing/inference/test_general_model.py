"""The shipped network for many structures: small and large objects, and doubt where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from SPASegmentLib import SPAPredictor
from SPASegmentLib.imaging.sample import make_sample_volume
from SPASegmentLib.imaging.types import PointPrompt, SliceImage, Volume
from SPASegmentLib.inference import local
from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import Proposal, ProposalRequest, RegionSamples, UsualArea
from SPASegmentLib.inference.steering import likeliest_region
from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.registry import model_path

DOUBT = "doubts this mask"


@pytest.fixture(scope="module")
def a_predictor() -> SPAPredictor:
    return SPAPredictor.from_pretrained("general", device="cpu")


def clicked(predictor: SPAPredictor, pixels: np.ndarray, row: float, col: float) -> Proposal:
    predictor.set_image(pixels.astype(np.float32))
    return predictor.click(row, col)


def disc_clicked(predictor: SPAPredictor, radius: int, off: float) -> tuple[Proposal, float]:
    """A noisy disc clicked `off` its middle: the proposal, and the Dice of its recommendation."""
    rows, cols = np.mgrid[:200, :220]
    mask = np.hypot(rows - 100, cols - 110) < radius
    pixels = 60 + 60 * mask + np.random.default_rng(radius).normal(0, 10, mask.shape)
    proposal = clicked(predictor, pixels, 100 + off, 110 - off)
    found = proposal.recommendation
    return proposal, 2 * (found & mask).sum() / (found.sum() + mask.sum())


@pytest.mark.parametrize("off", [0.0, 3.0])
def test_a_small_object_is_found(a_predictor: SPAPredictor, off: float) -> None:
    proposal, dice = disc_clicked(a_predictor, 6, off)
    assert dice > 0.9
    assert proposal.expected_dice is not None and proposal.expected_dice > 0.7
    assert len(proposal.candidates) >= 2


@pytest.mark.parametrize(("radius", "off"), [(30, 14.0), (60, 0.0)])
def test_a_large_plain_object_is_found_or_the_mask_is_doubted(
    a_predictor: SPAPredictor, radius: int, off: float
) -> None:
    proposal, dice = disc_clicked(a_predictor, radius, off)
    assert dice > 0.7 or any(DOUBT in sentence for sentence in proposal.warnings)
    assert len(proposal.candidates) >= 2


def test_points_choose_among_regions_by_what_the_network_thinks_whatever_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That larger objects are meant more often holds after a click; points say themselves what is meant."""
    engine = load_engine("general", "cpu")
    rows, cols = np.mgrid[:120, :120]
    away = np.hypot(rows - 60, cols - 60)
    pixels = (0.2 + 0.3 * (away < 40) + 0.3 * (away < 10)).astype(np.float32)
    image, seed = SliceImage(pixels), PointPrompt(60, 60)
    with torch.inference_mode():
        found = engine._found(ProposalRequest(image, (seed,)))
    asked: list[list[float]] = []

    def noted(request: ProposalRequest, pools: list[RegionSamples], config: SPAConfig) -> int:
        asked.append([float(np.logaddexp.reduce(pool.log_weights)) for pool in pools])
        return likeliest_region(request, pools, config)

    monkeypatch.setattr(local, "likeliest_region", noted)
    engine.propose(ProposalRequest(image, (seed, PointPrompt(60, 85))))
    assert asked == [pytest.approx([one.log_certainty for one in found], abs=1e-5)]
    assert asked != [pytest.approx([one.log_weight for one in found], abs=1e-2)]


def test_every_alternative_changes_something_that_can_be_seen(a_predictor: SPAPredictor) -> None:
    """After picks, too, where what is left to change is little: no alternative of scattered pixels."""
    rows, cols = np.mgrid[:120, :120]
    halo = np.hypot(rows - 60, (cols - 60) / 1.2)
    pixels = 60 + 60 * (halo < 16) + 25 * (halo < 24) + np.random.default_rng(2).normal(0, 12, halo.shape)
    proposal = clicked(a_predictor, pixels, 60, 60)
    for iteration in range(5):
        shown = proposal.recommendation
        for candidate in proposal.candidates:
            differs = shown ^ candidate.mask
            pieces = np.bincount(ndimage.label(differs, np.ones((3, 3)))[0].ravel())[1:]
            area = max(shown.sum(), candidate.mask.sum())
            assert pieces.max() >= 0.01 * area and pieces.sum() >= 0.03 * area
            assert iteration or pieces[pieces >= 0.01 * area].sum() >= 0.03 * area
        proposal = a_predictor.pick(iteration % len(proposal.candidates) + 1)


def test_after_the_click_no_alternative_lives_on_specks(a_predictor: SPAPredictor) -> None:
    """The README's nodule: one alternative was three pixels and four specks, together 4%."""
    a_predictor.set_volume(make_sample_volume())
    proposal = a_predictor.click_ras((-60.62, -45.62, -86.25))
    assert len(proposal.candidates) == 4
    for candidate in proposal.candidates:
        differs = proposal.recommendation ^ candidate.mask
        pieces = np.bincount(ndimage.label(differs, np.ones((3, 3)))[0].ravel())[1:]
        area = max(proposal.recommendation.sum(), candidate.mask.sum())
        assert pieces[pieces >= 0.01 * area].sum() >= 0.03 * area


def test_noise_is_doubted_in_a_sentence_said_once(a_predictor: SPAPredictor) -> None:
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(100, 20, (200, 220))
        proposal = clicked(a_predictor, noise, 100, 110)
        assert sum(DOUBT in sentence for sentence in proposal.warnings) == 1


def test_a_plain_bright_object_is_not_doubted(a_predictor: SPAPredictor) -> None:
    rows, cols = np.mgrid[:200, :220]
    mask = np.hypot(rows - 100, cols - 110) < 6
    proposal = clicked(
        a_predictor, 60 + 60 * mask + np.random.default_rng(0).normal(0, 10, mask.shape), 100, 110
    )
    assert not any(DOUBT in sentence for sentence in proposal.warnings)


def test_its_header_names_every_set_it_learnt_from_with_a_licence_that_lets_it_be_shipped() -> None:
    sets = read_header(model_path("general")).provenance["sets"]
    assert len(sets) == 20
    for one in sets:
        assert one["source"]
        assert one["licence"].startswith(("CC0", "CC BY 3", "CC BY 4", "CC BY-SA", "MIT"))
        assert "recalled" not in one["licence"] and "NC" not in one["licence"]


def test_a_slice_is_answered_with_its_neighbours_and_not_from_memory_of_it_without_them(
    a_predictor: SPAPredictor,
) -> None:
    rows, cols = np.mgrid[:120, :120]
    mask = np.hypot(rows - 60, cols - 60) < 12
    pixels = (60 + 60 * mask + np.random.default_rng(0).normal(0, 10, mask.shape)).astype(np.float32)
    beside = np.where(np.hypot(rows - 60, cols - 60) < 20, 120, 60).astype(np.float32)
    answers = []
    for volume in ([pixels], [beside, pixels, beside], [pixels * 0 + 60, pixels, beside]):
        array = np.stack(volume)
        a_predictor.set_volume(Volume(array, np.eye(4)), window=(0, 200))
        a_predictor.set_slice("axial", len(array) // 2)
        answers.append(a_predictor.click(60, 60).probability)
    assert not np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[1], answers[2])


def test_of_what_a_click_may_mean_a_profile_says_which_by_its_size() -> None:
    """A bright spot in a brighter disc in a bright one: the network finds something at several scales."""
    rows, cols = np.mgrid[:200, :220]
    distance = np.hypot(rows - 100, cols - 110)
    pixels = 80 + 60 * (distance < 40) + 60 * (distance < 12)
    pixels = pixels + np.random.default_rng(0).normal(0, 5, pixels.shape)
    image = SliceImage((np.clip(pixels, 0, 255) / 255).astype(np.float32))
    plain = ProposalRequest(image, (PointPrompt(100, 110),))
    small, large = (replace(plain, usual_area=UsualArea(float(np.log(area)), 0.4)) for area in (15, 400))
    engine = load_engine("general", "cpu")
    few, many = engine.propose(small), engine.propose(large)
    assert few.area_mm2 < 60 and many.area_mm2 > 300
    assert engine.propose(small).area_mm2 == few.area_mm2, "the same from memory"
    fresh = load_engine("general", "cpu")
    assert np.array_equal(engine.propose(plain).probability, fresh.propose(plain).probability)
