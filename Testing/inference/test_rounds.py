"""What earlier rounds, profiles and other clicks may change in a proposal, and what they may not."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from SPASegmentLib.errors import Cancelled
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.candidates import same_mask
from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.inference.messages import Answered, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.network.config import compact_config
from SPASegmentLib.network.spa import SPANetwork


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return load_engine("compact", "cpu")


def small_engine() -> LocalEngine:
    """An untrained network of a few channels; answers in a few milliseconds."""
    torch.manual_seed(0)
    config = compact_config(
        channels=16, widths=(8, 8, 16, 16), head_channels=8, decoder_heads=2, decoder_mlp=32, samples=24
    )
    network = SPANetwork(config)
    return LocalEngine(network, ModelInfo("untrained", "0", config.components, "nothing"), "cpu")


def nodules(*discs: tuple[float, float, float], rim: float = 4.0, size: int = 128) -> SliceImage:
    """Bright discs (row, column, radius) with soft rims in noisy lung."""
    rows, cols = np.mgrid[:size, :size]
    pixels = 0.08 + np.random.default_rng(0).normal(0, 0.015, rows.shape)
    for row, col, radius in discs:
        pixels += 0.4 / (1 + np.exp((np.hypot(rows - row, cols - col) - radius) / rim * 2))
    return SliceImage(np.clip(pixels, 0, 1).astype(np.float32), (0.7, 0.7), "CT")


ONE = nodules((64, 64, 9))


def ask(engine: LocalEngine, image: SliceImage = ONE, at=(64, 64), answered=(), **more) -> Proposal:
    return engine.propose(ProposalRequest(image, (PointPrompt(*at),), answered, **more))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def answers(proposal: Proposal) -> tuple[bytes, ...]:
    """Everything a user sees of a proposal, to the last bit."""
    return (proposal.probability.tobytes(), *(c.mask.tobytes() for c in proposal.candidates))


def test_a_profile_speaks_before_the_first_pick_and_not_again_after_it(engine):
    first = ask(engine)
    shares = first.feedback.log_shares
    profile = 20 * shares[int(np.argmax([c.mask.sum() for c in first.candidates]))]
    assert answers(ask(engine, log_prior=profile)) != answers(first)
    none, picked = (Answered(first, None),), (Answered(first, 0),)
    assert answers(ask(engine, answered=none, log_prior=profile)) != answers(ask(engine, answered=none))
    assert answers(ask(engine, answered=picked, log_prior=profile)) == answers(ask(engine, answered=picked))


def test_a_later_pick_speaks_of_components_as_the_first_samples_were_drawn(engine):
    first = ask(engine)
    components = engine.model.components
    other = (first.feedback.components + 1) % components
    renamed = replace(first, feedback=replace(first.feedback, components=other))
    shares, moved = (
        ask(engine, answered=(Answered(proposal, 1),), seed=1).feedback.log_shares
        for proposal in (first, renamed)
    )
    assert np.ptp(shares, axis=1).max() > 0.5
    np.testing.assert_array_equal(moved, np.roll(shares, 1, axis=1))


def test_a_click_is_answered_the_same_whatever_was_clicked_before_on_the_region(engine):
    first = ask(engine)
    request = ProposalRequest(ONE, (PointPrompt(58, 60),), (Answered(first, None),))
    assert answers(engine.propose(request)) == answers(load_engine("compact", "cpu").propose(request))


def test_each_of_two_objects_of_a_slice_is_found_by_its_own_click(engine):
    image = nodules((30, 30, 4), (90, 88, 14), rim=2.0)
    rows, cols = np.mgrid[:128, :128]
    for row, col, radius in ((30, 30, 4), (90, 88, 14), (30, 30, 4)):
        proposal = ask(engine, image, (row, col))
        assert dice(proposal.recommendation, np.hypot(rows - row, cols - col) < radius) > 0.7
        assert proposal.feedback.region.size_mm < 8 * radius  # its own region, not room beside the other's


def drawn(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, rejections: int) -> np.ndarray:
    """(N, D) latent variables of the proposal after "none of these" was said so often."""
    answered = (Answered(ask(engine), None),) * rejections
    seen: list[torch.Tensor] = []
    decode = engine.network.decode_unscaled

    def recorded(prepared, z):
        seen.append(z[0])
        return decode(prepared, z)

    with monkeypatch.context() as patch:
        patch.setattr(engine.network, "decode_unscaled", recorded)
        ask(engine, answered=answered)
    return torch.cat(seen).numpy()


def test_every_none_of_these_spreads_samples_half_a_deviation_further(monkeypatch):
    engine = small_engine()
    once, twice, thrice = (drawn(engine, monkeypatch, n) for n in (0, 1, 2))
    means = engine.base_mixture().means[ask(engine).feedback.components]  # untrained: as for this image
    assert np.abs(once - means).mean() > 0.2
    for z, times in ((twice, 1.5), (thrice, 2.0)):
        np.testing.assert_allclose(z - means, times * (once - means), atol=0.02)


def test_what_was_turned_down_before_a_pick_is_not_shown_after_it(engine):
    first = ask(engine)
    second = ask(engine, answered=(Answered(first, None),), seed=1)
    rounds = (Answered(first, None), Answered(second, 0))
    shown = ask(engine, answered=rounds, seed=2).candidates
    assert shown
    turned_down = replace(first, candidates=shown)
    rounds = (Answered(turned_down, None), Answered(second, 0))
    for candidate in ask(engine, answered=rounds, seed=2).candidates:
        assert not any(same_mask(candidate.mask, old.mask) for old in shown)


def test_the_region_grows_when_what_was_picked_reaches_its_border(engine):
    image = nodules((64, 64, 9), (64, 82, 9))
    first = ask(engine, image)
    region = first.feedback.region
    rows, cols = np.mgrid[:128, :128]
    large = np.hypot(rows - 64, cols - 73) < 30
    clusters = np.full_like(first.feedback.clusters, 255)
    candidates = tuple(replace(c, mask=large) for c in first.candidates)
    filling = replace(first, candidates=candidates, feedback=replace(first.feedback, clusters=clusters))
    grown = ask(engine, image, answered=(Answered(filling, 0),)).feedback.region
    assert grown.size_mm > 1.2 * region.size_mm
    assert ask(engine, image, answered=(Answered(first, 0),)).feedback.region == region
    assert ask(engine, image, answered=(Answered(filling, None),)).feedback.region == region


@pytest.mark.parametrize("way", ["by the posterior", "by clusters"])
@pytest.mark.parametrize("radius", [4.0, 6.0, 9.0])
def test_four_candidates_are_shown_where_one_of_the_first_clusters_is_the_recommendation(
    engine, radius, way, monkeypatch
):
    if way == "by clusters":  # the paper's way
        monkeypatch.setattr(engine, "config", replace(engine.config, harmonics=0))
    proposal = ask(engine, nodules((64, 64, radius), rim=2.0))
    assert len(proposal.candidates) == 4
    assert proposal.fewer_reason == ""


def test_a_cancel_is_heard_while_samples_are_decoded(monkeypatch):
    engine, stop, chunks = small_engine(), threading.Event(), []
    ask(engine)  # the region is known from now on
    decode = engine.network.decode_unscaled

    def cancelled_meanwhile(*args):
        chunks.append(args)
        stop.set()
        return decode(*args)

    monkeypatch.setattr(engine.network, "decode_unscaled", cancelled_meanwhile)
    with pytest.raises(Cancelled):
        engine.propose(ProposalRequest(ONE, (PointPrompt(64, 64),)), stop)
    assert len(chunks) == 1
