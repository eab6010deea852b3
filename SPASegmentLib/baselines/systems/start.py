"""Starting a system from another's weights: MedSAM and MSA start from SAM's, as theirs do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SPASegmentLib.baselines.systems.base import System
from SPASegmentLib.baselines.systems.loading import load_official
from SPASegmentLib.baselines.systems.specs import SystemSpec
from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import load_checkpoint
from SPASegmentLib.network.registry import find_model, models_dir

_WRAPPED = ".inner."
"""What the name of a frozen part's tensor has more where an adapter stands beside it."""


def find_start(spec: SystemSpec) -> Path:
    """The checkpoint a system starts from. Raises CheckpointError, with what to do, where there is none."""
    if spec.official:
        return find_model(spec.official)
    path = models_dir() / f"{spec.start}.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{spec.name} starts from the weights of {spec.start}, which is not trained yet: run `spasegment"
            f" train --model {spec.start}` first, or name its checkpoint as `start` in the options."
        )
    return path


@torch.no_grad()
def start_from(system: System, path: Path) -> dict[str, Any]:
    """Fill a system from a checkpoint; returns what is known of that one's training.

    Tensors of adapters keep their own start.

    Raises CheckpointError where anything else is not filled or has another shape.
    """
    state, about = _read(system, path)
    kept, wrong = [], []
    for name, value in system.state_dict().items():
        found = state.pop(name.replace(_WRAPPED, "."), None)
        if found is None:
            kept.append(name)
        elif found.shape != value.shape:
            wrong.append(name)
        else:
            value.copy_(found)
    frozen = dict(system.named_parameters())
    wrong += [name for name in kept if name in frozen and not frozen[name].requires_grad]
    if wrong or state:
        odd = next(iter([*wrong, *state]))
        raise CheckpointError(
            f"{path.name} does not fit the network that should start from it (at {odd}); start from a"
            " checkpoint of the same sizes."
        )
    return about


def _read(system: System, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a checkpoint, or of an official SAM file, and what is known of their training."""
    config = system.config
    if config.encoder != "compact":
        official = load_official(replace(config, kind="sam"), path)
        return official.state_dict(), {"file": path.name}
    state, header = load_checkpoint(path)
    about = header.provenance
    steps = about.get("steps_of_run", about.get("steps", 0))
    return state, {"hash": header.hash, "steps": steps, "seconds": about.get("seconds", 0)}
