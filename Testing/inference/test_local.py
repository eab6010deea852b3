"""The engine with the shipped model: proposals, picks, none of these, points, zoom, bad input."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from SPASegmentLib.errors import Cancelled, CheckpointError, InputError, ProfileError, SeedError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.candidates import same_mask
from SPASegmentLib.inference.checks import LOOKS_LIKE_NOISE, is_doubtful
from SPASegmentLib.inference.local import LocalEngine, choose_device, load_engine
from SPASegmentLib.inference.messages import Answered, Proposal, ProposalRequest, UsualArea


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return load_engine("compact", "cpu")


def nodule(
    radius: float, size: int = 128, centre: tuple[float, float] = (64, 64), rim: float = 2.0
) -> SliceImage:
    """A bright disc with a soft rim in noisy lung."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:size, :size]
    distance = np.hypot(rows - centre[0], cols - centre[1]) - radius
    pixels = 0.08 + 0.4 / (1 + np.exp(distance / rim * 2)) + rng.normal(0, 0.015, rows.shape)
    return SliceImage(np.clip(pixels, 0, 1).astype(np.float32), (0.7, 0.7), "CT")


def ask(engine, image, points=((64, 64),), answered=(), **more) -> Proposal:
    prompts = tuple(PointPrompt(*p) for p in points)
    return engine.propose(ProposalRequest(image, prompts, answered, **more))


def dice(a, b) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def disc(image: SliceImage, radius: float, centre=(64, 64)) -> np.ndarray:
    rows, cols = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.hypot(rows - centre[0], cols - centre[1]) < radius


@pytest.mark.parametrize("radius", [3.0, 7.0, 14.0, 24.0])
def test_one_click_outlines_a_nodule_of_any_size(engine, radius):
    image = nodule(radius)
    assert dice(ask(engine, image).recommendation, disc(image, radius)) > 0.7


def test_a_small_lesion_is_not_lost_in_a_large_slice(engine):
    image = nodule(3.0, size=512, centre=(400, 91))
    proposal = ask(engine, image, ((400, 91),))
    assert dice(proposal.recommendation, disc(image, 3.0, (400, 91))) > 0.6
    assert proposal.feedback.region.size_mm < 40


def test_four_clean_candidates_differ_from_each_other_and_the_recommendation(engine):
    proposal = ask(engine, nodule(9.0, rim=4.0))
    masks = [proposal.recommendation, *(c.mask for c in proposal.candidates)]
    assert len(masks) == 5
    assert not any(same_mask(a, b) for i, a in enumerate(masks) for b in masks[:i])
    assert len({c.description.name for c in proposal.candidates}) == 4


def test_picking_the_largest_candidate_makes_the_recommendation_larger(engine):
    image = nodule(9.0, rim=5.0)
    first = ask(engine, image)
    largest = int(np.argmax([c.mask.sum() for c in first.candidates]))
    smallest = int(np.argmin([c.mask.sum() for c in first.candidates]))
    larger = ask(engine, image, answered=(Answered(first, largest),), seed=1)
    smaller = ask(engine, image, answered=(Answered(first, smallest),), seed=1)
    assert larger.recommendation.sum() > first.recommendation.sum() > smaller.recommendation.sum()


def test_equal_requests_give_equal_proposals_also_from_a_fresh_engine(engine):
    image = nodule(8.0)
    first = ask(engine, image, seed=5)
    other = ask(load_engine("compact", "cpu"), image, seed=5)
    assert np.array_equal(first.probability, other.probability)
    assert all(
        np.array_equal(a.mask, b.mask) for a, b in zip(first.candidates, other.candidates, strict=True)
    )
    assert np.array_equal(first.feedback.log_shares, other.feedback.log_shares)


def test_none_of_these_never_shows_a_rejected_candidate_again(engine):
    image = nodule(9.0, rim=5.0)
    answered: tuple[Answered, ...] = ()
    rejected: list[np.ndarray] = []
    for seed in range(3):
        proposal = ask(engine, image, answered=answered, seed=seed)
        for candidate in proposal.candidates:
            assert not any(same_mask(candidate.mask, old) for old in rejected)
        rejected += [c.mask for c in proposal.candidates]
        answered += (Answered(proposal, None),)
    assert len(rejected) > 4


