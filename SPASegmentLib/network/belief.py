"""What the samples of an interaction say once the user has picked: the exact posterior over samples."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

FORGOTTEN = -1e4
"""Log-weight of a sample that is not to count."""


class Belief:
    """All samples of the interaction so far under the posterior of all picks.

    P(pick k | sample) is a softmax of the sample's Dice with the candidates: who wants this sample picks the
    candidate closest to it. The posterior over samples is exact given that user.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self.samples: Tensor | None = None
        self.log_weights: Tensor | None = None
        self._before: Tensor | None = None

    def add(self, samples: Tensor, log_weights: Tensor) -> None:
        """samples (B, n, G, G); log_weights (B, n) normalised within the round."""
        if self.samples is None or self.log_weights is None:
            self.samples, self.log_weights = samples, log_weights
        else:
            self.samples = torch.cat([self.samples, samples], dim=1)
            self.log_weights = torch.cat([self.log_weights, log_weights], dim=1)

    def update(self, candidates: Tensor, pick: Tensor) -> Tensor:
        """Multiply by the likelihood of the pick; candidates (B, K, G, G) binary -> mean (B, 1, G, G)."""
        assert self.samples is not None and self.log_weights is not None
        dice = pairwise_dice(self.samples, candidates)
        self._before = self.log_weights
        log_choice = F.log_softmax(dice / self.temperature, dim=-1)
        index = pick[:, None, None].expand(-1, dice.shape[1], 1)
        self.log_weights = self.log_weights + log_choice.gather(2, index).squeeze(2)
        return self.mean()

    def forget_last(self, who: Tensor, count: int) -> None:
        """Take the last `count` samples and the last pick back for some of the batch; who: (B,) bool."""
        assert self.log_weights is not None and self._before is not None
        before = torch.full_like(self.log_weights, FORGOTTEN)
        before[:, : self._before.shape[1] - count] = self._before[:, : self._before.shape[1] - count]
        self.log_weights = torch.where(who[:, None], before, self.log_weights)

    def reject(self, candidates: Tensor, close_enough: float) -> Tensor:
        """Multiply by the likelihood of "none of these"; candidates binary -> mean (B, 1, G, G).

        close_enough: see `log_none`.
        """
        assert self.samples is not None and self.log_weights is not None
        against = log_none(self.samples, candidates, self.temperature, close_enough)
        self.log_weights = self.log_weights + against
        return self.mean()

    def mean(self) -> Tensor:
        """The mean of all samples under the posterior: (B, 1, G, G)."""
        assert self.samples is not None and self.log_weights is not None
        weights = F.softmax(self.log_weights, dim=1)
        return torch.einsum("bn,bnhw->bhw", weights, self.samples)[:, None]


def pairwise_dice(a: Tensor, b: Tensor) -> Tensor:
    """Soft Dice of (B, n, G, G) with (B, m, G, G): (B, n, m)."""
    a, b = a.flatten(2), b.flatten(2)
    total = a.sum(-1)[:, :, None] + b.sum(-1)[:, None, :]
    return 2 * torch.bmm(a, b.transpose(1, 2)) / total.clamp(min=1e-6)


def log_none(samples: Tensor, candidates: Tensor, temperature: float, close_enough: float) -> Tensor:
    """Log P("none of these" | sample): unlikely for who wants something close to a candidate. (B, n).

    close_enough: Dice at which a user takes a candidate for what they want every other time.
    """
    closest = pairwise_dice(samples, candidates).amax(dim=-1)
    return F.logsigmoid((close_enough - closest) / temperature)
