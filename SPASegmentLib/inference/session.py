"""One interaction on one slice, as a value: seed, proposals, picks, undo, approval.

A `Session` never changes; every step returns a new one. A step that needs a proposal is *pending* until
`advance` has computed it, and what was before stays intact until then, so cancelling loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from SPASegmentLib.errors import InputError, ProfileError, SeedError, StepError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.carried import carried_seed
from SPASegmentLib.inference.continuing import filling, recommending
from SPASegmentLib.inference.messages import (
    Answered,
    CancelToken,
    Carried,
    Corrected,
    Engine,
    ModelInfo,
    Proposal,
    ProposalRequest,
    UsualArea,
)

if TYPE_CHECKING:
    from typing_extensions import Self

StepKind = Literal["point", "pick", "none", "keep", "approve", "take"]
State = Literal["empty", "computing", "open", "approved", "taken"]


def proposal_seed(random_seed: int, steps: int) -> int:
    """The seed of the proposal that follows so many steps of an interaction."""
    return int(np.random.SeedSequence([random_seed, steps]).generate_state(1, np.uint32)[0])


@dataclass(frozen=True)
class Step:
    """What the user did.

    kind: point (the first is the seed) | pick | none (of these) | keep | approve | take.
    point: of a point step. candidate: index (from 0) of a pick or take.
    """

    kind: StepKind
    point: PointPrompt | None = None
    candidate: int | None = None

    @property
    def asks(self) -> bool:
        """Whether a new proposal follows."""
        return self.kind in ("point", "pick", "none", "keep")


@dataclass(frozen=True, eq=False)
class Done:
    """A step and the proposal that followed it (None after approve and take)."""

    step: Step
    proposal: Proposal | None


@dataclass(frozen=True, eq=False)
class Result:
    """How an interaction ended.

    mask: (H, W) bool. how: approved | taken. candidate: index of the taken candidate or None.
    iterations: proposals seen on the way. picks: candidates picked, the taken one not counted.
    seconds: computing time of the proposals. answered: the rounds a profile can learn from.
    """

    mask: np.ndarray
    how: Literal["approved", "taken"]
    candidate: int | None
    iterations: int
    picks: int
    seconds: float
    answered: tuple[Answered, ...]
    proposal: Proposal


@dataclass(frozen=True, eq=False)
class Session:
    """The whole state of one interaction on one slice.

    image: the slice. model: of the engine that answers. log_prior: (M,) log-evidence of the profile or None.
    learn: whether the outcome may be added to the profile. random_seed: of everything random, >= 0.
    n_samples: N, or None for the model's own. done: the steps that hold, oldest first. undone: the steps redo
    brings back, the next one last. pending: the step whose proposal is not computed yet. carried: a
    neighbouring slice's mask, from which the interaction began without a click, or None. goes_on: whether
    that mask is this slice's own instead, which is recommended until the user says otherwise. usual_area: of
    the objects the profile was taught on, or None.
    """

    image: SliceImage
    model: ModelInfo
    log_prior: np.ndarray | None = None
    learn: bool = True
    random_seed: int = 0
    n_samples: int | None = None
    done: tuple[Done, ...] = ()
    undone: tuple[Done, ...] = ()
    pending: Step | None = None
    carried: Carried | None = None
    goes_on: bool = False
    usual_area: UsualArea | None = None

    @classmethod
    def start(
        cls,
        image: SliceImage,
        model: ModelInfo,
        seed: PointPrompt | tuple[float, float] | None = None,
        *,
        log_prior: np.ndarray | None = None,
        usual_area: UsualArea | None = None,
        learn: bool = True,
        random_seed: int = 0,
        n_samples: int | None = None,
        carried: Carried | None = None,
        goes_on: bool = False,
    ) -> Session:
        """Start on a slice, with the seed (row, col) in pixels where it is known already, or from the outline
        of a carried mask, which has its own seed; goes_on: the mask is there on this slice already.

        Raises SeedError for a seed outside the slice or a negative one, ProfileError for evidence that does
        not fit the model, InputError for a negative random seed.
        """
        if random_seed < 0:
            raise InputError(f"The random seed is {random_seed}; give zero or a positive whole number.")
        if log_prior is not None:
            log_prior = np.array(log_prior, dtype=np.float64)
            log_prior.flags.writeable = False
            if log_prior.shape != (model.components,) or not np.isfinite(log_prior).all():
                raise ProfileError(
                    f'The profile does not fit the model "{model.name}", which has {model.components} '
                    "components; choose a profile made with this model."
                )
        session = cls(image, model, log_prior, learn, random_seed, n_samples, usual_area=usual_area)
        if carried is not None:
            outline = Carried((carried.mask >= 0.5).astype(np.float32))  # what a log can hold
            session = replace(session, carried=outline, goes_on=goes_on)
            seed = carried_seed(outline.mask, image.spacing)
        if seed is None:
            return session
        point = seed if isinstance(seed, PointPrompt) else PointPrompt(*seed)
        return session.add_point(point.row, point.col, positive=point.positive, size_mm=point.size_mm)

    # What is the case

    @property
    def state(self) -> State:
        """empty (no seed) | computing (a step is pending) | open (a proposal waits) | approved | taken."""
        if self.pending:
            return "computing"
        if not self.done:
            return "empty"
        kind = self.done[-1].step.kind
        return "approved" if kind == "approve" else "taken" if kind == "take" else "open"

    @property
    def finished(self) -> bool:
        """Whether a mask was approved or taken."""
        return self.state in ("approved", "taken")

    @property
    def what_next(self) -> str:
        """One sentence for the status line."""
        shown = len(self.proposal.candidates) if self.proposal else 0
        pick = {0: "", 1: ", press 1 to pick the alternative"}.get(shown, f", press 1-{shown} to pick")
        pick += ", 0 for none of these" if shown else ""
        return {
            "empty": "Click a seed on the object.",
            "computing": "Computing; Esc cancels.",
            "open": f"{self._approving}{pick}.",
            "approved": "Approved; Backspace takes it back.",
            "taken": "Taken; Backspace takes it back.",
        }[self.state]

    @property
    def _approving(self) -> str:
        """How to approve, after what it means where fewer alternatives than usual are shown."""
        if self.proposal is None or not self.proposal.fewer_reason:
            return "Press Enter to approve"
        if any(answer.picked is None and not answer.kept for answer in self.answered):
            return "Nothing else is likely: place a point to correct it, or press Enter to approve"
        return "Nothing else is worth changing: press Enter to approve"

    @property
    def proposal(self) -> Proposal | None:
        """The proposal on the screen; while a step is pending, still the one before it."""
        return next((d.proposal for d in reversed(self.done) if d.proposal is not None), None)

    @property
    def iteration(self) -> int:
        """How many proposals there were; the one after the seed is iteration 1."""
        return sum(d.proposal is not None for d in self.done)

    @property
    def points(self) -> tuple[PointPrompt, ...]:
        """The user's points, oldest first; a pending one included."""
        steps = [d.step for d in self.done] + ([self.pending] if self.pending else [])
        return tuple(step.point for step in steps if step.point is not None)

    @property
    def answered(self) -> tuple[Answered, ...]:
        """The proposals the user picked from or turned down, oldest first; a pending answer included."""
        rounds, shown = [], None
        for step, proposal in [(d.step, d.proposal) for d in self.done] + [(self.pending, None)]:
            if step is not None and step.kind in ("pick", "none", "keep") and shown is not None:
                rounds.append(Answered(shown, step.candidate, kept=step.kind == "keep"))
            shown = proposal or shown
        return tuple(rounds)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to bring back."""
        return bool(self.undone) and self.pending is None

    def request(self) -> ProposalRequest:
        """What the engine is asked for the pending step. Raises StepError where none is pending."""
        if self.pending is None:
            raise StepError("There is nothing to compute; place a point or pick a candidate first.")
        shown = self.proposal if self.pending.kind == "point" else None
        return ProposalRequest(
            image=self.image,
            points=self.points,
            answered=self.answered,
            log_prior=self.log_prior,
            usual_area=self.usual_area,
            seed=proposal_seed(self.random_seed, len(self.done)),
            n_samples=self.n_samples,
            carried=self.carried,
            corrected=None if shown is None else Corrected.of(shown),
        )

    def result(self) -> Result:
        """The outcome. Raises StepError before a mask is approved or taken."""
        proposal, state = self.proposal, self.state
        if proposal is None or (state != "approved" and state != "taken"):
            raise StepError("No mask is final yet; approve the recommendation or take a candidate.")
        candidate = self.done[-1].step.candidate
        return Result(
            mask=proposal.recommendation if candidate is None else proposal.candidates[candidate].mask,
            how=state,
            candidate=candidate,
            iterations=self.iteration,
            picks=sum(d.step.kind == "pick" for d in self.done),
            seconds=sum((d.proposal.seconds or {}).get("total", 0.0) for d in self.done if d.proposal),
            answered=self.answered,
            proposal=proposal,
        )

    # What the user does

    def add_point(
        self, row: float, col: float, *, positive: bool = True, size_mm: float | None = None
    ) -> Self:
        """Place the seed, or a further point; (row, col) in slice pixels. size_mm: see `PointPrompt`.

        Raises SeedError outside the slice or for a negative first point, StepError when finished.
        """
        height, width = self.image.shape
        if not (-0.5 <= row < height - 0.5 and -0.5 <= col < width - 0.5):
            raise SeedError(
                f"The point ({row:g}, {col:g}) lies outside the slice of {height} x {width} pixels; "
                "place it on the picture."
            )
        if not positive and not self.points:
            raise SeedError("The first point marks the object; place a positive point first.")
        return self._with(Step("point", point=PointPrompt(float(row), float(col), bool(positive), size_mm)))

    def pick(self, candidate: int) -> Self:
        """Pick a candidate (index from 0): a new proposal follows. Raises StepError where there is none."""
        return self._with(Step("pick", candidate=self._checked(candidate)))

    def none_of_these(self) -> Self:
        """Turn down all candidates shown: fresh ones follow. Raises StepError without a proposal."""
        return self._with(Step("none"))

    def keep(self) -> Self:
        """Keep the recommendation and see other candidates around it. Raises StepError without a proposal."""
        return self._with(Step("keep"))

    def approve(self) -> Self:
        """Take the recommendation as final. Raises StepError without a proposal."""
        return self._with(Step("approve"))

    def take(self, candidate: int) -> Self:
        """Take a candidate (index from 0) as final as it is. Raises StepError where there is none."""
        return self._with(Step("take", candidate=self._checked(candidate)))

    def undo(self) -> Self:
        """Take back the last step (a pending one first). Raises StepError where there is none."""
        if self.pending:
            return self.cancel()
        if not self.done:
            raise StepError("There is nothing to undo.")
        return replace(self, done=self.done[:-1], undone=(*self.undone, self.done[-1]))

    def redo(self) -> Self:
        """Bring back the step undone last, without computing. Raises StepError where there is none."""
        if not self.can_redo:
            raise StepError("There is nothing to redo.")
        return replace(self, done=(*self.done, self.undone[-1]), undone=self.undone[:-1])

    def cancel(self) -> Self:
        """Drop the pending step: the session is as it was before it."""
        return replace(self, pending=None)

    def advance(self, engine: Engine, cancel: CancelToken | None = None) -> Self:
        """Compute the pending proposal; without one, the session itself.

        Raises what the engine raises (Cancelled, InputError), leaving this session as it is, and StepError
        for an engine with another model.
        """
        if self.pending is None:
            return self
        if engine.model.hash != self.model.hash:
            raise StepError(
                f'This interaction began with the model "{self.model.name}"; go on with that model, or start '
                f'anew to use "{engine.model.name}".'
            )
        proposal = self._answer(engine, cancel)
        return replace(self, done=(*self.done, Done(self.pending, proposal)), undone=(), pending=None)

    def _answer(self, engine: Engine, cancel: CancelToken | None) -> Proposal:
        request = self.request()
        proposal = engine.propose(request, cancel)
        if request.answered or request.corrected is not None:
            return proposal
        if self.carried is not None and self.goes_on and not request.placed:
            return recommending(proposal, self.carried.mask >= 0.5, self.image.spacing)
        size = next((point.size_mm for point in request.placed if point.size_mm is not None), None)
        return proposal if size is None else filling(proposal, size, self.image.spacing)

    def _checked(self, candidate: int) -> int:
        """The index, if the proposal on the screen has such a candidate."""
        if self.proposal is None:
            raise StepError("There are no candidates yet; click a seed on the object first.")
        shown = len(self.proposal.candidates)
        if not 0 <= candidate < shown:
            offer = (
                f"choose 1 to {shown}" if shown > 1 else "choose 1" if shown else "approve, or place a point"
            )
            raise StepError(f"There is no candidate {candidate + 1}; {offer}.")
        return int(candidate)

    def _with(self, step: Step) -> Self:
        """This session with one more step."""
        if self.pending:
            raise StepError("The last step is still being computed; wait for it or cancel it first.")
        if self.finished:
            raise StepError(f"This slice is {self.state} already; undo that first to go on.")
        if step.kind != "point" and self.proposal is None:
            raise StepError("There is no proposal yet; click a seed on the object first.")
        if step.asks:
            return replace(self, pending=step)
        return replace(self, done=(*self.done, Done(step, None)), undone=())
