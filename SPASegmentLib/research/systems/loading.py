"""From a system's checkpoint to the engine that answers with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SPASegmentLib.errors import CheckpointError
from SPASegmentLib.inference.messages import Engine, ModelInfo
from SPASegmentLib.network.checkpoint import CheckpointHeader, load_checkpoint
from SPASegmentLib.network.registry import file_sha256, get_model, model_path, models_dir
from SPASegmentLib.network.sam_backbone import load_sam_state
from SPASegmentLib.research.systems.base import MapSystem, System
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.systems.sam import Sam, vit_layout
from SPASegmentLib.research.systems.specs import SYSTEMS, build_system, get_system


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
