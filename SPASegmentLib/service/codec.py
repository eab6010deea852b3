"""Slices, requests and proposals as bytes of the protocol, and back with every value checked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields, replace

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage
from SPASegmentLib.inference.messages import (
    Answered,
    Candidate,
    Carried,
    Corrected,
    Description,
    Feedback,
    ModelInfo,
    Proposal,
    ProposalRequest,
    RegionSamples,
    UsualArea,
)
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.service.records import (
    AnsweredWire,
    AskedWire,
    CandidateWire,
    CarriedWire,
    CorrectedWire,
    DescriptionWire,
    FeedbackWire,
    MixtureWire,
    ModelWire,
    PointWire,
    ProposalWire,
    RegionSamplesWire,
    RegionWire,
    RequestWire,
    SliceWire,
    UsualAreaWire,
)
from SPASegmentLib.service.wire import ArrayRecord, Arrays, WireError, WireRecord, pack, unpack

LARGEST_SIDE = 16_384

DICOM_WORD = re.compile(r"[A-Z0-9_ ]{1,16}")

FORMS: tuple[tuple[type, type[WireRecord]], ...] = (
    (PointPrompt, PointWire),
    (Region, RegionWire),
    (SliceImage, SliceWire),
    (Description, DescriptionWire),
    (Candidate, CandidateWire),
    (Feedback, FeedbackWire),
    (RegionSamples, RegionSamplesWire),
    (Carried, CarriedWire),
    (Corrected, CorrectedWire),
    (Proposal, ProposalWire),
    (Answered, AnsweredWire),
    (ProposalRequest, RequestWire),
    (UsualArea, UsualAreaWire),
    (ModelInfo, ModelWire),
    (Mixture, MixtureWire),
)
"""What of ours is read by which record; both have the same fields."""


# Slices


def encode_image(image: SliceImage) -> bytes:
    """A slice as bytes; equal slices give equal bytes. Its identity on a server is their SHA-256."""
    return pack("slice", image, crop=False)


def identity(data: bytes) -> str:
    """SHA-256 (hex) of a slice's bytes."""
    return hashlib.sha256(data).hexdigest()


def decode_image(data: bytes) -> SliceImage:
    """A slice of its bytes. Raises WireError for anything else.

    Whether it can be segmented is for the engine to say.
    """
    record, arrays = unpack("slice", data, SliceWire)
    pixels = _plane(arrays, record.pixels, "pixels")
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise WireError(f"A slice must be (H, W) or (H, W, 3), not {pixels.shape}.")
    if not 0 < min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= LARGEST_SIDE:
        raise WireError(f"A slice of {pixels.shape[:2]} pixels is not taken.")
    neighbours = tuple(
        None if place is None else arrays.take(place, "neighbours", ("float32",), pixels.shape)
        for place in record.neighbours
    )
    if len(neighbours) % 2:
        raise WireError("A slice must have as many neighbours before as after it.")
    arrays.check_used()
    return SliceImage(pixels, record.spacing, record.modality, record.warnings, neighbours)


def _plane(arrays: Arrays, place: ArrayRecord, what: str) -> np.ndarray:
    """An array of two axes, or of three for colour."""
    rank = 3 if arrays.rank(place) == 3 else 2
    return arrays.take(place, what, ("float32",), (None,) * rank)


# Requests


@dataclass(frozen=True, eq=False)
class Asked:
    """A request as it came. model: hash. image: identity. slice: the image's bytes, where they came along."""

    model: str
    image: str
    slice: bytes | None
    record: RequestWire
    arrays: Arrays

    def request(self, image: SliceImage, components: int) -> ProposalRequest:
        """The request on its image; may be called once. components: M of the model.

        Raises WireError where anything in it does not fit the image or the model.
        """
        record, arrays = self.record, self.arrays
        prior, carried, area = record.log_prior, record.carried, record.usual_area
        request = ProposalRequest(
            image=image,
            points=tuple(PointPrompt(p.row, p.col, p.positive, p.size_mm) for p in record.points),
            answered=tuple(_answered(a, arrays, image.shape, components) for a in record.answered),
            log_prior=None if prior is None else arrays.take(prior, "log_prior", ("float64",), (None,)),
            seed=record.seed,
            n_samples=record.n_samples,
            carried=None if carried is None else _carried(carried, arrays, image.shape),
            corrected=None if record.corrected is None else _corrected(record.corrected, arrays, image.shape),
            alternatives=record.alternatives,
            usual_area=None if area is None else UsualArea(area.log_mm2, area.deviation),
        )
        arrays.check_used()
        return request


def encode_request(request: ProposalRequest, model: str, image: str, slice_bytes: bytes | None) -> bytes:
    """A request for a model (hash) on an image (identity), with the image's bytes or without.

    Raises InputError where a request is not one that a server takes.
    """
    sent = None if slice_bytes is None else np.frombuffer(slice_bytes, np.uint8)
    named = {field.name: getattr(request, field.name) for field in fields(request)} | {"image": image}
    body = {"model": model, "slice": sent, "request": named}
    try:
        return pack("request", body)
    except (TypeError, ValueError) as error:
        raise InputError(f"This request cannot be sent to a server: {error}.") from error


def decode_request(data: bytes) -> Asked:
    """The request of its bytes. Raises WireError for anything else; see `Asked.request` for the rest."""
    record, arrays = unpack("request", data, AskedWire)
    sent = None
    if record.slice is not None:
        sent = arrays.take(record.slice, "slice", ("uint8",), (None,)).tobytes()
    return Asked(record.model, record.request.image, sent, record.request, arrays)


