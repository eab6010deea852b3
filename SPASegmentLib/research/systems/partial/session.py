"""Growing a partial labelling as a value: the product's session, whose proposals are larger labellings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from SPASegmentLib.errors import InputError, StepError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import CancelToken, Engine, ModelInfo
from SPASegmentLib.inference.session import Session, Step, proposal_seed
from SPASegmentLib.research.systems.partial.growth import (
    PartialCandidate,
    PartialProposal,
    PartialRequest,
    grow,
    points_of,
)
from SPASegmentLib.research.systems.partial.labels import UNKNOWN

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class PartialSession(Session):
    """The whole state of one labelling that grows; every step returns a new one.

    labels: (H, W) uint8, the user's rough labelling: the seed of this interaction. reach, certainty: as in
    `PartialRequest`. The rest is `Session`'s.
    """

    labels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    reach: float | None = None
    certainty: float = 0.9

    @classmethod
    def of_labels(
        cls,
        image: SliceImage,
        model: ModelInfo,
        labels: np.ndarray,
        *,
        random_seed: int = 0,
        reach: float | None = None,
        certainty: float = 0.9,
    ) -> PartialSession:
        """Start from a rough labelling. Raises SeedError where it has no foreground, InputError elsewhere."""
        if random_seed < 0:
            raise InputError(f"The random seed is {random_seed}; give zero or a positive whole number.")
        labels = np.array(labels, dtype=np.uint8)
        labels.flags.writeable = False
        return cls(
            image,
            model,
            random_seed=random_seed,
            pending=Step("point", point=points_of(labels)[0]),
            labels=labels,
            reach=reach,
            certainty=certainty,
        )

    @property
    def proposal(self) -> PartialProposal | None:  # type: ignore[override]
        """The proposal on the screen; while a step is pending, still the one before it."""
        return cast("PartialProposal | None", super().proposal)

    @property
    def proposals(self) -> Iterator[tuple[PartialProposal, Step | None]]:
        """Every proposal with the step that followed it, None after the last one."""
        steps = [*(done.step for done in self.done[1:]), self.pending]
        for done, step in zip(self.done, steps, strict=False):
            if done.proposal is not None:
                yield cast(PartialProposal, done.proposal), step

    def request(self) -> PartialRequest:  # type: ignore[override]
        """What the pending step asks. Raises StepError where none is pending."""
        if self.pending is None:
            raise StepError("There is nothing to compute; pick a candidate first.")
        labels, rejected = self.labels, list[np.ndarray]()
        for proposal, step in self.proposals:
            if step is not None and step.kind == "pick":
                labels, rejected = _chosen(proposal, step.candidate).labels, []
            elif step is not None and step.kind == "none":
                rejected += [candidate.labels for candidate in proposal.candidates]
        return PartialRequest(
            image=self.image,
            labels=labels,
            earlier=None if self.proposal is None else self.proposal.samples,
            rejected=tuple(rejected),
            seed=proposal_seed(self.random_seed, len(self.done)),
            reach=self.reach,
            certainty=self.certainty,
        )

    def keep(self) -> Self:
        """Not for a labelling that grows. Raises StepError."""
        raise StepError("A labelling that grows has no recommendation to keep; go on from it instead.")

    def _answer(self, engine: Engine, cancel: CancelToken | None) -> PartialProposal:  # type: ignore[override]
        return grow(engine, self.request(), cancel)

    def result(self) -> PartialCandidate:  # type: ignore[override]
        """The final labelling. Raises StepError before one is approved or taken."""
        if self.proposal is None or not self.finished:
            raise StepError("No labelling is final yet; approve the recommendation or take a candidate.")
        return _chosen(self.proposal, self.done[-1].step.candidate)

    @property
    def added(self) -> int:
        """Pixels labelled since the start, of the final labelling."""
        return int(((self.result().labels != UNKNOWN) & (self.labels == UNKNOWN)).sum())

    def go_on(self) -> Self:
        """Go on from the recommendation as it is. Raises StepError without a proposal."""
        return self._with(Step("pick"))

    def undo(self) -> Self:
        """Take back the last step. Raises StepError where there is none."""
        if len(self.done) < (1 if self.pending else 2):
            raise StepError("Only the rough labelling is left; there is nothing to undo.")
        return super().undo()


def _chosen(proposal: PartialProposal, candidate: int | None) -> PartialCandidate:
    """A candidate by its index, or the recommendation."""
    return proposal.recommendation if candidate is None else proposal.candidates[candidate]
