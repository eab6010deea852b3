"""What finished slices say about the mixture: log-likelihoods that add up and can be taken back.

A slice says of component m: log P(the mask it ended in | m) (`result_row`). These rows add over slices; with
the log-weights they give the posterior (supplement Eq. 1, what was approved being the observation). A pick k
says log P(pick k | m) (`mixture.log_shares`), which counts where that mask is not known. Sums are rounded
once (`math.fsum`): neither order nor what was added and removed in between leaves a trace.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import Answered, Feedback, ModelInfo
from SPASegmentLib.inference.session import Session
from SPASegmentLib.network.mixture import log_normalised


def summed(rows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Sum rows (P, M), weighted by (P,), to (M,); the same to the last bit in any order."""
    rows = np.asarray(rows, dtype=np.float64)
    if weights is not None:
        rows = rows * np.asarray(weights, dtype=np.float64)[:, None]
    return np.array([math.fsum(column) for column in rows.T])


def forgetting(n: int, half_life: float | None) -> np.ndarray:
    """(n,) weights of n images, oldest first: halved every `half_life` newer images, all one for None."""
    if half_life is None:
        return np.ones(n)
    return np.asarray(0.5 ** (np.arange(n - 1, -1, -1) / half_life), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Contribution:
    """What one approved slice says. rows: (P, M) log-likelihoods, of its result or else of its picks.

    order: anything that sorts contributions from old to new (only forgetting looks at it).
    weight: 1, or less where it came in by blending.
    """

    key: str
    image: str
    rows: np.ndarray
    order: str = ""
    weight: float = 1.0

    @property
    def log_likelihood(self) -> np.ndarray:
        """(M,) of everything done on this slice, unweighted."""
        return summed(self.rows)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Contributions by key. Never changed in place; `total` depends on what is in it, not on its history.

    components: M. half_life: in images; None forgets nothing.
    """

    components: int
    contributions: Mapping[str, Contribution] = field(default_factory=dict)
    half_life: float | None = None

    def without(self, key: str) -> Evidence:
        """Take one slice back; what was never added is no error."""
        return self._holding({k: c for k, c in self.contributions.items() if k != key})

    def ordered(self) -> list[Contribution]:
        """Contributions from old to new."""
        return sorted(self.contributions.values(), key=lambda c: (c.order, c.key))

    def weights(self) -> np.ndarray:
        """(n,) weight of each contribution in `ordered`, forgetting included."""
        ordered = self.ordered()
        return forgetting(len(ordered), self.half_life) * np.array([c.weight for c in ordered])

    def total(self) -> np.ndarray:
        """(M,) log-evidence over components; zeros without contributions."""
        return self._total(self.ordered(), self.weights())

    def totals(self) -> np.ndarray:
        """(n, M): the log-evidence as it stood after each contribution, oldest first."""
        ordered = self.ordered()
        steps = [
            self._total(ordered[:n], forgetting(n, self.half_life) * [c.weight for c in ordered[:n]])
            for n in range(1, len(ordered) + 1)
        ]
        return np.array(steps).reshape(len(steps), self.components)

    def _total(self, contributions: Sequence[Contribution], weights: np.ndarray) -> np.ndarray:
        rows = [c.rows * w for c, w in zip(contributions, weights, strict=True) if len(c.rows)]
        return summed(np.concatenate(rows)) if rows else np.zeros(self.components)

    def _holding(self, contributions: Mapping[str, Contribution]) -> Evidence:
        return Evidence(self.components, contributions, self.half_life)


def doubted(
    log_evidence: np.ndarray, log_weights: np.ndarray | None = None, doubt: float = DEFAULT.doubt
) -> np.ndarray:
    """(M,) log-prior for the next image: the posterior, but for a share `doubt` of images that do not follow.

    It is log((1 - doubt) exp(E_m) / sum_i pi_i exp(E_i) + doubt): zeros without evidence, and never below
    log(doubt), so that however long a profile is, two picks on an unusual image overrule it.
    log_weights: (M,) of the mixture without evidence, or None for even ones.
    """
    evidence = np.asarray(log_evidence, dtype=np.float64)
    even = np.zeros(len(evidence))
    if not evidence.any():
        return even
    log_weights = log_normalised(even if log_weights is None else log_weights)
    gain = log_normalised(evidence + log_weights) - log_weights
    return np.logaddexp(np.log1p(-doubt) + gain, np.log(doubt))


def rows_of(answered: Iterable[Answered], components: int) -> np.ndarray:
    """(P, M) log P(pick | m) of the picks among the answers; "none of these" says nothing of components."""
    rows = []
    for answer in answered:
        if answer.picked is None:
            continue
        candidates = answer.proposal.candidates
        if not 0 <= answer.picked < len(candidates):
            raise InputError(f"Candidate {answer.picked + 1} was picked but {len(candidates)} were shown.")
        rows.append(answer.proposal.feedback.log_shares[candidates[answer.picked].cluster])
    return np.array(rows, dtype=np.float64).reshape(len(rows), components)


def result_row(
    first: Feedback,
    result: np.ndarray,
    components: int,
    spacing: tuple[float, float],
) -> np.ndarray:
    """(M,) log P(result | m) of the mask a slice ended in, counted as several observations.

    Each sample of the slice's first proposal stands for a user, who ends in a mask of Dice d with it with a
    probability that goes with exp(d / softness). A component has the mean of its samples', and one more that
    is the mean of all, so that a component of which few samples were drawn leans towards the others.
    Only before the first pick does a component stand for a style: later samples stand around the pick, and
    picks are steps of one way, not one vote each. first: feedback of the first proposal. result: (H, W) bool.
    spacing: (row, col) mm of the slice.
    """
    from SPASegmentLib.imaging.zoom import sample_mask  # slow to import, seldom needed

    cells = sample_mask(result, spacing, first.region)
    log_likelihood = (dice_matrix(first.samples >= 128, cells[None])[:, 0] - 1) / DEFAULT.result_softness
    everyone = np.logaddexp.reduce(log_likelihood) - np.log(len(log_likelihood))
    rows = np.full(components, everyone)
    for m in np.unique(first.components):
        own = log_likelihood[first.components == m]
        rows[m] = np.logaddexp.reduce([*own, everyone]) - np.log(len(own) + 1)
    return DEFAULT.result_counts * rows


@dataclass(frozen=True, eq=False)
class ObjectStyle:
    """What the slices of one object say of the style that is wanted, for its next slice without a profile.

    model: hash of the model whose components are meant. log_evidence: (M,), the last slice's counted whole,
    those before by half, and again.
    """

    model: str
    log_evidence: np.ndarray

    @classmethod
    def after(
        cls,
        before: ObjectStyle | None,
        model: ModelInfo,
        first: Feedback,
        result: np.ndarray,
        spacing: tuple[float, float],
    ) -> ObjectStyle:
        """With one slice more: see `result_row`."""
        row = result_row(first, result, model.components, spacing)
        if before is not None and before.model == model.hash:
            row = row + 0.5 * before.log_evidence
        return cls(model.hash, row)

    def log_prior(self, model: ModelInfo) -> np.ndarray | None:
        """(M,) for the object's next slice; None for another model."""
        return doubted(self.log_evidence) if model.hash == self.model else None


def object_prior(session: Session, result: np.ndarray) -> np.ndarray | None:
    """(M,) log-prior for the other slices of an object: the session's own, or what its outcome says of style.

    result: (H, W) bool, the mask the slice ended in. None where the user only approved.
    """
    first = answered_first(session)
    if session.log_prior is not None or first is None:
        return session.log_prior
    style = ObjectStyle.after(None, session.model, first, result, session.image.spacing)
    return style.log_prior(session.model)


def answered_first(session: Session) -> Feedback | None:
    """The first proposal's, if the user answered anything on the slice; its samples show the components."""
    steps = [done.step.kind for done in session.done[1:]]
    first = session.done[0].proposal if session.done else None
    answered = any(kind in ("pick", "take", "point", "none", "keep") for kind in steps)
    return first.feedback if first is not None and answered and len(first.feedback.samples) else None


def dice_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dice of each of a (n, G, G) with each of b (k, G, G), bool; 1 where both are empty. Returns (n, k)."""
    first = a.reshape(len(a), -1).astype(np.float32)
    second = b.reshape(len(b), -1).astype(np.float32)
    sizes = first.sum(axis=1)[:, None] + second.sum(axis=1)[None]
    return np.where(sizes > 0, 2 * (first @ second.T) / np.maximum(sizes, 1), 1.0)


def log_gain(
    rows: np.ndarray, log_evidence: np.ndarray, log_weights: np.ndarray, doubt: float = DEFAULT.doubt
) -> float:
    """How much better (nats) the profile predicted a slice's picks than the model without it did.

    rows: (P, M) of the slice. log_evidence: (M,) of the other slices. log_weights: (M,) without evidence.
    """
    likelihood = summed(rows) if len(rows) else np.zeros(len(log_weights))
    base = log_normalised(log_weights)
    prior = log_normalised(base + doubted(log_evidence, base, doubt))
    return float(np.logaddexp.reduce(prior + likelihood) - np.logaddexp.reduce(base + likelihood))