def test_turning_down_a_proposal_without_alternatives_is_answered_like_nothing_said(engine):
    image = nodule(9.0, rim=5.0)
    first = ask(engine, image)
    told = replace(first.feedback, clusters=first.feedback.clusters[:0], cluster_regions=())
    told = replace(told, log_shares=told.log_shares[:0])
    bare = replace(first, candidates=(), feedback=told)
    for answered in ((Answered(bare, None),), (Answered(first, 1), Answered(bare, None))):
        proposal = ask(engine, image, answered=answered, seed=1)
        assert proposal.recommendation.any() and proposal.candidates


def test_a_negative_point_is_left_out_and_a_positive_one_taken_in(engine):
    image = nodule(12.0)
    first = ask(engine, image)
    inside, outside = (64, 72), (64, 80)
    assert first.recommendation[inside] and not first.recommendation[outside]
    without = ask(engine, image, ((64, 64), (*inside, False)))
    including = ask(engine, image, ((64, 64), (*outside, True)))
    assert not without.recommendation[inside]
    assert including.recommendation[outside]


def test_shares_are_probabilities_over_the_shown_candidates(engine):
    image = nodule(9.0, rim=5.0)
    first = ask(engine, image)
    second = ask(engine, image, answered=(Answered(first, 0),), seed=1)
    for proposal in (first, second):
        shares = proposal.feedback.log_shares
        assert shares.shape == (len(proposal.candidates), engine.model.components)
        assert np.allclose(np.exp(shares).sum(axis=0), 1)


def test_evidence_for_the_components_of_large_masks_makes_the_first_recommendation_larger(engine):
    image = nodule(9.0, rim=6.0)
    first = ask(engine, image)
    order = np.argsort([c.mask.sum() for c in first.candidates])
    shares = first.feedback.log_shares
    larger = ask(engine, image, log_prior=20 * shares[order[-1]])
    smaller = ask(engine, image, log_prior=20 * shares[order[0]])
    assert larger.recommendation.sum() > smaller.recommendation.sum()


def test_a_cancelled_request_raises_and_leaves_the_engine_usable(engine):
    stop = threading.Event()
    stop.set()
    request = ProposalRequest(nodule(6.5), (PointPrompt(64, 64),))
    with pytest.raises(Cancelled):
        engine.propose(request, stop)
    assert engine.propose(request).recommendation.any()


def test_the_engine_answers_after_many_slices_without_keeping_them_all(engine):
    for radius in np.linspace(4, 10, 24):
        ask(engine, nodule(float(radius)))
    assert len(engine._embeddings) <= 16


@pytest.mark.parametrize(
    ("pixels", "points", "error", "words"),
    [
        (np.full((64, 64), 0.5), ((32, 32),), InputError, "empty"),
        (np.full((64, 64), np.nan), ((32, 32),), InputError, "NaN"),
        (np.random.default_rng(0).random((1, 64)), ((0, 32),), InputError, "one pixel"),
        (np.random.default_rng(0).random((64, 64, 2)), ((32, 32),), InputError, "RGB"),
        (np.random.default_rng(0).normal(-600, 300, (64, 64)), ((32, 32),), InputError, "window"),
        (np.random.default_rng(0).integers(0, 255, (64, 64)), ((32, 32),), InputError, "window"),
        (np.random.default_rng(0).random((64, 64)) - 0.1, ((32, 32),), InputError, "window"),
        (np.random.default_rng(0).random((64, 64)), ((70, 32),), SeedError, "outside"),
        (np.random.default_rng(0).random((64, 64)), ((63.5, 32),), SeedError, "outside"),
        (np.random.default_rng(0).random((64, 64)), ((32, 63.5),), SeedError, "outside"),
        (np.random.default_rng(0).random((64, 64)), ((32, -0.51),), SeedError, "outside"),
        (np.random.default_rng(0).random((64, 64)), ((32, 32, False),), SeedError, "positive seed"),
    ],
)
def test_bad_input_gets_one_sentence(engine, pixels, points, error, words):
    with pytest.raises(error, match=words):
        ask(engine, SliceImage(pixels.astype(np.float32)), points)


@pytest.mark.parametrize("at", [-0.5, 63.49])
def test_a_point_on_the_edge_of_the_outermost_pixels_is_answered(engine, at):
    image = nodule(9.0, size=64, centre=(at, at))
    assert ask(engine, image, ((at, at),)).recommendation[round(at), round(at)]