def _answered(record: AnsweredWire, arrays: Arrays, shape: tuple[int, int], components: int) -> Answered:
    proposal = _proposal(record.proposal, arrays, shape, components)
    if record.picked is not None and record.picked >= len(proposal.feedback.clusters):
        raise WireError(f"The candidate {record.picked} was picked where there is none of that number.")
    return Answered(proposal, record.picked, kept=record.kept)


# Proposals


def encode_proposal(proposal: Proposal) -> bytes:
    """A proposal as bytes."""
    return pack("proposal", proposal)


def decode_proposal(data: bytes, shape: tuple[int, int], components: int) -> Proposal:
    """A proposal for an image of that shape by a model of M components.

    Raises WireError for anything else.
    """
    record, arrays = unpack("proposal", data, ProposalWire)
    proposal = _proposal(record, arrays, shape, components)
    arrays.check_used()
    return proposal


def _proposal(record: ProposalWire, arrays: Arrays, shape: tuple[int, int], components: int) -> Proposal:
    feedback = _feedback(record.feedback, arrays, components)
    shown = tuple(
        Candidate(
            mask=arrays.take(c.mask, "mask", ("bool",), shape),
            description=Description(**c.description.model_dump()),
            cluster=c.cluster,
        )
        for c in record.candidates
    )
    if any(c.cluster >= len(feedback.clusters) for c in shown):
        raise WireError("A candidate is of a cluster that is not there.")
    return Proposal(
        recommendation=arrays.take(record.recommendation, "recommendation", ("bool",), shape),
        probability=arrays.take(record.probability, "probability", ("float32",), shape),
        candidates=shown,
        feedback=feedback,
        area_mm2=record.area_mm2,
        fewer_reason=record.fewer_reason,
        warnings=record.warnings,
        seconds=record.seconds,
        expected_dice=record.expected_dice,
    )


def _feedback(record: FeedbackWire, arrays: Arrays, components: int) -> Feedback:
    region, samples = _samples(record, arrays)
    drawn = arrays.take(record.components, "components", ("int32", "int64"), (len(samples),))
    if drawn.min() < 0 or drawn.max() >= components:
        raise WireError("A sample is of a component that the model has not.")
    grid = (region.grid, region.grid)
    clusters = arrays.take(record.clusters, "clusters", ("uint8",), (None, *grid))
    regions = tuple(Region(**each.model_dump()) for each in record.cluster_regions)
    if len(regions) not in (0, len(clusters)) or any(each.grid != region.grid for each in regions):
        raise WireError("The regions of the clusters do not fit the clusters.")
    if np.isnan(record.log_weight):
        raise WireError("The weight of a region is no number.")
    return Feedback(
        region=region,
        samples=samples,
        components=drawn,
        clusters=clusters,
        recommendation=arrays.take(record.recommendation, "recommendation", ("uint8",), grid),
        log_shares=arrays.take(record.log_shares, "log_shares", ("float64",), (len(clusters), components)),
        cluster_regions=regions,
        log_weight=record.log_weight,
        others=tuple(_region_samples(each, arrays) for each in record.others),
    )


def _region_samples(record: RegionSamplesWire, arrays: Arrays) -> RegionSamples:
    region, samples = _samples(record, arrays)
    weights = arrays.take(record.log_weights, "log_weights", ("float64",), (len(samples),))
    return RegionSamples(region, samples, weights)


def _samples(record: FeedbackWire | RegionSamplesWire, arrays: Arrays) -> tuple[Region, np.ndarray]:
    """A region and the samples on its grid."""
    region = Region(**record.region.model_dump())
    samples = arrays.take(record.samples, "samples", ("uint8",), (None, region.grid, region.grid))
    if not 1 <= len(samples) <= 1024:
        raise WireError(f"There must be 1 to 1024 samples, not {len(samples)}.")
    return region, samples


def _carried(record: CarriedWire, arrays: Arrays, shape: tuple[int, int]) -> Carried:
    mask = arrays.take(record.mask, "carried", ("float32",), shape)
    if not (np.isfinite(mask).all() and mask.min() >= 0 and mask.max() <= 1 and mask.max() >= 0.5):
        raise WireError("A carried mask must hold probabilities, 0.5 and above somewhere.")
    return Carried(mask)


def _corrected(record: CorrectedWire, arrays: Arrays, shape: tuple[int, int]) -> Corrected:
    return Corrected(
        arrays.take(record.recommendation, "corrected", ("bool",), shape),
        arrays.take(record.probability, "corrected", ("float32",), shape),
        Region(**record.region.model_dump()),
    )


# Models


def encode_mixture(mixture: Mixture) -> bytes:
    """A model's mixture as bytes."""
    return pack("mixture", mixture)


def decode_mixture(data: bytes) -> Mixture:
    """A model's mixture of its bytes. Raises WireError for anything else."""
    record, arrays = unpack("mixture", data, MixtureWire)
    try:
        found = Mixture(
            log_weights=arrays.take(record.log_weights, "log_weights", ("float64",), (None,)),
            means=arrays.take(record.means, "means", ("float64",), (None, None)),
            variances=arrays.take(record.variances, "variances", ("float64",), (None, None)),
        )
    except InputError as error:
        raise WireError(str(error)) from error
    arrays.check_used()
    return found


# What stays at home


def without_words(request: ProposalRequest) -> ProposalRequest:
    """The request without sentences about files and images, which a server has no use for.

    What is left of the image is pixels, spacing and a modality as DICOM writes it.
    """
    image = replace(request.image, warnings=(), modality=_dicom_word(request.image.modality))
    answered = tuple(replace(a, proposal=replace(a.proposal, warnings=())) for a in request.answered)
    return replace(request, image=image, answered=answered)


def _dicom_word(modality: str | None) -> str | None:
    """The modality where it is a word as DICOM writes them; else None, as free text may name a person."""
    return modality if modality is not None and DICOM_WORD.fullmatch(modality) else None
