"""Starting from another network's weights."""

from __future__ import annotations

import pytest
import torch

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import CheckpointHeader, save_checkpoint
from SPASegmentLib.network.config import build_config
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.training.start import start_from

TINY = {
    "grid": 32,
    "channels": 32,
    "widths": [8, 16, 16, 16],
    "head_channels": 16,
    "decoder_heads": 4,
    "decoder_mlp": 32,
    "components": 6,
}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(1)
    network = SPANetwork(build_config(TINY))
    path = tmp_path / "from.safetensors"
    save_checkpoint(path, network.state_dict(), CheckpointHeader(network.config.to_dict(), {}))
    return network, path


def test_the_same_network_starts_with_every_weight(saved):
    network, path = saved
    other = SPANetwork(build_config(TINY))
    assert start_from(other, path) == []
    for name, value in other.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name


def test_a_network_with_fewer_planes_keeps_the_inputs_of_those_it_has(saved):
    network, path = saved
    entries = {**TINY, "planes": ["positive", "negative"], "components": 1, "preference": "point"}
    other = SPANetwork(build_config(entries))
    kept = start_from(other, path)
    assert kept and all(name.startswith("generator.") for name in kept)
    ours, theirs = other.fusion.mix[0].weight, network.fusion.mix[0].weight
    assert torch.equal(ours[:, :-8], theirs[:, : ours.shape[1] - 8])
    assert torch.equal(ours[:, -8:], theirs[:, -8:])  # positive and negative are the last two of theirs too


def test_new_planes_change_nothing_at_first(tmp_path):
    torch.manual_seed(2)
    few = SPANetwork(build_config({**TINY, "planes": ["positive", "negative"]}))
    path = tmp_path / "few.safetensors"
    save_checkpoint(path, few.state_dict(), CheckpointHeader(few.config.to_dict(), {}))
    many = SPANetwork(build_config(TINY))
    start_from(many, path)
    assert torch.equal(many.fusion.outline[0].weight[:, -2:], few.fusion.outline[0].weight[:, -2:])
    assert not many.fusion.outline[0].weight[:, -5:-2].any()


def test_another_encoder_is_refused(saved):
    other = SPANetwork(build_config({**TINY, "widths": [16, 16, 16, 16]}))
    with pytest.raises(CheckpointError, match="another image encoder"):
        start_from(other, saved[1])


def test_a_network_for_colour_starts_as_the_grey_one_that_sees_the_luminance(saved):
    grey, path = saved
    colour = SPANetwork(build_config({**TINY, "image_channels": 3}))
    assert start_from(colour, path) == []
    image, seed = torch.rand(2, 3, 32, 32), torch.tensor([[9.0, 12.0], [20.0, 5.0]])
    luminance = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    with torch.no_grad():
        seen, known = (
            net.eval().encode_image(i, seed).e_x for net, i in ((colour, image), (grey, luminance))
        )
    torch.testing.assert_close(seen, known, rtol=1e-4, atol=1e-4)


def test_a_network_for_grey_starts_from_one_for_colour_as_if_grey_were_every_channel(tmp_path):
    torch.manual_seed(3)
    colour = SPANetwork(build_config({**TINY, "image_channels": 3}))
    path = tmp_path / "colour.safetensors"
    save_checkpoint(path, colour.state_dict(), CheckpointHeader(colour.config.to_dict(), {}))
    grey = SPANetwork(build_config(TINY))
    assert start_from(grey, path) == []
    image, seed = torch.rand(1, 1, 32, 32), torch.tensor([[9.0, 12.0]])
    with torch.no_grad():
        seen = grey.eval().encode_image(image, seed).e_x
        known = colour.eval().encode_image(image.expand(-1, 3, -1, -1), seed).e_x
    torch.testing.assert_close(seen, known, rtol=1e-4, atol=1e-4)
