"""From a checkpoint to a system: the engine that answers with it, and the weights a training starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.inference.messages import Engine, ModelInfo
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint, read_header
from SPASegmentLib.network.registry import file_sha256, find_model, get_model, model_path, models_dir
from SPASegmentLib.network.sam_backbone import load_sam_state
from SPASegmentLib.research.systems.base import MapSystem, System
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.systems.sam import Sam, vit_layout
from SPASegmentLib.research.systems.specs import SYSTEMS, SystemSpec, build_system, get_system
from SPASegmentLib.research.training.start import for_channels


def system_path(name: str) -> Path:
    """Where a system's weights lie, or would lie."""
    spec = get_system(name)
    if spec.official and not spec.is_trained:
        return model_path(spec.official)
    return models_dir() / f"{spec.network or name}.safetensors"


def load_official(config: SystemConfig, path: Path) -> Sam:
    """SAM or MedSAM with the weights of an official file. Raises CheckpointError where they do not fit."""
    system = build_system(config)
    assert isinstance(system, Sam)
    load_sam_state(
        path,
        image_encoder=system.image_encoder,
        prompt_encoder=system.prompt_encoder,
        mask_decoder=system.mask_decoder,
        layout=vit_layout(config),
    )
    return system


def load_system(path: Path) -> tuple[System, CheckpointHeader]:
    """The network of a checkpoint. Raises CheckpointError where it is damaged or no comparison system's."""
    state, header = load_checkpoint(path)
    system = build_system(SystemConfig.from_dict(header.config))
    try:
        system.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {path.name} do not fit its configuration; train it again."
        ) from error
    return system, header


@dataclass(frozen=True)
class SystemFactory:
    """Makes a system's engine; picklable, so that worker processes can have one each."""

    name: str
    path: Path
    device: str = "auto"

    def __call__(self) -> Engine:
        """Load the checkpoint. Raises CheckpointError where it cannot be a checkpoint of this system."""
        from SPASegmentLib.research.systems.engine import MapEngine
        from SPASegmentLib.research.systems.prompted import BoxedEngine, ClickedEngine

        spec = get_system(self.name)
        boxed = spec.category == "Unc-Int"
        if spec.official and not spec.is_trained:
            about = ModelInfo(self.name, file_sha256(self.path), 1, get_model(spec.official).description)
            official = load_official(spec.config, self.path)
            return (BoxedEngine if boxed else ClickedEngine)(official, about, self.device)
        system, header = load_system(self.path)
        trained = SYSTEMS[spec.network] if spec.network else spec
        if system.config.kind != trained.config.kind:
            raise CheckpointError(
                f"{self.path.name} is no checkpoint of {self.name}: train it with `spasegment train --model"
                f" {trained.name}`."
            )
        info = _info(self.name, header)
        if isinstance(system, Sam):
            return (BoxedEngine if boxed else ClickedEngine)(system, info, self.device)
        assert isinstance(system, MapSystem)
        return MapEngine(system, info, self.device)


def _info(name: str, header: CheckpointHeader) -> ModelInfo:
    about: dict[str, Any] = header.provenance
    return ModelInfo(
        name=name,
        hash=header.hash,
        components=1,
        trained_on=str(about.get("trained_on", "data its checkpoint does not name")),
        modalities=tuple(about.get("modalities", ())),
    )


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
