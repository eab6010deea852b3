"""What goes to the engine and what comes back. The engine keeps nothing between calls but caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage


@dataclass(frozen=True)
class Description:
    """What a candidate means to the person who looks at it.

    name: short words, e.g. "larger, +12%: adds the rim".
    kind: larger | smaller | shifted | with part | without part | reshaped.
    added_mm2 / removed_mm2: area against the recommendation; percent: of the recommendation's area.
    support: share in [0, 1] of the network's samples that back this candidate.
    """

    name: str
    kind: str
    area_mm2: float
    added_mm2: float
    removed_mm2: float
    added_percent: float
    removed_percent: float
    support: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """One alternative. mask: (H, W) bool on the slice. cluster: its index in `Feedback`'s arrays."""

    mask: np.ndarray
    description: Description
    cluster: int

    @property
    def name(self) -> str:
        """What it means in words, such as "larger, +12%: adds the rim"."""
        return self.description.name

    @property
    def area_mm2(self) -> float:
        """Its area in mm2."""
        return self.description.area_mm2

    @property
    def support(self) -> float:
        """Share in [0, 1] of the network's samples that back it."""
        return self.description.support


@dataclass(frozen=True, eq=False)
class RegionSamples:
    """Samples of one region.

    region: with the grid the samples are on. samples: (n, G, G) uint8, probability * 255.
    log_weights: (n,) unnormalised log-probability of each, the region's own included.
    """

    region: Region
    samples: np.ndarray
    log_weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Feedback:
    """What a later call needs to know of this proposal (all in the region's grid of G x G cells).

    samples: (N, G, G) uint8, probability * 255 of each of the N samples.
    components: (N,) int, the mixture component each sample was drawn from.
    clusters: (K', G, G) uint8, probability * 255 of each candidate.
    recommendation: (G, G) uint8, probability * 255.
    log_shares: (K', M) float64, log P(pick k | component m), error rate mixed in.
    cluster_regions: the region each candidate's map is on; empty: all are on `region`.
    log_weight, others: log-probability that the object meant is one of this region's samples, and samples of
    other regions in which others may be meant.
    """

    region: Region
    samples: np.ndarray
    components: np.ndarray
    clusters: np.ndarray
    recommendation: np.ndarray
    log_shares: np.ndarray
    cluster_regions: tuple[Region, ...] = ()
    log_weight: float = 0.0
    others: tuple[RegionSamples, ...] = ()

    def on_region(self, cluster: int) -> Region:
        """The region a candidate's map is on."""
        return self.cluster_regions[cluster] if self.cluster_regions else self.region


@dataclass(frozen=True, eq=False, repr=False)
class Proposal:
    """One iteration's answer.

    recommendation: (H, W) bool. probability: (H, W) float32 mean of the samples.
    candidates: at most K, ordered (larger to smaller, then by support). fewer_reason: why fewer than K,
    else "". warnings: sentences. seconds: {"encode", "propose", "total"}.
    expected_dice: of the recommendation with what this user wants, as the model judges itself, or None where
    it does not.
    """

    recommendation: np.ndarray
    probability: np.ndarray
    candidates: tuple[Candidate, ...]
    feedback: Feedback
    area_mm2: float
    fewer_reason: str = ""
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] | None = None
    expected_dice: float | None = None

    def __repr__(self) -> str:
        shown = "; ".join(f"{n} {c.name}" for n, c in enumerate(self.candidates, start=1))
        return f"<Proposal of {self.area_mm2:.1f} mm2; {shown or self.fewer_reason}>"


@dataclass(frozen=True, eq=False)
class Answered:
    """A proposal and what the user said to it.

    picked: the index of the picked candidate; None where all were turned down. kept: they were, in favour of
    the recommendation: it is to stay, with others around it.
    """

    proposal: Proposal
    picked: int | None
    kept: bool = False


@dataclass(frozen=True, eq=False)
class Carried:
    """The object's mask on a neighbouring slice, brought onto this slice's pixels.

    mask: (H, W) float32 probabilities, 0.5 and above somewhere. A network with a plane for it sees it; any
    network gets the region that fits it. It may end in between, so the answer to a carried mask may be empty.
    """

    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Corrected:
    """What was on the screen when the newest point was placed.

    recommendation: (H, W) bool. probability: (H, W) float32. region: it was found in.
    """

    recommendation: np.ndarray
    probability: np.ndarray
    region: Region

    @classmethod
    def of(cls, proposal: Proposal) -> Corrected:
        """Of the proposal that was shown."""
        return cls(proposal.recommendation, proposal.probability, proposal.feedback.region)


@dataclass(frozen=True)
class UsualArea:
    """How large the objects are that a user means, as a normal distribution of the logarithm of their area.

    log_mm2: mean of log(area in mm2 of the slice). deviation: of it, above zero, what is not known included.
    """

    log_mm2: float
    deviation: float


@dataclass(frozen=True, eq=False)
class ProposalRequest:
    """Everything a proposal depends on; equal requests give equal proposals, bit for bit on one machine.

    image: the slice. points: at least one positive point, oldest first; with a carried mask the first is no
    user's but the mask's (`carried.carried_seed`), and nothing is made to hold there.
    answered: the proposals of this slice so far with the user's answers, oldest first.
    log_prior: (M,) float64 log-evidence over components a profile brings (zeros: none), or None.
    seed: of everything random. n_samples: N, or None for the model's own. carried: of a neighbouring slice.
    corrected: what the newest point corrects, if it is not the first and the last thing the user did; where
    its error is small, only what lies near the point changes (`inference/correcting.py`).
    alternatives: whether candidates are wanted; without them everything else is the same, and there sooner.
    usual_area: of the objects a profile was taught on; tells which is meant where a click lies in several.
    """

    image: SliceImage
    points: tuple[PointPrompt, ...]
    answered: tuple[Answered, ...] = ()
    log_prior: np.ndarray | None = None
    seed: int = 0
    n_samples: int | None = None
    carried: Carried | None = None
    corrected: Corrected | None = None
    alternatives: bool = True
    usual_area: UsualArea | None = None

    @property
    def placed(self) -> tuple[PointPrompt, ...]:
        """The points the user placed on this slice."""
        return self.points if self.carried is None else self.points[1:]

    @property
    def kept(self) -> Proposal | None:
        """The proposal whose recommendation is to stay; None where the user did not say so or a point placed
        since speaks against it."""
        if not self.answered or not self.answered[-1].kept:
            return None
        proposal = self.answered[-1].proposal
        held = all(proposal.recommendation[round(p.row), round(p.col)] == p.positive for p in self.placed)
        return proposal if held else None


@dataclass(frozen=True)
class ModelInfo:
    """Which model answers.

    hash: SHA-256 of its weights. components: M. trained_on: one sentence to show the user. modalities: DICOM
    words of what it was trained on. window: (low, high) intensities that were 0 and 1 in training, or None.
    """

    name: str
    hash: str
    components: int
    trained_on: str
    modalities: tuple[str, ...] = ()
    window: tuple[float, float] | None = None


class CancelToken(Protocol):
    """Asked between chunks of work; `threading.Event` fits."""

    def is_set(self) -> bool:
        """Whether the user cancelled."""


class Engine(Protocol):
    """Computes proposals, in this process or on a server."""

    @property
    def model(self) -> ModelInfo:
        """The model that answers."""

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """Answer one request.

        Raises InputError for images or points that cannot be segmented, Cancelled when `cancel` is set.
        """
