"""From a finished interaction to a profile: approving teaches, undoing an approval takes it back.

`session.Session` fits `FinishedSlice`; a slice that was cancelled never gets here and teaches nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np

from SPASegmentLib.errors import Cancelled, ProfileError, SPASegmentError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import (
    Answered,
    CancelToken,
    Engine,
    ModelInfo,
    Proposal,
    ProposalRequest,
    UsualArea,
)
from SPASegmentLib.inference.session import proposal_seed
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.profiles.evidence import result_row, rows_of
from SPASegmentLib.profiles.profile import Profile, checked
from SPASegmentLib.profiles.records import (
    AnswerRecord,
    Click,
    Shown,
    SliceEvidence,
    new_id,
    now,
)
from SPASegmentLib.profiles.store import ProfileStore

logger = logging.getLogger(__name__)


class InteractionResult(Protocol):
    """How an interaction ended; `session.Result` fits."""

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, as it was approved or taken."""

    @property
    def how(self) -> str:
        """Approved or taken."""

    @property
    def candidate(self) -> int | None:
        """Index of the taken candidate, or None."""

    @property
    def answered(self) -> tuple[Answered, ...]:
        """The rounds before, oldest first."""

    @property
    def proposal(self) -> Proposal:
        """The one on the screen at the end."""


class FinishedSlice(Protocol):
    """An interaction that ended in a mask; `session.Session` and `FinishedInteraction` fit."""

    @property
    def image(self) -> SliceImage:
        """The slice."""

    @property
    def model(self) -> ModelInfo:
        """The model that answered."""

    @property
    def points(self) -> tuple[PointPrompt, ...]:
        """The user's points, oldest first."""

    @property
    def log_prior(self) -> np.ndarray | None:
        """(M,) that was in the requests, or None."""

    @property
    def usual_area(self) -> UsualArea | None:
        """That was in the requests, or None."""

    @property
    def learn(self) -> bool:
        """False for "do not learn from this slice"."""

    @property
    def random_seed(self) -> int:
        """Of the proposals, >= 0."""

    @property
    def n_samples(self) -> int | None:
        """N of the proposals, or None for the model's own."""

    def result(self) -> InteractionResult:
        """The outcome; raises StepError before there is one."""


@dataclass(frozen=True, eq=False)
class Ending:
    """A plain `InteractionResult`."""

    mask: np.ndarray
    answered: tuple[Answered, ...]
    proposal: Proposal
    how: str = "approved"
    candidate: int | None = None


@dataclass(frozen=True, eq=False)
class FinishedInteraction:
    """A plain `FinishedSlice`, for interactions that were run without a session."""

    image: SliceImage
    model: ModelInfo
    points: tuple[PointPrompt, ...]
    ending: Ending
    log_prior: np.ndarray | None = None
    learn: bool = True
    random_seed: int = 0
    n_samples: int | None = None
    usual_area: UsualArea | None = None

    def result(self) -> Ending:
        """How it ended."""
        return self.ending


@dataclass(frozen=True)
class Receipt:
    """What an approval added, so that its undo can take exactly that back."""

    profile: str
    profile_id: str
    evidence_id: str


def commit_approval(
    store: ProfileStore, profile: Profile, finished: FinishedSlice, *, engine: Engine | None = None
) -> Receipt | None:
    """Add a finished slice to the profile on disk; it is there when this returns.

    profile: as loaded at the beginning of the interaction; other windows may have added to it or renamed it.
    engine: asked for the recommendation without a profile, which the profile's summary compares with, where
    the slice's own samples do not tell it because the profile is sure. This takes as long as a click; without
    an engine the area stays open, and `add_consensus` may fill it in later.
    Returns None, and writes nothing, where the user does not want it learnt from. Raises ProfileError, and
    StepError from `finished.result()` where nothing was approved.
    """
    finished.result()
    if not finished.learn:
        return None
    item = evidence_of(profile, finished)
    if item.consensus_mm2 is None and engine is not None:
        item = item.model_copy(update={"consensus_mm2": consensus_area(engine, finished)})
    saved = store.commit(profile.name, item, id=profile.id)
    return Receipt(saved.name, saved.id, item.id)


def add_consensus(
    store: ProfileStore,
    receipt: Receipt,
    engine: Engine,
    request: ProposalRequest,
    cancel: CancelToken | None = None,
) -> Profile | None:
    """Ask the engine for what `commit_approval` left open, and write it where the approval is.

    request: `consensus_request` of the finished slice. Returns the profile as it is on disk then, or None
    where the area was known, the approval has been taken back or the engine cannot say.
    Raises Cancelled when `cancel` is set, and ProfileError.
    """
    profile = store.update(receipt.profile, lambda profile: profile, id=receipt.profile_id)
    if not any(item.id == receipt.evidence_id and item.consensus_mm2 is None for item in profile.slices):
        return None
    area = _consensus_area(engine, request, cancel)
    if area is None:
        return None
    return store.update(
        receipt.profile,
        lambda profile: profile.with_consensus(receipt.evidence_id, area),
        id=receipt.profile_id,
    )


def retract_approval(store: ProfileStore, receipt: Receipt) -> Profile:
    """Take back what `commit_approval` added. Raises ProfileError."""
    return store.retract(receipt.profile, receipt.evidence_id, id=receipt.profile_id)


