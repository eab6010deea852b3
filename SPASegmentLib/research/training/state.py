"""The state of a run on disk: everything a resumed run needs, as safetensors, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint, save_checkpoint
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.research.training.options import TrainOptions


class MovingAverage:
    """Exponential moving average of parameters and buffers; what is validated and shipped."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """One step; the decay warms up so that the start is forgotten quickly."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value.detach(), 1 - decay)
            else:
                self.state[name].copy_(value)


def run_tensors(
    network: nn.Module, average: MovingAverage, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """All tensors a resumed run needs, by name, on the CPU."""
    state: dict[str, Tensor] = {f"network.{k}": v for k, v in network.state_dict().items()}
    state |= {f"average.{k}": v for k, v in average.state.items()}
    for index, values in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in values.items()}
    return {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}


def restore_tensors(
    state: dict[str, Tensor], network: nn.Module, average: MovingAverage, optimizer: torch.optim.Optimizer
) -> None:
    """Put back what `run_tensors` gave."""
    network.load_state_dict(_part(state, "network."))
    for name, value in _part(state, "average.").items():
        average.state[name].copy_(value)
    values: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(state, "optimizer.").items():
        index, key = name.split(".", 1)
        values.setdefault(int(index), {})[key] = value
    whole = optimizer.state_dict()
    whole["state"] = values
    optimizer.load_state_dict(whole)


def save_run(
    path: Path,
    network: nn.Module,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    step: int,
    best: float,
    header: dict[str, Any],
) -> None:
    """Write model, average, optimiser and progress to one file."""
    state = run_tensors(network, average, optimizer)
    provenance = {"run": {"step": step, "best": best}}
    save_checkpoint(path, state, CheckpointHeader(config=header, provenance=provenance))


def load_run(
    path: Path,
    network: nn.Module,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    header: dict[str, Any],
) -> tuple[int, float]:
    """Restore what `save_run` wrote; returns (steps done, best validation score).

    Raises CheckpointError where the file is damaged or belongs to a run with other options.
    """
    state, found = load_checkpoint(path)
    if _complete(found.config) != header:
        raise CheckpointError(
            f"{path.name} belongs to a run with other options; give the same options or another --out folder."
        )
    restore_tensors(state, network, average, optimizer)
    run = found.provenance["run"]
    return int(run["step"]), float(run["best"])


def _complete(header: dict[str, Any]) -> dict[str, Any]:
    """A stored header with the defaults of entries that came after it was written.

    Raises CheckpointError where it has entries this version does not know.
    """
    try:
        options = TrainOptions.model_validate(header["options"]).model_dump(mode="json")
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            "The stored run's options are not this version's; start again in another --out folder."
        ) from error
    network = SPAConfig.from_dict(header["network"]).to_dict()
    return dict(json.loads(json.dumps({"network": network, "options": options})))


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