def test_the_array_an_image_was_made_of_may_change_without_changing_the_image(engine):
    pixels = nodule(12.0).pixels.copy()
    image = SliceImage(pixels, (0.7, 0.7), "CT")
    first = ask(engine, image)
    pixels[:] = nodule(6.0).pixels
    assert np.array_equal(ask(engine, image).probability, first.probability)
    changed = ask(engine, SliceImage(pixels, (0.7, 0.7), "CT"))
    assert changed.recommendation.sum() < 0.5 * first.recommendation.sum()


def test_another_models_profile_is_refused(engine):
    with pytest.raises(ProfileError, match="another model"):
        ask(engine, nodule(6.0), log_prior=np.zeros(3))


@pytest.mark.parametrize("area", [UsualArea(float("nan"), 1.0), UsualArea(5.0, 0.0), UsualArea(5.0, np.inf)])
def test_a_usual_area_that_is_no_number_is_refused(engine, area):
    with pytest.raises(ProfileError, match="choose another profile"):
        ask(engine, nodule(6.0), usual_area=area)


@pytest.mark.parametrize("modality", ["MR", None])
def test_input_of_another_kind_draws_a_warning_and_an_answer(engine, modality):
    image = nodule(8.0)
    image = SliceImage(image.pixels, image.spacing, modality)
    warnings = " ".join(ask(engine, image).warnings)
    assert ("says MR" in warnings) == (modality == "MR")


def test_rgb_slices_are_answered_with_a_warning(engine):
    grey = nodule(8.0)
    image = SliceImage(np.repeat(grey.pixels[..., None], 3, axis=2), grey.spacing)
    proposal = ask(engine, image)
    assert dice(proposal.recommendation, disc(image, 8.0)) > 0.75
    assert "colour" in " ".join(proposal.warnings)


@pytest.mark.parametrize("colours", [1, 3])
def test_noise_is_doubted_by_a_model_that_does_not_judge_itself(engine, colours):
    for seed in range(3):
        pixels = np.random.default_rng(seed).uniform(size=(128, 128, colours)).astype(np.float32)
        proposal = ask(engine, SliceImage(pixels.squeeze(), (0.7, 0.7), "CT"))
        assert LOOKS_LIKE_NOISE in proposal.warnings
        assert is_doubtful(proposal)


def test_a_nodule_in_noisy_lung_is_not_doubted_and_a_mask_of_one_pixel_is(engine):
    proposal = ask(engine, nodule(5.0))
    assert not proposal.warnings and not is_doubtful(proposal)
    one = np.zeros_like(proposal.recommendation)
    one[64, 64] = True
    assert is_doubtful(replace(proposal, recommendation=one))


def test_a_mask_of_which_the_model_expects_little_is_doubtful(engine):
    proposal = ask(engine, nodule(5.0))
    assert is_doubtful(replace(proposal, expected_dice=0.3))
    assert not is_doubtful(replace(proposal, expected_dice=0.9))


def test_the_mixture_without_an_image_is_near_that_of_every_image(engine):
    base = engine.base_mixture()
    assert base.n_components == engine.model.components and base.dimension == engine.config.latent_dim
    assert np.array_equal(base.means, engine.base_mixture().means)
    drawn = ask(engine, nodule(9.0), n_samples=600).feedback.components
    shares = np.bincount(drawn, minlength=base.n_components) / 600
    assert np.abs(shares - base.weights).sum() < np.abs(shares - 1 / base.n_components).sum()


def test_a_missing_cuda_device_is_said_in_a_sentence():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(CheckpointError, match="No CUDA device"):
        choose_device("cuda")


def test_a_full_gpu_falls_back_to_the_cpu_and_says_so(engine, monkeypatch):
    """The out-of-memory error is raised by hand: no machine of the test run has a GPU to fill."""
    fresh, failures = load_engine("compact", "cpu"), iter([True])
    decode = fresh.network.decode_unscaled

    def full_once(*args):
        if next(failures, False):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return decode(*args)

    monkeypatch.setattr(fresh.network, "decode_unscaled", full_once)
    proposal = ask(fresh, nodule(6.0))
    assert "memory is full" in " ".join(proposal.warnings)
