"""What a training run is told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from SPASegmentLib.research.training.tasks import TaskShares


class TrainOptions(BaseModel):
    """Options of one run; `spasegment train --config FILE` reads them as JSON.

    steps: optimiser steps of the whole run (one learning-rate cycle). batch: images a step.
    rounds: probabilities of playing 1, 2, 3, ... rounds of picks with a batch.
    winner_temperature: softness (in units of the loss) of the responsibilities of the E-step.
    mean_loss, candidate_loss: weights of the recommendation's and the picked candidate's loss.
    region_known: share of crops that follow the object's size, as after the first look; the others are the
    first look itself. further_points: share of cases with further positive or negative points.
    corrections: share of the answers that are a corrective point in the largest error instead of a pick.
    tasks: shares of the kinds of task, see `TaskShares`, where a network for any structure is trained.
    synthetic: how many made-up images are a further set where a network for any structure is trained.
    users: how many users (targets) the first round of a case learns from; later rounds follow one of them.
    candidates: what the simulated user picks from, "clusters" of samples or "levels" of the one map of a
    network without a distribution. oracle_points: tell a label of the target per pick, `oracle-label` only.
    checkpoint_every, validate_every: steps. pretrained: official SAM or MedSAM file to start from.
    start: a checkpoint of this project to start from, also of a network with other planes or preference; for
    comparison systems also a folder with NAME.safetensors of each.
    network: entries of `SPAConfig`; {"preset": "compact" | "sam_vit_b" | "medsam_vit_b"} picks a whole one.
    """

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=5000, gt=0)
    batch: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = 1e-2
    ema: float = Field(default=0.998, ge=0, lt=1)
    rounds: tuple[float, ...] = (0.3, 0.25, 0.2, 0.15, 0.1)
    winner_temperature: float = Field(default=0.02, gt=0)
    winner_floor: float = 0.05
    mean_loss: float = 1.0
    candidate_loss: float = 1.0
    region_known: float = 0.7
    further_points: float = 0.12
    corrections: float = Field(default=0.0, ge=0, le=1)
    tasks: TaskShares = Field(default_factory=TaskShares)
    synthetic: int = Field(default=0, ge=0)
    users: int = Field(default=8, gt=0)
    candidates: Literal["clusters", "levels"] = "clusters"
    oracle_points: bool = False
    checkpoint_every: int = 250
    validate_every: int = 1000
    validation_cases: int = 192
    seed: int = 0
    precision: str = "bf16-mixed"
    devices: int | str = "auto"
    accelerator: str = "auto"
    pretrained: str | None = None
    start: str | None = None
    network: dict[str, Any] = Field(default_factory=dict)
