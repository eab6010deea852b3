"""Starting a run from another network's weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import load_checkpoint
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.spa import SPANetwork

LUMINANCE = (0.299, 0.587, 0.114)
"""Red, green and blue in grey (ITU-R BT.601)."""
FIRST_LAYER = "image_encoder.down1.0.0.weight"


@torch.no_grad()
def start_from(network: SPANetwork, path: Path) -> list[str]:
    """Fill the network from a checkpoint; returns the names of tensors that keep their random start.

    Tensors of the same name and shape are taken over. Where the networks see other planes of the interaction,
    the inputs of the planes both see are taken over, and those of new planes start at zero: they are found to
    matter, or not, in training. So do neighbouring slices and surroundings. A network for colour starts from
    one for grey as if it saw the luminance, and one for grey from one for colour as if its image were in
    every channel.
    Raises CheckpointError where the encoders do not fit each other.
    """
    state, header = load_checkpoint(path)
    config = SPAConfig.from_dict(header.config)
    theirs, ours = config.planes, network.config.planes
    if FIRST_LAYER in state:
        channels = config.image_channels, network.config.image_channels
        weight = for_channels(state[FIRST_LAYER], *channels)
        state[FIRST_LAYER] = _for_neighbours(weight, config.neighbours, network.config)
    kept = []
    for name, value in network.state_dict().items():
        found = state.get(name)
        if found is not None and found.shape != value.shape:
            found = _for_planes(found, value, theirs, ours)
        if found is None:
            kept.append(name)
        else:
            value.copy_(found)
    new = "image_encoder.surroundings."  # starts at zero, as if there were none
    if any(name.startswith("image_encoder.") and not name.startswith(new) for name in kept):
        raise CheckpointError(
            f"{path.name} has another image encoder than the network to train; start from one with the same."
        )
    return kept


def for_channels(weight: Tensor, theirs: int, ours: int) -> Tensor:
    """The first layer's weights (out, image channels + rest, h, w) for another number of image channels."""
    image, rest = weight[:, :theirs], weight[:, theirs:]
    if theirs == 1 and ours == len(LUMINANCE):
        image = image * weight.new_tensor(LUMINANCE)[:, None, None]
    elif theirs == len(LUMINANCE) and ours == 1:
        image = image.sum(dim=1, keepdim=True)
    return torch.cat([image, rest], dim=1)


def _for_neighbours(weight: Tensor, theirs: int, ours: SPAConfig) -> Tensor:
    """The first layer's weights for another number of neighbouring slices; new ones start at zero."""
    image, rest = weight[:, : ours.image_channels], weight[:, ours.image_channels + 2 * theirs :]
    if theirs == ours.neighbours:
        return weight
    shape = (len(weight), 2 * ours.neighbours, *weight.shape[2:])
    return torch.cat([image, weight.new_zeros(shape), rest], dim=1)


def _for_planes(
    found: Tensor, value: Tensor, theirs: tuple[str, ...], ours: tuple[str, ...]
) -> Tensor | None:
    """Weights (out, in, h, w) whose last inputs are the planes, for other planes; None if they are not."""
    if found.ndim != 4 or found.shape[0] != value.shape[0] or found.shape[2:] != value.shape[2:]:
        return None
    for per_plane in (1, 4):  # planes at full resolution, or unshuffled to half of it
        rest = found.shape[1] - per_plane * len(theirs)
        if rest < 0 or rest != value.shape[1] - per_plane * len(ours):
            continue
        result = torch.zeros_like(value)
        result[:, :rest] = found[:, :rest]
        for index, plane in enumerate(ours):
            if plane in theirs:
                to, start = rest + per_plane * index, rest + per_plane * theirs.index(plane)
                result[:, to : to + per_plane] = found[:, start : start + per_plane]
        return result
    return None
