"""Starting a system from other weights: MedSAM and MSA from SAM's, any from its own of other data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import load_checkpoint, read_header
from SPASegmentLib.network.registry import find_model, models_dir
from SPASegmentLib.research.systems.base import System
from SPASegmentLib.research.systems.loading import load_official
from SPASegmentLib.research.systems.specs import SystemSpec
from SPASegmentLib.research.training.start import for_channels

_WRAPPED = ".inner."
"""What the name of a frozen part's tensor has more where an adapter stands beside it."""


LEAST_FILLED = 0.5
"""Share of a system's weights that have to come from the checkpoint it goes on from."""


def begin(system: System, spec: SystemSpec, start: str | None) -> dict[str, Any]:
    """Fill a system with what it starts from; returns what is known of that one's training, {} for none.

    start: of the training options. A folder holds NAME.safetensors for each system, which goes on from its
    own weights of other data; a file is that for one system, or what `SystemSpec.start` stands for.
    Raises CheckpointError where it is missing or does not fit.
    """
    if start is None:
        return start_from(system, find_start(spec)) if spec.start else {}
    path = Path(start)
    if not path.is_dir():
        return start_from(system, path) if spec.start else go_on_from(system, path)
    own = path / f"{spec.name}.safetensors"
    if not own.is_file():
        raise CheckpointError(f"There is no {own.name} in {path} for {spec.name} to start from.")
    return go_on_from(system, own)


@torch.no_grad()
def go_on_from(system: System, path: Path) -> dict[str, Any]:
    """Fill a system from its own checkpoint of other data; returns what is known of that one's training.

    A network for colour starts as the grey one that sees the luminance; heads for other raters keep their
    random start. Raises CheckpointError where less than half of the weights fit.
    """
    state, about = _read(system, path)
    theirs = int(read_header(path).config.get("image_channels", 1))
    filled = 0
    for name, value in system.state_dict().items():
        found = state.get(name)
        if found is None:
            continue
        if found.ndim == 4 and found.shape[1] - theirs == value.shape[1] - system.config.image_channels:
            found = for_channels(found, theirs, system.config.image_channels)
        if found.shape == value.shape:
            value.copy_(found)
            filled += value.numel()
    if filled < LEAST_FILLED * sum(value.numel() for value in system.state_dict().values()):
        raise CheckpointError(f"{path.name} is of another system than the one that should start from it.")
    return about


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
    return state, header.as_start()
