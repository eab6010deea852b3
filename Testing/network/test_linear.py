"""The network whose latent enters last and linearly, with surroundings, neighbours and the extent's head."""

from __future__ import annotations

import math

import pytest
import torch

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.extent import SMALLEST, STEP, bin_centres, sample_statistics, soft_bins
from SPASegmentLib.network.interaction import InteractionPrompts
from SPASegmentLib.network.spa import SPANetwork

PLANES = ("picked", "recommendation", "belief", "positive", "negative", "carried")
CONFIG = SPAConfig(
    fusion="linear",
    grid=32,
    channels=32,
    widths=(8, 16, 16, 16),
    head_channels=16,
    decoder_heads=4,
    decoder_mlp=32,
    components=4,
    latent_dim=5,
    image_channels=3,
    context=3.0,
    neighbours=2,
    extent_bins=20,
    planes=PLANES,
)


@pytest.fixture(scope="module")
def a_network() -> SPANetwork:
    torch.manual_seed(0)
    network = SPANetwork(CONFIG).eval()
    for layer in (network.image_encoder.surroundings.local, network.image_encoder.surroundings.whole):
        torch.nn.init.normal_(layer.weight, std=0.1)
    return network


@pytest.fixture(scope="module")
def an_image() -> torch.Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


POINT = torch.tensor([[[16.0, 14.0]]])
CLICK = InteractionPrompts(POINT, torch.ones(1, 1))


@torch.no_grad()
def test_logits_are_linear_in_z_and_its_first_entry_moves_the_level(
    a_network: SPANetwork, an_image: torch.Tensor
) -> None:
    prepared = a_network.prepare(a_network.encode_image(an_image, POINT[:, 0]), CLICK)
    z = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(2))
    base = a_network.decode(prepared, torch.zeros(1, 1, 5))
    change = a_network.decode(prepared, z) - base
    double = a_network.decode(prepared, 2 * z) - base
    assert torch.allclose(double, 2 * change, atol=1e-4)
    level = torch.zeros(1, 1, 5)
    level[..., 0] = 1
    moved = a_network.decode(prepared, level) - base
    assert torch.allclose(moved, moved.mean().expand_as(moved), atol=1e-5) and moved.mean() > 0.5


@torch.no_grad()
@pytest.mark.parametrize("what", ["context", "neighbours", "carried"])
def test_what_is_seen_besides_the_slice_changes_the_answer(
    a_network: SPANetwork, an_image: torch.Tensor, what: str
) -> None:
    generator = torch.Generator().manual_seed(3)
    seen = {
        "context": {"context": torch.rand(1, 3, 32, 32, generator=generator)},
        "neighbours": {"neighbours": torch.rand(1, 4, 32, 32, generator=generator)},
    }.get(what, {})
    carried = torch.rand(1, 1, 32, 32, generator=generator) if what == "carried" else None
    interaction = InteractionPrompts(POINT, torch.ones(1, 1), carried=carried)
    z = torch.zeros(1, 1, 5)
    plain = a_network.decode(a_network.prepare(a_network.encode_image(an_image, POINT[:, 0]), CLICK), z)
    with_it = a_network.decode(
        a_network.prepare(a_network.encode_image(an_image, POINT[:, 0], **seen), interaction), z
    )
    assert not torch.allclose(plain, with_it, atol=1e-4)


@torch.no_grad()
def test_absent_neighbours_and_mid_grey_ones_are_the_same(
    a_network: SPANetwork, an_image: torch.Tensor
) -> None:
    grey = torch.full((1, 4, 32, 32), 0.5)
    without = a_network.encode_image(an_image, POINT[:, 0]).e_x
    assert torch.equal(without, a_network.encode_image(an_image, POINT[:, 0], neighbours=grey).e_x)


@torch.no_grad()
def test_surroundings_are_read_where_the_region_lies_in_them() -> None:
    """Each embedding position reads the coarse view where it lies there: in its middle third."""
    around = SPANetwork(CONFIG).image_encoder.surroundings.eval()
    around.features = torch.nn.Identity()
    torch.nn.init.ones_(around.local.weight[:, :1])  # passes the first channel on
    across = (torch.arange(36.0) + 0.5) / 18 - 1
    view = torch.zeros(1, around.WIDTHS[-1], 36, 36)
    view[:, 0] = across[None]
    found = around(view)
    assert torch.allclose(found[0, 0, 4], ((torch.arange(9.0) + 0.5) * 2 / 9 - 1) / 3, atol=1e-5)


def test_bins_share_an_extent_between_neighbours_and_end_at_the_ends() -> None:
    bins = soft_bins(torch.tensor([SMALLEST + 2.25 * STEP, -40.0, 40.0]), 20)
    assert bins[0, 2:4].tolist() == pytest.approx([0.75, 0.25], abs=1e-5)
    assert bins[1, 0] == 1 and bins[2, -1] == 1
    assert float((bins[0] * bin_centres(20)).sum()) == pytest.approx(SMALLEST + 2.25 * STEP, abs=1e-5)


def test_statistics_tell_agreement_size_and_the_border() -> None:
    disc = torch.zeros(1, 4, 16, 16)
    disc[:, :, 4:12, 4:12] = 1
    weights = torch.full((1, 4), 0.25)
    agree = sample_statistics(disc, weights)[0]
    assert agree.tolist() == pytest.approx([1, 1, 0.5, 0], abs=1e-5)
    apart = disc.clone()
    apart[:, :2] = 0
    apart[:, :2, :, :2] = 1
    differ = sample_statistics(apart, weights)[0]
    assert differ[0] < 0.9 and differ[3] > 0.1


@torch.no_grad()
def test_the_head_gives_a_distribution_and_a_dice(a_network: SPANetwork, an_image: torch.Tensor) -> None:
    prepared = a_network.prepare(a_network.encode_image(an_image, POINT[:, 0]), CLICK)
    head = a_network.extent_head
    assert head is not None and prepared.token is not None
    sizes = head.sizes(prepared.pooled, prepared.token)
    assert sizes.shape == (1, 20) and float(sizes.exp().sum()) == pytest.approx(1, abs=1e-5)
    samples = torch.rand(1, 6, 32, 32)
    dice = head.expected_dice(prepared.pooled, prepared.token, samples, torch.full((1, 6), 1 / 6))
    assert 0 < float(dice) < 1 and math.isfinite(float(dice))


@pytest.mark.parametrize(
    "wrong", [{"fusion": "magic"}, {"context": 0.5}, {"neighbours": -1}, {"extent_bins": -2}]
)
def test_an_impossible_configuration_is_refused_in_a_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=r"\w+ .*\.$"):
        SPAConfig(**wrong)  # type: ignore[arg-type]


def test_only_the_compact_network_sees_surroundings() -> None:
    with pytest.raises(CheckpointError, match="surroundings"):
        SPAConfig(backbone="sam_vit_b", context=3.0)