def evidence_of(
    profile: Profile,
    finished: FinishedSlice,
    *,
    consensus_mm2: float | None = None,
    evidence_id: str | None = None,
    date: datetime | None = None,
) -> SliceEvidence:
    """What a finished slice says, as the profile keeps it: no image, no mask, no name, no path.

    consensus_mm2: area of the recommendation without a profile, where the caller asked the engine for it;
    else it is read off the samples where that can be done (`consensus_share`).
    Raises ProfileError where another model answered than the profile belongs to.
    """
    outcome = finished.result()
    profile.check_model(finished.model)
    spacing = finished.image.spacing
    rounds = _answers(outcome)
    proposals = [answer.proposal for answer in rounds] + [outcome.proposal]
    if any(p.feedback.log_shares.shape[1:] != (profile.model.components,) for p in proposals):
        raise ProfileError(
            f'The model "{finished.model.name}" answered over another number of components than it says '
            "it has; nothing was learnt."
        )
    first_mm2 = _mm2(proposals[0].recommendation, spacing)
    if consensus_mm2 is None:
        share = consensus_share(proposals[0], finished.log_prior, profile.base_log_weights)
        consensus_mm2 = None if share is None else share * first_mm2
    approved = outcome.proposal if outcome.candidate is None else None
    return checked(
        lambda: SliceEvidence(
            id=evidence_id or new_id(),
            image=profile.image_identities(finished.image.key)[0],
            date=date or now(),
            outcome="taken" if outcome.how == "taken" else "approved",
            clicks=tuple(map(Click.of, finished.points)),
            seed=finished.random_seed,
            picks=tuple(pick_record(answer, profile.model.components) for answer in rounds),
            result=result_of(proposals[0], outcome.mask, profile.model.components, spacing),
            beside=turned_down(approved),
            first_mm2=first_mm2,
            consensus_mm2=consensus_mm2,
            approved_mm2=_mm2(outcome.mask, spacing),
        )
    )


def consensus_area(
    engine: Engine, finished: FinishedSlice, cancel: CancelToken | None = None
) -> float | None:
    """Area (mm2) of what the model recommends without a profile; None where the engine cannot say.

    Raises Cancelled when `cancel` is set.
    """
    return _consensus_area(engine, consensus_request(finished), cancel)


def consensus_request(finished: FinishedSlice) -> ProposalRequest:
    """The first proposal of the same session without the profile's style, random numbers included.

    The object is the one that was meant: which of several it is, is no matter of style.
    """
    seed = proposal_seed(finished.random_seed, 0)
    image = replace(finished.image, neighbours=())  # requests may wait, and slices around it take memory
    return ProposalRequest(
        image,
        finished.points[:1],
        seed=seed,
        n_samples=finished.n_samples,
        usual_area=finished.usual_area,
    )


def _consensus_area(engine: Engine, request: ProposalRequest, cancel: CancelToken | None) -> float | None:
    try:
        recommendation = engine.propose(request, cancel).recommendation
    except Cancelled:
        raise
    except SPASegmentError as error:
        logger.warning("The consensus is not known for this slice (%s).", type(error).__name__)
        return None
    return _mm2(recommendation, request.image.spacing)


def consensus_share(
    proposal: Proposal, log_prior: np.ndarray | None, base_log_weights: np.ndarray
) -> float | None:
    """Area of the recommendation without a profile, as a share of the one with it.

    The samples came from components weighted by the profile's prior; weighting each by its inverse gives back
    the mean the model would have shown. None where the profile is too sure for that, so that samples of other
    components are too few or missing, and where the recommendation is empty.
    """
    if log_prior is None or not np.any(log_prior):
        return 1.0
    feedback = proposal.feedback
    offset = -np.asarray(log_prior, dtype=np.float64)[feedback.components]
    weights = np.exp(offset - offset.max())
    weights /= weights.sum()
    covered = float(np.exp(base_log_weights)[np.unique(feedback.components)].sum())
    shown = int(np.count_nonzero(feedback.samples.mean(axis=0) >= 127.5))
    counting = 1 / float((weights**2).sum())
    if shown == 0 or covered < DEFAULT.least_covered or counting < DEFAULT.fewest_samples:
        return None
    consensus = np.tensordot(weights, feedback.samples.astype(np.float64), axes=1)
    return int(np.count_nonzero(consensus >= 127.5)) / shown


def _answers(outcome: InteractionResult) -> tuple[Answered, ...]:
    """The rounds; taking a candidate as it is is the last pick."""
    if outcome.candidate is None:
        return outcome.answered
    return (*outcome.answered, Answered(outcome.proposal, outcome.candidate))


def pick_record(answer: Answered, components: int) -> AnswerRecord:
    rows = rows_of([answer], components)
    return AnswerRecord(
        recommended_mm2=float(answer.proposal.area_mm2),
        shown=tuple(map(Shown.of, answer.proposal.candidates)),
        picked=None if answer.picked is None else int(answer.picked),
        log_likelihood=tuple(np.clip(rows[0], -100, 0).tolist()) if len(rows) else (),
    )


def result_of(
    first: Proposal, mask: np.ndarray, components: int, spacing: tuple[float, float]
) -> tuple[float, ...]:
    """(M,) of the mask a slice ended in; empty where the model drew no samples to compare it with."""
    if not len(first.feedback.samples):
        return ()
    row = result_row(first.feedback, mask, components, spacing)
    return tuple(np.clip(row, -100, 0).tolist())


def turned_down(approved: Proposal | None) -> tuple[Shown, ...] | None:
    """The candidates over which a recommendation was approved; None where none was."""
    return None if approved is None else tuple(map(Shown.of, approved.candidates))


def _mm2(mask: np.ndarray, spacing: tuple[float, float]) -> float:
    return float(np.count_nonzero(mask)) * spacing[0] * spacing[1]


@runtime_checkable
class HasMixture(Protocol):
    """An engine that can tell its model's mixture; `LocalEngine` fits."""

    def base_mixture(self) -> Mixture:
        """Without image and interaction."""
