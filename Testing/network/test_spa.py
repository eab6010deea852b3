"""The whole network, with both places where z can meet the image."""

from __future__ import annotations

import pytest
import torch

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.config import SPAConfig, build_config, sam_config
from SPASegmentLib.network.interaction import InteractionPrompts, difference_points
from SPASegmentLib.network.spa import SPANetwork

SMALL = {
    "grid": 32,
    "channels": 32,
    "widths": [8, 16, 16, 16],
    "head_channels": 16,
    "decoder_heads": 4,
    "decoder_mlp": 32,
}


@pytest.fixture(params=["decoder", "embedding"])
def network(request) -> SPANetwork:
    torch.manual_seed(0)
    return SPANetwork(build_config({**SMALL, "fusion": request.param})).eval()


def interaction(batch: int = 2, picked: bool = True) -> InteractionPrompts:
    points, labels = torch.full((batch, 1, 2), 16.0), torch.ones(batch, 1)
    if not picked:
        return InteractionPrompts(points, labels)
    generator = torch.Generator().manual_seed(1)
    maps = [torch.rand(batch, 1, 32, 32, generator=generator) for _ in range(3)]
    return InteractionPrompts(points, labels, *maps)


def test_the_papers_numbers_are_the_defaults():
    config = SPAConfig()
    assert (config.components, config.samples, config.candidates, config.iterations) == (16, 48, 4, 6)
    assert sam_config().channels == 256


@torch.no_grad()
def test_each_z_gives_a_mask_of_the_regions_size_and_another_z_another(network):
    embedding = network.encode_image(torch.rand(2, 1, 32, 32), torch.full((2, 2), 16.0))
    prepared = network.prepare(embedding, interaction())
    z = prepared.distribution.one_per_component(torch.Generator().manual_seed(0))
    logits = network.decode(prepared, z)
    assert logits.shape == (2, 16, 32, 32)
    assert not torch.allclose(logits[:, 0], logits[:, 1])


@torch.no_grad()
def test_chunks_of_samples_give_what_all_at_once_give(network):
    embedding = network.encode_image(torch.rand(1, 1, 32, 32), torch.full((1, 2), 16.0))
    prepared = network.prepare(embedding, interaction(1))
    z = torch.randn(1, 12, network.config.latent_dim)
    parts = torch.cat([network.decode(prepared, chunk) for chunk in z.split(5, dim=1)], dim=1)
    assert torch.allclose(parts, network.decode(prepared, z), atol=1e-5)


@torch.no_grad()
def test_a_pick_changes_the_preference_distribution_and_no_component_can_collapse(network):
    embedding = network.encode_image(torch.rand(2, 1, 32, 32), torch.full((2, 2), 16.0))
    before = network.prepare(embedding, interaction(picked=False)).distribution
    after = network.prepare(embedding, interaction()).distribution
    assert not torch.allclose(before.means, after.means)
    for distribution in (before, after):
        assert torch.allclose(distribution.log_weights.exp().sum(-1), torch.ones(2), atol=1e-5)
        assert (distribution.deviations >= 0.05).all()


@torch.no_grad()
@pytest.mark.parametrize(
    ("preference", "answers_move"),
    [
        ("random", set()),
        ("gaussians", {"means", "deviations"}),
        ("weights", {"log_weights"}),
        ("mixture", {"means", "deviations", "log_weights"}),
    ],
)
def test_a_pick_moves_what_the_row_of_table_3_learns_and_nothing_else(preference, answers_move):
    torch.manual_seed(0)
    network = SPANetwork(build_config({**SMALL, "preference": preference})).eval()
    embedding = network.encode_image(torch.rand(1, 1, 32, 32), torch.full((1, 2), 16.0))
    before, after = (
        vars(network.prepare(embedding, interaction(1, picked)).distribution) for picked in (False, True)
    )
    assert {part for part in before if not torch.equal(before[part], after[part])} == answers_move


def test_every_parameter_of_the_network_learns(network):
    embedding = network.encode_image(torch.rand(2, 1, 32, 32), torch.full((2, 2), 16.0))
    prepared = network.prepare(embedding, interaction())
    z = prepared.distribution.one_per_component(torch.Generator().manual_seed(0))
    loss = network.decode(prepared, z).square().mean() + prepared.distribution.log_weights[:, 0].sum()
    loss.backward()
    still = {name for name, p in network.named_parameters() if p.grad is None}
    unused = (
        "no_mask_embed",
        "point_embeddings.2",
        "point_embeddings.3",
        "not_a_point",
        "iou_",
        "mask_tokens",
    )
    other_heads = tuple(f"output_hypernetworks_mlps.{i}" for i in (1, 2, 3))
    assert not [n for n in still if not any(part in n for part in (*unused, *other_heads))]


def test_the_pick_labels_its_own_points():
    recommendation = torch.zeros(1, 1, 32, 32)
    recommendation[..., 10:20, 10:20] = 1
    picked = torch.zeros(1, 1, 32, 32)
    picked[..., 10:20, 14:26] = 1
    given = InteractionPrompts(torch.zeros(1, 1, 2), torch.ones(1, 1), picked, recommendation)
    points, labels = difference_points(given)
    (added_x, _), (removed_x, _) = points[0].tolist()
    assert labels.tolist() == [[1, 0]]
    assert 20 <= added_x < 26 and 10 <= removed_x < 14


def test_unknown_presets_and_entries_are_refused():
    with pytest.raises(CheckpointError, match="no network"):
        build_config({"preset": "vit_h"})
    with pytest.raises(CheckpointError, match="unknown entries"):
        build_config({"chanels": 3})


@pytest.mark.parametrize("channels", [0, 33])
def test_a_head_whose_channels_make_no_even_groups_is_refused_in_a_sentence(channels):
    with pytest.raises(CheckpointError, match=f"head_channels is {channels}: give a multiple of 8"):
        SPAConfig(head_channels=channels)
