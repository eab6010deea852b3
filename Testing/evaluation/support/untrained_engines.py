"""The real engine on a small network that has not learnt anything, for worker processes to make."""

from __future__ import annotations

import torch

from SPASegmentLib.engine.local import LocalEngine
from SPASegmentLib.engine.messages import ModelInfo
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.spa import SPANetwork


def untrained(seed: int = 0) -> LocalEngine:
    """The same weights for the same seed, in every process."""
    torch.manual_seed(seed)
    config = SPAConfig(
        grid=32, widths=(8, 8, 16, 16), channels=32, decoder_mlp=32, samples=16, head_channels=8
    )
    return LocalEngine(
        SPANetwork(config), ModelInfo("untrained", f"{seed:064d}", config.components, "none"), "cpu"
    )
