"""What a system costs: parameters, and multiply-accumulates of answering one click."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.network.checkpoint import read_header
from SPASegmentLib.network.interaction import InteractionPrompts
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.systems.base import MapSystem
from SPASegmentLib.research.systems.loading import load_official, load_system
from SPASegmentLib.research.systems.sam import Prompts, Sam
from SPASegmentLib.research.systems.specs import SYSTEMS


@dataclass(frozen=True)
class Cost:
    """parameters: of the network. macs: multiply-accumulates of one answer, looks for the region left out.

    steps, seconds: of its training, and of what it started from; 0 where the checkpoint does not say.
    """

    parameters: int
    macs: int
    steps: int
    seconds: float


def cost_of(name: str, path: Path) -> Cost:
    """The cost of a comparison system, or of an SPA checkpoint. Raises CheckpointError as loading does."""
    spec = SYSTEMS.get(name)
    boxed = spec is not None and spec.category == "Unc-Int"
    if spec is not None and spec.official and not spec.is_trained:
        official = load_official(spec.config, path)
        return Cost(_count(official), count_macs(official.eval(), boxed), 0, 0.0)
    steps, seconds = read_header(path).effort
    if spec is not None:
        system: nn.Module = load_system(path)[0]
    else:
        system = load_engine(path, "cpu").network
    return Cost(_count(system), count_macs(system.eval(), boxed), steps, seconds)


def _count(system: nn.Module) -> int:
    return sum(p.numel() for p in system.parameters())


def count_macs(system: nn.Module, boxed: bool = False) -> int:
    """Multiply-accumulates of one answer on one region: encoding, and all segmentations it draws."""
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # with gradients, so that no fused layer escapes the count
        if isinstance(system, MapSystem):
            config = system.config
            image = torch.zeros(1, config.image_channels, config.grid, config.grid)
            system.maps(image, _centre(config.grid), config.samples, torch.Generator().manual_seed(0))
        elif isinstance(system, Sam):
            _ask_sam(system, boxed)
        elif isinstance(system, SPANetwork):
            _ask_spa(system)
    return int(counter.get_total_flops()) // 2


def _ask_sam(system: Sam, boxed: bool) -> None:
    config = system.config
    encoded = system.encode(torch.zeros(1, config.image_channels, config.grid, config.grid))
    seed = _centre(config.grid)[None]
    if not boxed:
        system.decode(encoded, Prompts(seed, torch.ones(1, 1)))
        return
    box = torch.tensor([[0.3, 0.3, 0.7, 0.7]]) * config.grid
    for _ in range(config.boxes):
        system.decode(encoded, Prompts(seed[:, :0], torch.ones(1, 0), box))


def _ask_spa(network: SPANetwork) -> None:
    config = network.config
    seed = _centre(config.grid)
    image = network.encode_image(torch.zeros(1, config.image_channels, config.grid, config.grid), seed)
    prepared = network.prepare(image, InteractionPrompts(seed[None], torch.ones(1, 1)))
    network.decode(prepared, torch.zeros(1, config.samples, config.latent_dim))


def _centre(grid: int) -> Tensor:
    return torch.full((1, 2), grid / 2)
