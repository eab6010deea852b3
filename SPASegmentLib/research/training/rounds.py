"""One round of the interaction for a whole batch: sample, cluster, simulate the pick, update the belief.

Algorithm 1 as corrected: nothing but the index of the picked candidate comes from the target. Networks
without a distribution show level sets of their one map instead of clusters of samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from SPASegmentLib.network.belief import Belief, pairwise_dice


@dataclass(frozen=True)
class RoundOutcome:
    """What a round leaves to the next; no gradients. Maps are (B, 1, G, G), probabilities.

    pick: (B,) index of the picked cluster. labels: (B, n) cluster of every sample.
    """

    picked: Tensor
    recommendation: Tensor
    belief: Tensor
    pick: Tensor
    labels: Tensor
    candidate_dice: Tensor
    recommendation_dice: Tensor


def batched_kmeans(maps: Tensor, weights: Tensor, k: int, iterations: int = 4) -> Tensor:
    """Weighted K-means of (B, n, G, G) maps, farthest-first start: labels (B, n)."""
    x = F.avg_pool2d(maps, 2).flatten(2)
    distances = (x.square().sum(-1)[:, :, None] + x.square().sum(-1)[:, None] - 2 * torch.bmm(x, x.mT)).clamp(
        min=0
    )
    rows = torch.arange(len(x), device=x.device)
    chosen = [weights.argmax(dim=1)]
    nearest = distances[rows, chosen[0]]
    for _ in range(k - 1):
        chosen.append((nearest * weights).argmax(dim=1))
        nearest = torch.minimum(nearest, distances[rows, chosen[-1]])
    centres = x[rows[:, None], torch.stack(chosen, dim=1)]
    labels = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
    for _ in range(iterations):
        squared = centres.square().sum(-1)[:, None] - 2 * torch.bmm(x, centres.mT)
        labels = squared.argmin(dim=2)
        share = F.one_hot(labels, k) * weights[..., None]
        total = share.sum(dim=1)
        moved = torch.bmm(share.mT, x) / total.clamp(min=1e-9)[..., None]
        centres = torch.where(total[..., None] > 1e-9, moved, centres)
    return labels


def cluster_means(maps: Tensor, weights: Tensor, labels: Tensor, k: int) -> Tensor:
    """Weighted means of the clusters: (B, K, G, G); an empty cluster repeats the overall mean."""
    share = F.one_hot(labels, k) * weights[..., None]
    total = share.sum(dim=1)
    share = torch.where(total[:, None] > 1e-9, share, weights[..., None])
    return torch.einsum("bnk,bnhw->bkhw", share / share.sum(dim=1, keepdim=True), maps)


@torch.no_grad()
def play(probabilities: Tensor, log_weights: Tensor, target: Tensor, belief: Belief, k: int) -> RoundOutcome:
    """Cluster the samples, let the simulated user pick, update the belief.

    probabilities: (B, n, G, G). log_weights: (B, n). target: (B, G, G), seen only by the simulated user.
    """
    with torch.autocast(probabilities.device.type, enabled=False):  # Dice of bfloat16 sums would be rounded
        return _play(probabilities.float(), log_weights.float(), target, belief, k)


def _play(probabilities: Tensor, log_weights: Tensor, target: Tensor, belief: Belief, k: int) -> RoundOutcome:
    weights = F.softmax(log_weights, dim=1)
    recommendation = torch.einsum("bn,bnhw->bhw", weights, probabilities)[:, None]
    labels = batched_kmeans(probabilities, weights + 1e-4, k)
    clusters = cluster_means(probabilities, weights, labels, k)
    shown = (clusters >= 0.5).to(probabilities.dtype)
    dice = pairwise_dice(shown, target[:, None])[..., 0]
    pick = dice.argmax(dim=1)
    belief.add(probabilities, log_weights)
    mean = belief.update(shown, pick)
    picked = clusters[torch.arange(len(pick)), pick][:, None]
    own = pairwise_dice((recommendation >= 0.5).to(target.dtype), target[:, None])[:, 0, 0]
    return RoundOutcome(picked, recommendation, mean, pick, labels, dice, own)


SHOWN_LEVELS = (0.875, 0.625, 0.375, 0.125)
"""Probabilities at which the four candidates are cut, from the smallest mask to the largest."""
HYPOTHESES = 16
"""Level sets that stand for what the user may want, as samples do where there is a distribution."""


def even_levels(count: int) -> list[float]:
    """Probabilities that cut (0, 1) into `count` equal parts, one in the middle of each, falling.

    Where a map is calibrated and raters draw nested masks, each of its level sets there is as likely as the
    next to be what a rater drew.
    """
    return [1 - (index + 0.5) / count for index in range(count)]


def level_sets(probabilities: Tensor, levels: list[float] | tuple[float, ...]) -> Tensor:
    """(B, 1, G, G) probabilities -> (B, n, G, G) of zeros and ones."""
    cut = probabilities.new_tensor(levels)[None, :, None, None]
    return (probabilities >= cut).to(probabilities.dtype)


def moved_to_level(probabilities: Tensor, levels: Tensor) -> Tensor:
    """The maps moved in logits so that 0.5 lies where the level was: (B, 1, G, G), (B,) -> (B, 1, G, G)."""
    logits = torch.logit(probabilities, eps=1e-6)
    return (logits - torch.logit(levels)[:, None, None, None]).sigmoid()


@torch.no_grad()
def play_levels(probabilities: Tensor, target: Tensor, belief: Belief) -> RoundOutcome:
    """Let the simulated user pick the best of four level sets, update the belief over levels.

    probabilities: (B, 1, G, G). target: (B, G, G), seen only by the simulated user.
    """
    with torch.autocast(probabilities.device.type, enabled=False):  # Dice of bfloat16 sums would be rounded
        maps = probabilities.float()
        shown = level_sets(maps, SHOWN_LEVELS)
        dice = pairwise_dice(shown, target[:, None])[..., 0]
        pick = dice.argmax(dim=1)
        equal = maps.new_zeros((len(maps), HYPOTHESES)).log_softmax(dim=1)
        belief.add(level_sets(maps, even_levels(HYPOTHESES)), equal)
        mean = belief.update(shown, pick)
        picked = moved_to_level(maps, maps.new_tensor(SHOWN_LEVELS)[pick])
        own = pairwise_dice((maps >= 0.5).to(target.dtype), target[:, None])[:, 0, 0]
        no_cluster = torch.full((len(maps), 1), -1, device=maps.device)
        return RoundOutcome(picked, maps, mean, pick, no_cluster, dice, own)
