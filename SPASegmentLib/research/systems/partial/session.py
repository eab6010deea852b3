"""Growing a partial labelling as a value, in the words of `session`: seed, proposal, pick, approve, undo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from SPASegmentLib.errors import InputError, StepError
from SPASegmentLib.imaging.labels import UNKNOWN
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import CancelToken, Engine, ModelInfo
from SPASegmentLib.inference.session import Step, proposal_seed
from SPASegmentLib.research.systems.partial.growth import (
    PartialCandidate,
    PartialProposal,
    PartialRequest,
    grow,
    points_of,
)

State = Literal["computing", "open", "approved", "taken"]


@dataclass(frozen=True, eq=False)
class PartialDone:
    """A step and the proposal that followed it (None after approve and take)."""

    step: Step
    proposal: PartialProposal | None


@dataclass(frozen=True, eq=False)
class PartialSession:
    """The whole state of one labelling that grows; every step returns a new one.

    image: the slice. labels: (H, W) uint8, the user's rough labelling: the seed of this interaction.
    random_seed, reach, certainty: as in `PartialRequest`. done, undone, pending: as in `Session`.
    """

    image: SliceImage
    model: ModelInfo
    labels: np.ndarray
    random_seed: int = 0
    reach: float | None = None
    certainty: float = 0.9
    done: tuple[PartialDone, ...] = ()
    undone: tuple[PartialDone, ...] = ()
    pending: Step | None = None

    @classmethod
    def start(
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
        seed = Step("point", point=points_of(labels)[0])
        return cls(image, model, labels, random_seed, reach, certainty, pending=seed)

    @property
    def state(self) -> State:
        """Where the interaction stands."""
        if self.pending:
            return "computing"
        last = self.done[-1].step.kind
        return "approved" if last == "approve" else "taken" if last == "take" else "open"

    @property
    def finished(self) -> bool:
        """Whether a labelling is final."""
        return self.state in ("approved", "taken")

    @property
    def proposal(self) -> PartialProposal | None:
        """The proposal on the screen; while a step is pending, still the one before it."""
        return next((d.proposal for d in reversed(self.done) if d.proposal is not None), None)

    @property
    def iteration(self) -> int:
        """How many proposals there were."""
        return sum(d.proposal is not None for d in self.done)

    def request(self) -> PartialRequest:
        """What the pending step asks. Raises StepError where none is pending."""
        if self.pending is None:
            raise StepError("There is nothing to compute; pick a candidate first.")
        labels, rejected = self.labels, list[np.ndarray]()
        steps = [*self.done, PartialDone(self.pending, None)]
        for before, now in pairwise(steps):
            if before.proposal is None:
                continue
            if now.step.kind == "pick":
                labels, rejected = _chosen(before.proposal, now.step.candidate).labels, []
            elif now.step.kind == "none":
                rejected += [candidate.labels for candidate in before.proposal.candidates]
        return PartialRequest(
            image=self.image,
            labels=labels,
            earlier=None if self.proposal is None else self.proposal.samples,
            rejected=tuple(rejected),
            seed=proposal_seed(self.random_seed, len(self.done)),
            reach=self.reach,
            certainty=self.certainty,
        )

    def result(self) -> PartialCandidate:
        """The final labelling. Raises StepError before one is approved or taken."""
        proposal = self.proposal
        if proposal is None or not self.finished:
            raise StepError("No labelling is final yet; approve the recommendation or take a candidate.")
        return _chosen(proposal, self.done[-1].step.candidate)

    @property
    def added(self) -> int:
        """Pixels labelled since the start, of the final labelling."""
        return int(((self.result().labels != UNKNOWN) & (self.labels == UNKNOWN)).sum())

    # What the user does

    def pick(self, candidate: int) -> PartialSession:
        """Go on from a candidate (index from 0). Raises StepError where there is none."""
        return self._with(Step("pick", candidate=self._checked(candidate)))

    def go_on(self) -> PartialSession:
        """Go on from the recommendation as it is. Raises StepError without a proposal."""
        return self._with(Step("pick"))

    def none_of_these(self) -> PartialSession:
        """Turn down all candidates shown: fresh ones follow. Raises StepError without a proposal."""
        return self._with(Step("none"))

    def approve(self) -> PartialSession:
        """Take the recommended labelling as final. Raises StepError without a proposal."""
        return self._with(Step("approve"))

    def take(self, candidate: int) -> PartialSession:
        """Take a candidate (index from 0) as final as it is. Raises StepError where there is none."""
        return self._with(Step("take", candidate=self._checked(candidate)))

    def undo(self) -> PartialSession:
        """Take back the last step. Raises StepError where there is none."""
        if self.pending and self.done:
            return replace(self, pending=None)
        if len(self.done) < 2:
            raise StepError("Only the rough labelling is left; there is nothing to undo.")
        return replace(self, done=self.done[:-1], undone=(*self.undone, self.done[-1]))

    def redo(self) -> PartialSession:
        """Bring back the step undone last. Raises StepError where there is none."""
        if not self.undone or self.pending:
            raise StepError("There is nothing to redo.")
        return replace(self, done=(*self.done, self.undone[-1]), undone=self.undone[:-1])

    def advance(self, engine: Engine, cancel: CancelToken | None = None) -> PartialSession:
        """Compute the pending proposal; without one, the session itself. Raises what `grow` raises."""
        if self.pending is None:
            return self
        proposal = grow(engine, self.request(), cancel)
        return replace(self, done=(*self.done, PartialDone(self.pending, proposal)), undone=(), pending=None)

    def _checked(self, candidate: int) -> int:
        """The index, if the proposal on the screen has such a candidate."""
        shown = 0 if self.proposal is None else len(self.proposal.candidates)
        if not 0 <= candidate < shown:
            offer = f"choose 1 to {shown}" if shown > 1 else "choose 1" if shown else "approve instead"
            raise StepError(f"There is no candidate {candidate + 1}; {offer}.")
        return int(candidate)

    def _with(self, step: Step) -> PartialSession:
        """This session with one more step."""
        if self.pending:
            raise StepError("The last step is still being computed; wait for it first.")
        if self.finished:
            raise StepError(f"This labelling is {self.state} already; undo that first to go on.")
        if step.asks:
            return replace(self, pending=step)
        return replace(self, done=(*self.done, PartialDone(step, None)), undone=())


def _chosen(proposal: PartialProposal, candidate: int | None) -> PartialCandidate:
    """A candidate by its index, or the recommendation."""
    return proposal.recommendation if candidate is None else proposal.candidates[candidate]
