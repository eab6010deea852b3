"""A mask carried over from a neighbouring slice, in the request for the next one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.inference.local import LocalEngine, load_engine
from SPASegmentLib.inference.messages import Answered, Carried, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.spa import SPANetwork

ROWS, COLS = np.mgrid[:140, :150]


@pytest.fixture(scope="module")
def general() -> LocalEngine:
    return load_engine("general", "cpu")


@pytest.fixture(scope="module")
def compact() -> LocalEngine:
    return load_engine("compact", "cpu")


def disc(radius: float, row: float = 70, col: float = 75) -> np.ndarray:
    return np.hypot(ROWS - row, COLS - col) < radius


def an_image(*discs: np.ndarray) -> SliceImage:
    """Each disc adds a step of brightness; a little noise."""
    pixels = 0.25 + 0.25 * sum(discs) + np.random.default_rng(0).normal(0, 0.03, ROWS.shape)
    return SliceImage(np.clip(pixels, 0, 1).astype(np.float32))


def carry(engine: LocalEngine, image: SliceImage, mask: np.ndarray, *points: PointPrompt) -> Proposal:
    seed = carried_seed(mask, image.spacing)
    carried = Carried(mask.astype(np.float32))
    return engine.propose(ProposalRequest(image, (seed, *points), carried=carried))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_carried_mask_says_which_of_two_outlines_is_meant(general):
    image = an_image(disc(12), disc(24))
    core = carry(general, image, disc(12)).recommendation
    whole = carry(general, image, disc(25)).recommendation
    assert overlap(core, disc(12)) > 0.9
    assert overlap(whole, disc(24)) > overlap(core, disc(24)) + 0.1


@pytest.fixture(scope="module")
def finds_nothing() -> LocalEngine:
    """A small network without training that takes nothing for the object."""
    torch.manual_seed(0)
    config = SPAConfig(
        fusion="linear",
        grid=32,
        channels=16,
        widths=(8, 8, 16, 16),
        latent_dim=4,
        decoder_heads=2,
        decoder_mlp=32,
        samples=8,
        planes=("picked", "recommendation", "belief", "positive", "negative", "carried"),
    )
    network = SPANetwork(config)
    decode = network.decode_unscaled
    network.decode_unscaled = lambda prepared, z: decode(prepared, z) - 50.0
    return LocalEngine(network, ModelInfo("small", "hash", config.components, "nothing"), "cpu")


def test_where_the_object_has_ended_the_answer_is_empty_but_for_the_users_own_points(finds_nothing):
    image = an_image(disc(30, 20, 130))
    ended = carry(finds_nothing, image, disc(12))
    assert not ended.recommendation.any()
    assert ended.area_mm2 == 0
    placed = carry(finds_nothing, image, disc(12), PointPrompt(75, 84)).recommendation
    assert placed[75, 84]
    assert not placed[70, 75]
    clicked = finds_nothing.propose(ProposalRequest(image, (PointPrompt(70, 75),))).recommendation
    assert clicked[70, 75]


def test_picks_go_on_from_a_carried_mask(general):
    image = an_image(disc(12), disc(24))
    first = carry(general, image, disc(17))
    assert first.candidates
    request = ProposalRequest(
        image,
        (carried_seed(disc(17), image.spacing),),
        (Answered(first, 0),),
        carried=Carried(disc(17).astype(np.float32)),
    )
    picked = first.candidates[0].mask
    second = general.propose(request).recommendation
    assert overlap(second, picked) > overlap(first.recommendation, picked)


def test_a_mask_at_the_edge_of_the_slice_is_carried_and_does_not_go_on_beyond_it(general):
    at_edge = disc(20, 0, 75)
    found = carry(general, an_image(at_edge), at_edge).recommendation
    assert overlap(found, at_edge) > 0.85


def test_a_network_without_the_plane_takes_region_and_seed_from_the_mask_and_nothing_else(compact):
    image = an_image(disc(14))
    solid, ring = disc(14), disc(14) & ~(disc(6) & ~disc(3))
    answers = [
        compact.propose(
            ProposalRequest(image, (PointPrompt(70, 75),), carried=Carried(mask.astype(np.float32)))
        )
        for mask in (solid, ring)
    ]
    assert answers[0].feedback.region == answers[1].feedback.region
    np.testing.assert_array_equal(answers[0].probability, answers[1].probability)


@pytest.mark.parametrize(
    "mask", [np.zeros((140, 150)), np.full((140, 150), np.nan), np.full((140, 150), 255.0), np.ones((5, 5))]
)
def test_masks_that_cannot_be_carried_are_refused_in_a_sentence(general, mask):
    request = ProposalRequest(an_image(disc(9)), (PointPrompt(70, 75),), carried=Carried(mask))
    with pytest.raises(InputError, match="carried mask is empty or does not fit"):
        general.propose(request)
    if not (mask >= 0.5).any():
        with pytest.raises(SeedError, match="empty"):
            carried_seed(mask, (1.0, 1.0))


def test_the_carried_seed_lies_deepest_in_the_mask_in_millimetres():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:14] = True  # narrow along the columns
    mask[16:21, 10:24] = True
    seed = carried_seed(mask, (1.0, 1.0))
    assert mask[round(seed.row), round(seed.col)]
    assert carried_seed(mask, (1.0, 0.2)) != seed


@pytest.mark.parametrize("name", ["general", "compact"])
def test_without_alternatives_all_else_is_the_same(name, request):
    engine, image = request.getfixturevalue(name), an_image(disc(12), disc(24))
    carried = Carried(disc(17).astype(np.float32))
    asked = ProposalRequest(image, (carried_seed(disc(17), image.spacing),), carried=carried)
    full, bare = (engine.propose(replace(asked, alternatives=wanted)) for wanted in (True, False))
    assert full.candidates and not bare.candidates and not bare.fewer_reason
    np.testing.assert_array_equal(full.recommendation, bare.recommendation)
    np.testing.assert_array_equal(full.probability, bare.probability)
    np.testing.assert_array_equal(full.feedback.samples, bare.feedback.samples)
    assert full.expected_dice == bare.expected_dice
