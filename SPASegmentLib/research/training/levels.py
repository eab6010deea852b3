"""A round of picks for networks without a distribution: their candidates are level sets of one map."""

from __future__ import annotations

import torch
from torch import Tensor

from SPASegmentLib.network.belief import Belief, pairwise_dice
from SPASegmentLib.research.training.rounds import RoundOutcome

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
