"""The rivals and ablations by name: how each is trained, and the engine it answers with."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from SPASegmentLib.errors import CheckpointError, InputError
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.network.registry import KNOWN_MODELS, find_model, models_dir
from SPASegmentLib.research.systems.level_sets import Levels
from SPASegmentLib.research.systems.loading import SystemFactory, system_path
from SPASegmentLib.research.systems.specs import SYSTEMS, get_system, system_options

if TYPE_CHECKING:
    from SPASegmentLib.network.config import SPAConfig
    from SPASegmentLib.research.systems.without import Part
    from SPASegmentLib.research.training.options import TrainOptions

Answers = Literal["spa", "level-set", "no-interaction", "mask-prompt", "oracle-label"]


@dataclass(frozen=True)
class Rival:
    """One row of a comparison.

    meaning: one line. training: entries over the training options that make it. answers: which engine.
    network: the rival, or known model, whose checkpoint it uses where it has none of its own. levels: of
    level sets. samples: N, or None for the model's own. without: the part of SPA that is taken away, "" for
    none.
    """

    name: str
    meaning: str
    training: Mapping[str, Any] = field(default_factory=dict)
    answers: Answers = "spa"
    network: str = ""
    levels: Levels = field(default_factory=Levels)
    samples: int | None = None
    without: Part | Literal[""] = ""


_POINT = {"components": 1, "preference": "point"}
_ONE_MAP = {
    "rounds": [1.0],
    "mean_loss": 0.0,  # with a single sample, the mixture's loss is already Dice + BCE of the prediction
    "candidate_loss": 0.0,
    "network": {**_POINT, "planes": ["positive", "negative"]},
}
_WITH_PROMPT = {"candidates": "levels", "mean_loss": 0.0, "candidate_loss": 0.0, "network": _POINT}
_PARTS: dict[Part, str] = {
    "mixture": "with z averaged over the components, as in the authors' code",
    "memory": "that knows the last pick alone",
    "posterior": "with candidates by K-means of the network's samples, as in the paper",
    "looks": "with the first region around the seed alone",
}

_ALL = (
    Rival(
        "level-set", "one deterministic network; a pick bisects the level of its map", _ONE_MAP, "level-set"
    ),
    *(
        Rival(
            f"level-set-{scale}",
            f"the same, candidates spread evenly in {scale}",
            _ONE_MAP,
            "level-set",
            "level-set",
            Levels(scale),
        )
        for scale in ("probability", "area", "log-area")
    ),
    Rival(
        "level-set-general",
        "level sets of general's own map of the click, on its own region",
        answers="level-set",
        network="general",
    ),
    Rival(
        "no-interaction", "level-set's network at 0.5, no candidates", _ONE_MAP, "no-interaction", "level-set"
    ),
    Rival("mask-prompt", "the pick fed back as a mask, no distribution", _WITH_PROMPT, "mask-prompt"),
    Rival(
        "oracle-label",
        "SPA told a label of the target at each pick, as in the authors' code; never a fair rival",
        {"oracle_points": True},
        "oracle-label",
    ),
    Rival("table3-random", "Table 3, row 1: fixed random Gaussians", {"network": {"preference": "random"}}),
    Rival("table3-gaussians", "row 2: means and variances learnt", {"network": {"preference": "gaussians"}}),
    Rival("table3-weights", "row 3: weights learnt", {"network": {"preference": "weights"}}),
    Rival("table3-all", "row 4: all learnt, trained as long as the other rows"),
    Rival("paper-fusion", "z joins the embedding before SAM's decoder", {"network": {"fusion": "embedding"}}),
    *(
        Rival(f"without-{part}", f"compact {meaning}", network="compact", without=part)
        for part, meaning in _PARTS.items()
    ),
    *(Rival(f"n-{n}", f"compact with N = {n} samples", network="compact", samples=n) for n in (24, 36, 48)),
)
RIVALS: dict[str, Rival] = {rival.name: rival for rival in _ALL}


def get_rival(name: str) -> Rival:
    """The rival of that name. Raises InputError with what each means."""
    if name in RIVALS:
        return RIVALS[name]
    meanings = {row.name: row.meaning for row in _ALL} | {row.name: row.meaning for row in SYSTEMS.values()}
    known = "; ".join(f"{known} ({meaning})" for known, meaning in meanings.items())
    raise InputError(f"There is no rival called {name!r}: choose one of {known}.")


def training_options(name: str, options: TrainOptions) -> TrainOptions:
    """The options that train a rival as `options` train SPA: the same data, encoder, steps, batch and looks.

    Raises InputError for unknown names, and for rivals that need no training of their own.
    """
    from SPASegmentLib.research.training.options import TrainOptions

    if name in SYSTEMS:
        return system_options(name, options)
    rival = get_rival(name)
    if rival.network:
        raise InputError(
            f"{name} needs no training of its own: it answers with the checkpoint of {rival.network}."
        )
    entries = options.model_dump(mode="json")
    network = {**entries["network"], **rival.training.get("network", {})}
    return TrainOptions.model_validate({**entries, **rival.training, "network": network})


def checkpoint_path(name: str) -> Path:
    """Where a rival's checkpoint lies, or would lie. Raises as `find_model` does for a known model's."""
    if name in SYSTEMS:
        return system_path(name)
    rival = get_rival(name)
    network = rival.network or rival.name
    return models_dir() / f"{network}.safetensors" if network in RIVALS else find_model(network)


def keep_checkpoint(name: str, best: Path) -> Path:
    """Copy a trained rival's checkpoint to where evaluations look for it; returns the copy's path."""
    path = checkpoint_path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        shutil.copyfile(best, part)
        part.replace(path)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint could not be copied to {path} ({error.strerror}); use --model {name}={best}."
        ) from error
    return path


def find_checkpoint(name: str, path: str | Path | None = None) -> Path:
    """A rival's checkpoint file. Raises CheckpointError, with the command to train it, if missing."""
    found = checkpoint_path(name) if path is None else Path(path).expanduser()
    if found.is_file():
        return found
    if path is not None:
        raise CheckpointError(f"There is no checkpoint at {path}: check the path.")
    if name in SYSTEMS and SYSTEMS[name].official and not SYSTEMS[name].is_trained:
        return find_model(SYSTEMS[name].official)
    network = (get_system(name) if name in SYSTEMS else get_rival(name)).network or name
    raise CheckpointError(
        f"{name} is not trained yet: run `spasegment train --model {network} --dataset lidc --path DATA --out"
        f" runs/{network}`, or name its checkpoint as {name}=PATH."
    )


