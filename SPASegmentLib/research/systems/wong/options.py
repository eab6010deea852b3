"""What one run of the experiment is told: the paper's numbers, and what was chosen where it is silent."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class WongOptions(BaseModel):
    """One run. `beta0`, `beta1`, `size`, `discs` and the numbers of images are the paper's (Section 3).

    radius: of a disc, pixels. intensity: of a disc; the background is 0. gap: least pixels between two discs.
    shape_grid: cells along a side of the noise from which random shapes are made. shapes: how many shapes
    cover an image. known: largest share of the shapes that are segmented already.
    added_inside, added_outside: share of the interior's and of the exterior's shapes the next step adds.
    gate: multiply the segmentation by the partialness in training too. average: decay of the weights' mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=3000, gt=0)
    batch: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    average: float = Field(default=0.995, ge=0, lt=1)
    beta0: float = Field(default=1.0, ge=0)
    beta1: float = Field(default=1e-3, ge=0)
    gate: bool = False
    size: int = Field(default=32, ge=16, multiple_of=8)
    discs: int = Field(default=3, ge=1)
    images: int = Field(default=1000, gt=0)
    validation_images: int = Field(default=1000, gt=0)
    held_out_images: int = Field(default=1000, gt=0)
    radius: tuple[float, float] = (4.0, 7.0)
    intensity: tuple[float, float] = (0.25, 1.0)
    gap: float = 1.0
    shape_grid: int = Field(default=4, ge=2)
    shapes: int = Field(default=6, ge=2)
    known: float = Field(default=0.5, ge=0, le=1)
    added_inside: float = Field(default=0.525, ge=0, le=1)
    added_outside: float = Field(default=0.055, ge=0, le=1)
    checkpoint_every: int = Field(default=500, gt=0)
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"
