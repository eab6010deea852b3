"""The state of a system's run on disk: everything a resumed run needs, as safetensors, written atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint, save_checkpoint
from SPASegmentLib.research.training.state import MovingAverage, restore_tensors, run_tensors


class Progress(NamedTuple):
    """step: steps done. best: best validation score. seconds: spent on them, over all parts of the run."""

    step: int = 0
    best: float = -1.0
    seconds: float = 0.0


def save_run(
    path: Path,
    network: nn.Module,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    header: dict[str, Any],
) -> None:
    """Write network, average, optimiser and progress to one file."""
    state = run_tensors(network, average, optimizer)
    provenance = {"run": progress._asdict()}
    save_checkpoint(path, state, CheckpointHeader(config=header, provenance=provenance))


def load_run(
    path: Path,
    network: nn.Module,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    header: dict[str, Any],
) -> Progress:
    """Restore what `save_run` wrote. Raises CheckpointError for another run's file, or a damaged one."""
    state, found = load_checkpoint(path)
    if found.config != header:
        raise CheckpointError(
            f"{path.name} belongs to a run with other options; give the same options or another --out folder."
        )
    restore_tensors(state, network, average, optimizer)
    return Progress(**found.provenance["run"])