@dataclass(frozen=True)
class RivalFactory:
    """Makes a rival's engine; picklable, so that worker processes can have one each."""

    name: str
    path: Path
    device: str = "auto"

    def __call__(self) -> Engine:
        """Load the checkpoint. Raises CheckpointError where it cannot be a checkpoint of this rival."""
        from SPASegmentLib.inference.local import LocalEngine, load_engine
        from SPASegmentLib.research.evaluation.variants import with_samples
        from SPASegmentLib.research.systems.oracle_label import OracleLabelEngine
        from SPASegmentLib.research.systems.single_map import (
            LevelSetEngine,
            MaskPromptEngine,
            NoInteractionEngine,
        )
        from SPASegmentLib.research.systems.without import without

        rival = get_rival(self.name)
        loaded = load_engine(self.path, self.device)
        network, info = loaded.network, replace(loaded.model, name=self.name)
        if not _fits(rival, network.config):
            raise CheckpointError(
                f"{self.path.name} is no checkpoint of {self.name}: train it with `spasegment train --model"
                f" {rival.network or self.name}`."
            )
        if rival.without:
            return without(rival.without, network, info, self.device)
        engine = LocalEngine(network, info, self.device)
        if rival.answers == "level-set":
            return LevelSetEngine(network, info, self.device, rival.levels)
        if rival.answers == "no-interaction":
            return NoInteractionEngine(network, info, self.device)
        if rival.answers == "mask-prompt":
            return MaskPromptEngine(network, info, self.device)
        if rival.answers == "oracle-label":
            return OracleLabelEngine(engine)
        return engine if rival.samples is None else with_samples(engine, rival.samples)


def _fits(rival: Rival, config: SPAConfig) -> bool:
    """Whether a network of this configuration can answer as the rival does."""
    if rival.network in {model.name for model in KNOWN_MODELS}:
        return True
    is_point, sees_picks = config.preference == "point", "picked" in config.planes
    if rival.answers == "mask-prompt":
        return is_point and sees_picks
    return is_point and not sees_picks if rival.answers in ("level-set", "no-interaction") else not is_point


def rival_named(text: str) -> tuple[str, str | None] | None:
    """The rival and the path of "NAME" or "NAME=PATH"; None where the text is something else.

    Raises InputError for "NAME=PATH" with an unknown name.
    """
    name, equals, path = text.partition("=")
    if name in RIVALS or name in SYSTEMS:
        return name, path if equals else None
    if equals and not Path(text).exists():
        get_rival(name)
    return None


def rival_factory(text: str, device: str = "auto") -> RivalFactory | SystemFactory | None:
    """The factory for "NAME" or "NAME=PATH"; None where the text names no rival.

    Raises InputError for an unknown NAME before "=", CheckpointError where the checkpoint is not there.
    """
    named = rival_named(text)
    if named is None:
        return None
    factory = SystemFactory if named[0] in SYSTEMS else RivalFactory
    return factory(named[0], find_checkpoint(*named), device)
