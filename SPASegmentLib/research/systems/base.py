"""What every comparison system is: a network with a loss, and one or more maps of a region as its answer."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from SPASegmentLib.network.belief import pairwise_dice
from SPASegmentLib.network.interaction import point_spots
from SPASegmentLib.research.evaluation.metrics import generalised_energy_distance
from SPASegmentLib.research.systems.config import SystemConfig
from SPASegmentLib.research.training.batches import Batch, Sealed
from SPASegmentLib.research.training.losses import sample_loss
from SPASegmentLib.research.training.step import StepResult

GED_SAMPLES = 16
"""Maps drawn where a system is judged by its energy distance; as many as in the papers."""


class System(nn.Module):
    """A network that is trained through its forward, so that data-parallel wrappers work."""

    def __init__(self, config: SystemConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, sealed: Sealed, rounds: int, generator: torch.Generator) -> StepResult:
        """Loss of a batch. rounds: of the interaction, for systems that have more than one."""


class MapSystem(System):
    """A system with one iteration: image and click in, one or more probability maps out."""

    def planes(self, image: Tensor, seed: Tensor) -> Tensor:
        """Image (B, C, G, G) in [0, 1] and click (B, 2) (x, y) in cells -> (B, C + 1, G, G)."""
        ones = torch.ones((len(seed), 1), device=seed.device)
        spots = point_spots(seed[:, None], ones, 1, self.config.grid)
        joined = torch.cat([(image - 0.5) * 4, spots], dim=1)
        return joined.contiguous(memory_format=torch.channels_last)

    def forward(self, sealed: Sealed, rounds: int, generator: torch.Generator) -> StepResult:
        """See `System.forward`; there is one round."""
        batch = sealed.batch
        loss = self.loss(batch, generator)
        if self.training:
            return StepResult(loss, [], [])
        return StepResult(loss, [self.score(batch, generator)], [])

    def score(self, batch: Batch, generator: torch.Generator) -> float:
        """Mean Dice of the mean map with the target of the protocol's draw; the more the better.

        Cut as an engine cuts it: at 0.5, or at half its peak where it would be empty. With `absent` "empty"
        no mask is the wanted one; there it is 1 - the mean GED of `GED_SAMPLES` maps with all raters.
        """
        if self.config.absent == "empty":
            maps = self.maps(batch.image, batch.points[:, 0], GED_SAMPLES, generator)
            return 1 - mean_ged(maps, raters(batch))
        mean = self.maps(batch.image, batch.points[:, 0], 8, generator).mean(dim=1, keepdim=True)
        peak = mean.amax(dim=(2, 3), keepdim=True)
        return mean_dice(torch.where(peak >= 0.5, mean, mean / peak.clamp(min=1e-6)), batch.target)

    def counted(self, batch: Batch) -> Tensor:
        """Which raters' masks a loss counts: (B, R), 1 or 0; at least one of each image.

        Somebody clicked, so who drew nothing is left out; with `absent` "empty" they count as empty masks.
        """
        drew = raters(batch).flatten(2).amax(dim=2)
        if self.config.absent == "empty":
            return torch.ones_like(drew)
        return torch.where(drew.sum(dim=1, keepdim=True) > 0, drew, 1.0)

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Scalar; what the system's own paper trains with."""

    @abstractmethod
    def maps(self, image: Tensor, seed: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """(B, n, G, G) probabilities; n is `count`, or as many as the system has."""


def raters(batch: Batch) -> Tensor:
    """Every rater's mask on the region's grid: (B, R, G, G)."""
    return batch.users[:, 1:]


def majority(batch: Batch, counted: Tensor) -> Tensor:
    """The majority vote (at least half) of the raters that count, (B, R): (B, 1, G, G)."""
    shares = counted / counted.sum(dim=1, keepdim=True)
    return (torch.einsum("br,brhw->bhw", shares, raters(batch)) >= 0.5 - 1e-6).float()[:, None]


def random_rater(batch: Batch, counted: Tensor, generator: torch.Generator) -> Tensor:
    """The mask of one rater per image, drawn uniformly from those that count, (B, R): (B, 1, G, G)."""
    chosen = torch.multinomial(counted, 1, generator=generator)[:, 0]
    return raters(batch)[torch.arange(len(chosen), device=chosen.device), chosen][:, None]


def dice_bce(logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
    """Mean Dice loss + BCE, map by map: (B, n, G, G), (B, n, G, G) -> scalar.

    counted: (B, n), which maps count; all of them where it is not given.
    """
    with torch.autocast(logits.device.type, enabled=False):  # sums over a map need their digits
        flat = logits.float().flatten(0, 1)[:, None]
        losses = sample_loss(flat, targets.flatten(0, 1)[:, None]).flatten()
        return losses.mean() if counted is None else weighted_mean(losses, counted.flatten())


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of values (n,) with weights (n,): scalar."""
    return (values * weights).sum() / weights.sum()


def mean_ged(maps: Tensor, masks: Tensor) -> float:
    """Mean squared GED of maps (B, n, G, G) cut at 0.5 with the raters' masks (B, R, G, G)."""
    drawn, wanted = (maps.float() >= 0.5).cpu().numpy(), (masks > 0).cpu().numpy()
    pairs = zip(drawn, wanted, strict=True)
    return float(np.mean([generalised_energy_distance(samples, one) for samples, one in pairs]))


@torch.no_grad()
def mean_dice(probabilities: Tensor, target: Tensor) -> float:
    """Mean Dice of (B, 1, G, G) maps cut at 0.5 with (B, G, G) targets."""
    with torch.autocast(target.device.type, enabled=False):
        shown = (probabilities.float() >= 0.5).to(target.dtype)
        return float(pairwise_dice(shown, target[:, None])[:, 0, 0].mean())
