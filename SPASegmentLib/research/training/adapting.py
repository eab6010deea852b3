"""A model learns a few steps more from approved objects; its encoder's first layers stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from SPASegmentLib.errors import InputError
from SPASegmentLib.network.checkpoint import load_checkpoint
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.profiles.approvals import ApprovedObject
from SPASegmentLib.research.training.loop import BatchRun, StackData, make_fabric
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.stacks import Stack
from SPASegmentLib.research.training.step import TrainingStep
from SPASegmentLib.research.training.tasks import TaskShares

LEARNING = ("image_encoder.up", "interaction_encoder", "generator", "decoder", "fusion", "extent_head")
"""What learns, by the start of its name: all but the encoder's way down and its surroundings."""
OWN = "own"
"""What the institution's objects are called among the sets."""


@dataclass(frozen=True)
class Recipe:
    """How a model is adapted. steps of `batch` tasks each; seed: of everything random."""

    steps: int = 40
    batch: int = 8
    learning_rate: float = 6e-4
    seed: int = 0

    def options(self) -> TrainOptions:
        """What the training loop is told.

        Of two users who share the click one wants the approved mask and the other another style of it, so
        that the alternatives stay different.
        """
        return TrainOptions(
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            rounds=(0.7, 0.3),
            users=2,
            corrections=0.25,
            tasks=TaskShares(lidc=0, synthetic=0, carried=0, styled=0.0, found=0.6),
            checkpoint_every=self.steps,
            validate_every=self.steps,
            validation_cases=self.batch,
            precision="32-true",
            accelerator="cpu",
            devices=1,
            seed=self.seed,
        )


class AdaptingStep(TrainingStep):
    """A training step whose normalisation keeps the statistics of the training before."""

    def train(self, mode: bool = True) -> AdaptingStep:
        """Stay as in use: a few objects' means and deviations would unsettle the layers that do not learn."""
        super().train(False)
        return self


def stack_of(approved: ApprovedObject) -> Stack:
    """An object and the slices around it, as the training's tasks are drawn from it."""
    image = approved.image
    before = len(image.neighbours) // 2
    around = [*image.neighbours[:before], image.pixels, *image.neighbours[before:]]
    first = last = before
    while first > 0 and around[first - 1] is not None:
        first -= 1
    while last + 1 < len(around) and around[last + 1] is not None:
        last += 1
    pixels = np.stack([slice_ for slice_ in around[first : last + 1] if slice_ is not None])
    masks = np.zeros((1, *pixels.shape[:3]), dtype=bool)
    masks[0, before - first] = approved.mask
    finest = min(image.spacing)
    steps = (1.0, image.spacing[0] / finest, image.spacing[1] / finest)
    return Stack(OWN, np.round(pixels * 255).astype(np.uint8), masks, spacing=steps)


def adapted_state(
    start: Path, objects: Sequence[ApprovedObject], recipe: Recipe, console: Console
) -> dict[str, Tensor]:
    """The weights of the checkpoint `start` after some steps on the objects; the file stays as it is.

    Equal objects, recipe and machine give equal weights. Raises InputError where no object is large enough
    or the network is none of ours, CheckpointError where the checkpoint is damaged.
    """
    state, header = load_checkpoint(start)
    config = SPAConfig.from_dict(header.config)
    if config.backbone != "compact":
        raise InputError("Only the small networks of SPASegment can be adapted, not those on SAM's encoder.")
    stacks = [stack for stack in map(stack_of, objects) if stack.shown]
    if not stacks:
        raise InputError("No kept object is large enough to learn from; approve larger ones.")
    options = recipe.options()
    fabric = make_fabric(options)
    network = SPANetwork(config)
    network.load_state_dict(state)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name.startswith(LEARNING))
    data = StackData({OWN: stacks}, {OWN: stacks}, {})
    with TemporaryDirectory(prefix="spasegment-adapt-") as folder:
        run = BatchRun(
            fabric,
            network.to(memory_format=torch.channels_last),
            AdaptingStep(network, options),
            options,
            kind="network",
            config=config,
            batches=data.batches(config, options),
            rounds=1,
            provenance={},
            out=Path(folder),
            console=console,
        )
        return load_checkpoint(run.go(resume=False))[0]


def blended(start: Mapping[str, Tensor], adapted: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the way from one state to the other. share: 0 is the start, 1 the adapted one."""
    return {
        name: torch.lerp(value, adapted[name], share) if value.is_floating_point() else value.clone()
        for name, value in start.items()
    }


def adapted_header(before: Mapping[str, Any], objects: Sequence[ApprovedObject]) -> dict[str, Any]:
    """What an adapted model says of what it learnt from. before: the provenance of the one it was."""
    seen = {one.image.modality for one in objects if one.image.modality}
    known = list(before.get("modalities", ()))
    more = {"modalities": [*known, *sorted(seen - set(known))]} if known else {}
    groups = len({one.group for one in objects})
    trained_on = f"{before.get('trained_on', 'unnamed data')}; then {len(objects)} objects approved here"
    return {
        **before,
        **more,
        "trained_on": trained_on,
        "approved": {"objects": len(objects), "groups": groups},
    }
