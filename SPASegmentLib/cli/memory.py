"""How much memory a measurement took."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SPASegmentLib.inference.local import LocalEngine


def peak_memory(engine: LocalEngine) -> float | None:
    """MiB: of the GPU where the network is on one, else of the process; None where that is not known."""
    if engine.device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10
