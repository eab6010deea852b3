"""The real engine on a small network that has not learnt anything, for worker processes to make."""

from __future__ import annotations

import torch

from SPASegmentLib.inference.local import LocalEngine
from SPASegmentLib.inference.messages import ModelInfo
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.systems.single_map import LevelSetEngine


def untrained(seed: int = 0) -> LocalEngine:
    """The same weights for the same seed, in every process."""
    network = _network(seed)
    info = ModelInfo("untrained", f"{seed:064d}", network.config.components, "none")
    return LocalEngine(network, info, "cpu")


def untrained_level_set(seed: int = 0) -> LevelSetEngine:
    """The rival on the same weights."""
    network = _network(seed)
    info = ModelInfo("level-set", f"{seed + 1:064d}", network.config.components, "none")
    return LevelSetEngine(network, info, "cpu")


def _network(seed: int) -> SPANetwork:
    torch.manual_seed(seed)
    return SPANetwork(
        SPAConfig(grid=32, widths=(8, 8, 16, 16), channels=32, decoder_mlp=32, samples=16, head_channels=8)
    )
