"""One training step: rounds of the interaction, their losses summed (Algorithm 1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.network.belief import Belief
from SPASegmentLib.network.extent import soft_bins
from SPASegmentLib.network.shape import angles_around, shape_change
from SPASegmentLib.network.spa import Prepared, SPANetwork
from SPASegmentLib.research.training.answers import BatchAnswers
from SPASegmentLib.research.training.batches import Batch, Sealed
from SPASegmentLib.research.training.losses import candidate_loss, mean_loss, mixture_loss, sample_loss
from SPASegmentLib.research.training.options import TrainOptions
from SPASegmentLib.research.training.rounds import RoundOutcome, play, play_levels

EXTENT_WEIGHT = 0.3
DICE_WEIGHT = 2.0


class StepResult(NamedTuple):
    """loss: scalar with gradient. recommendation, best: mean Dice per round, of the best candidate too.

    best is empty for systems that show no candidates in training.
    """

    loss: Tensor
    recommendation: list[float]
    best: list[float]

    def figures(self) -> dict[str, list[float]]:
        """What a log says of them."""
        return {"recommendation": self.recommendation, "best": self.best}


class TrainingStep(nn.Module):
    """The module that is trained; its forward is a whole interaction, so that data-parallel wrappers work."""

    def __init__(self, network: SPANetwork, options: TrainOptions) -> None:
        super().__init__()
        self.network = network
        self.options = options

    def forward(self, sealed: Sealed, rounds: int, generator: torch.Generator | None = None) -> StepResult:
        """Play `rounds` rounds; no gradient flows from one round to the next through the answers."""
        network, batch = self.network, sealed.batch
        embedding = network.encode_image(batch.image, batch.points[:, 0], batch.context, batch.neighbours)
        answers = BatchAnswers(network.config, self.options, batch)
        loss = torch.zeros((), device=batch.points.device)
        recommended, best = [], []
        for played in range(rounds):
            prepared = network.prepare(embedding, answers.interaction())
            z = prepared.distribution.one_per_component(generator)
            logits = network.decode(prepared, z).float()
            if answers.outcome is not None:
                shapes = self._shapes(logits, prepared.distribution.log_weights, generator)
                logits = logits + answers.where_picked(shapes)
            log_weights = prepared.distribution.log_weights
            probabilities = logits.detach().sigmoid()
            outcome = self._play(probabilities, log_weights.detach(), batch.target, answers.belief)
            answers.add(outcome, generator)
            users = batch.users if played == 0 else batch.target[:, None]
            loss = loss + self._loss(logits, log_weights, users, outcome)
            loss = loss + self._head_losses(prepared, probabilities, outcome, batch if played == 0 else None)
            recommended.append(float(outcome.recommendation_dice.mean()))
            best.append(float(outcome.candidate_dice.amax(dim=1).mean()))
        return StepResult(loss / rounds, recommended, best)

    def _head_losses(
        self, prepared: Prepared, probabilities: Tensor, outcome: RoundOutcome, batch: Batch | None
    ) -> Tensor:
        """Of the object's extent (first round) and of the expected Dice, where the network has the heads."""
        head = self.network.extent_head
        if head is None or prepared.token is None:
            return torch.zeros((), device=probabilities.device)
        weights = prepared.distribution.log_weights.detach().exp()
        expected = head.expected_dice(prepared.pooled, prepared.token, probabilities, weights)
        loss = DICE_WEIGHT * (expected - outcome.recommendation_dice).square().mean()
        if batch is not None and batch.extents is not None:
            sizes = head.sizes(prepared.pooled, prepared.token)
            known = batch.extents.isfinite()
            wanted = soft_bins(batch.extents.nan_to_num(0.0), sizes.shape[1])
            miss = -(wanted * sizes[:, None]).sum(dim=-1)
            loss = loss + EXTENT_WEIGHT * (miss * known).sum() / known.sum().clamp(min=1)
        return loss

    def _play(
        self, probabilities: Tensor, log_weights: Tensor, target: Tensor, belief: Belief
    ) -> RoundOutcome:
        if self.options.candidates == "levels":
            return play_levels(probabilities, target, belief)
        return play(probabilities, log_weights, target, belief, self.network.config.candidates)

    def _shapes(self, logits: Tensor, log_weights: Tensor, generator: torch.Generator | None) -> Tensor:
        """The shape part of z from the second round on, as in use; no gradient goes through it."""
        config = self.network.config
        if not config.harmonics or self.options.candidates == "levels" or config.preference == "point":
            return torch.zeros_like(logits)
        with torch.no_grad():
            mean = torch.einsum("bn,bnhw->bhw", log_weights.exp(), logits.sigmoid())
            size = (*logits.shape[:2], 2, config.harmonics)
            noise = torch.randn(size, generator=generator, device=logits.device)
            return shape_change(noise, angles_around(mean), config.shape_amplitude, DEFAULT.plain_every)

    def _loss(self, logits: Tensor, log_weights: Tensor, targets: Tensor, outcome: RoundOutcome) -> Tensor:
        """Mean over the batch and the users who share its proposals; targets (B, U, G, G)."""
        options = self.options
        with torch.autocast(logits.device.type, enabled=False):  # sums over a map need their digits
            logits, log_weights = logits.float(), log_weights.float()
            losses = sample_loss(logits, targets)
            total = mixture_loss(losses, log_weights, options.winner_temperature, options.winner_floor)
            probabilities = logits.sigmoid()
            if options.mean_loss:
                total = total + options.mean_loss * mean_loss(probabilities, log_weights, targets)
            if options.candidate_loss:
                k = self.network.config.candidates
                picked = candidate_loss(probabilities, log_weights.detach(), outcome.labels, targets, k)
                total = total + options.candidate_loss * picked
            return total.mean()
