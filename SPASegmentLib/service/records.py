"""The records of the protocol: what is read by each, field by field. Unknown fields are refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from SPASegmentLib.service.wire import ArrayRecord, WireRecord

LARGEST_GRID = 1024
"""Cells of a region along one side."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**40)]
Sentence = Annotated[str, StringConstraints(max_length=2000)]
Sentences = Annotated[tuple[Sentence, ...], Field(max_length=200)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Length = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
"""Millimetres."""


class PointWire(WireRecord):
    """`PointPrompt`."""

    row: Number
    col: Number
    positive: bool
    size_mm: Length | None


class RegionWire(WireRecord):
    """`Region`."""

    centre: tuple[
        Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)],
        Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)],
    ]
    size_mm: Length
    grid: Annotated[int, Field(ge=1, le=LARGEST_GRID)]


class SliceWire(WireRecord):
    """`SliceImage`."""

    pixels: ArrayRecord
    spacing: tuple[Length, Length]
    modality: Annotated[str, StringConstraints(max_length=64)] | None
    warnings: Sentences
    neighbours: Annotated[tuple[ArrayRecord | None, ...], Field(max_length=64)]


class DescriptionWire(WireRecord):
    """`Description`."""

    name: Sentence
    kind: Sentence
    area_mm2: float
    added_mm2: float
    removed_mm2: float
    added_percent: float
    removed_percent: float
    support: float


class CandidateWire(WireRecord):
    """`Candidate`."""

    mask: ArrayRecord
    description: DescriptionWire
    cluster: Count


class RegionSamplesWire(WireRecord):
    """`RegionSamples`."""

    region: RegionWire
    samples: ArrayRecord
    log_weights: ArrayRecord


class FeedbackWire(WireRecord):
    """`Feedback`."""

    region: RegionWire
    samples: ArrayRecord
    components: ArrayRecord
    clusters: ArrayRecord
    recommendation: ArrayRecord
    log_shares: ArrayRecord
    cluster_regions: Annotated[tuple[RegionWire, ...], Field(max_length=64)]
    log_weight: float
    others: Annotated[tuple[RegionSamplesWire, ...], Field(max_length=64)]


class CarriedWire(WireRecord):
    """`Carried`."""

    mask: ArrayRecord


class CorrectedWire(WireRecord):
    """`Corrected`."""

    recommendation: ArrayRecord
    probability: ArrayRecord
    region: RegionWire


class ProposalWire(WireRecord):
    """`Proposal`."""

    recommendation: ArrayRecord
    probability: ArrayRecord
    candidates: Annotated[tuple[CandidateWire, ...], Field(max_length=64)]
    feedback: FeedbackWire
    area_mm2: float
    fewer_reason: Sentence
    warnings: Sentences
    seconds: Annotated[dict[Sentence, float], Field(max_length=50)] | None
    expected_dice: float | None


class AnsweredWire(WireRecord):
    """`Answered`."""

    proposal: ProposalWire
    picked: Annotated[int, Field(ge=0, le=63)] | None
    kept: bool = False


class UsualAreaWire(WireRecord):
    """`UsualArea`."""

    log_mm2: Number
    deviation: Length


class RequestWire(WireRecord):
    """`ProposalRequest`; of the image its identity."""

    image: Digest
    points: Annotated[tuple[PointWire, ...], Field(min_length=1, max_length=1000)]
    answered: Annotated[tuple[AnsweredWire, ...], Field(max_length=200)]
    log_prior: ArrayRecord | None
    seed: Annotated[int, Field(ge=0, lt=2**64)]
    n_samples: Annotated[int, Field(ge=1, le=1024)] | None
    carried: CarriedWire | None
    corrected: CorrectedWire | None
    alternatives: bool = True
    usual_area: UsualAreaWire | None = None


class AskedWire(WireRecord):
    """A request to a server.

    model: hash of the model asked. slice: the image's bytes, where they are sent along.
    """

    model: Digest
    slice: ArrayRecord | None
    request: RequestWire


class ModelWire(WireRecord):
    """`ModelInfo`."""

    name: Annotated[str, StringConstraints(max_length=200)]
    hash: Digest
    components: Annotated[int, Field(ge=1, le=4096)]
    trained_on: Sentence
    modalities: Annotated[tuple[Sentence, ...], Field(max_length=100)]
    window: tuple[Number, Number] | None


class MixtureWire(WireRecord):
    """`Mixture`."""

    log_weights: ArrayRecord
    means: ArrayRecord
    variances: ArrayRecord
