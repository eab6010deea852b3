"""Growing a partial labelling with the product's own engine (after Wong et al., Section 2).

The paper's decoder proposes larger partial segmentations from samples of z. Here the samples are SPA's: each
is a whole mask of the object; those that contradict the labels lose their weight, and what a group of the
rest agrees on, near what is labelled already, is one larger partial labelling.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import PointPrompt, Region, SliceImage
from SPASegmentLib.inference.candidates import K, cluster, select
from SPASegmentLib.inference.messages import CancelToken, Engine, ProposalRequest
from SPASegmentLib.research.systems.partial.labels import BACKGROUND, FOREGROUND, UNKNOWN


@dataclass(frozen=True)
class Growth:
    """What one labelling adds to the one before it.

    name: short words for the user. foreground_mm2, background_mm2: areas labelled anew. support: share in
    [0, 1] of the network's samples behind it.
    """

    name: str
    foreground_mm2: float
    background_mm2: float
    support: float


@dataclass(frozen=True, eq=False)
class PartialCandidate:
    """One larger partial labelling. labels: (H, W) uint8 of UNKNOWN, FOREGROUND and BACKGROUND."""

    labels: np.ndarray
    growth: Growth


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of the network on a region's grid: (N, G, G) float32 probabilities."""

    region: Region
    maps: np.ndarray


@dataclass(frozen=True, eq=False)
class PartialProposal:
    """One iteration's answer: what the model would label next, and the alternatives.

    given: (H, W) uint8, what was grown. recommendation: the larger labelling all samples together support.
    candidates: at most K. fewer_reason: why fewer than K, else "". complete: nothing more can be added with
    certainty. samples: all so far, for the next iteration. warnings: sentences. seconds: of computing.
    """

    given: np.ndarray
    recommendation: PartialCandidate
    candidates: tuple[PartialCandidate, ...]
    samples: Samples
    fewer_reason: str = ""
    complete: bool = False
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class PartialRequest:
    """Everything a proposal depends on; equal requests give equal proposals, bit for bit on one machine.

    labels: (H, W) uint8 of the slice `image`. earlier: the last proposal's samples, or None. rejected:
    labellings turned down before. seed: of everything random. reach: mm a proposal may go beyond what is
    labelled, or None for a quarter of the object's width. certainty: share of samples that must agree.
    """

    image: SliceImage
    labels: np.ndarray
    earlier: Samples | None = None
    rejected: tuple[np.ndarray, ...] = ()
    seed: int = 0
    reach: float | None = None
    certainty: float = 0.9


FURTHER = 2
"""Points of each kind beyond the seed; the network was trained with few."""
NEAR = 0.75
"""Background points are sought within so many widths of the labelled foreground."""


def points_of(labels: np.ndarray) -> tuple[PointPrompt, ...]:
    """The seed first: the pixel deepest in the foreground; then points far apart, of both kinds.

    labels: (H, W) uint8. Raises SeedError where nothing is labelled as foreground.
    """
    foreground = labels == FOREGROUND
    if not foreground.any():
        raise SeedError("The labels have no foreground on this slice; mark a part of the object first.")
    depth = ndimage.distance_transform_edt(np.pad(foreground, 1))[1:-1, 1:-1]
    row, col = divmod(int(depth.argmax()), depth.shape[1])
    seed = (row, col)
    positive = _apart(np.argwhere(depth > 0.5 * depth.max()), [seed], FURTHER)
    distance = ndimage.distance_transform_edt(~foreground)
    width = np.sqrt(foreground.sum())
    near = (labels == BACKGROUND) & (distance <= max(NEAR * width, 4.0)) & (distance >= 2.0)
    negative = _apart(np.argwhere(near), [], FURTHER)
    points = [seed, *positive]
    return (
        *(PointPrompt(float(row), float(col)) for row, col in points),
        *(PointPrompt(float(row), float(col), False) for row, col in negative),
    )


def _apart(places: np.ndarray, taken: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Up to `count` of the places (n, 2), each the farthest from those before it and at least 3 pixels."""
    chosen: list[tuple[int, int]] = []
    reference = [np.array(place, float) for place in taken]
    for _ in range(min(count, len(places))):
        anchors = reference or [places.mean(axis=0)]
        distance = np.min([np.hypot(*(places - anchor).T) for anchor in anchors], axis=0)
        best = int(distance.argmax())
        if reference and distance[best] < 3.0:
            break
        chosen.append((int(places[best][0]), int(places[best][1])))
        reference.append(places[best].astype(float))
    return chosen


TEMPERATURE = 0.02
"""Softness, in shares of the object's area, of how much a contradiction costs a sample."""
KEPT = 144
"""Samples carried from proposal to proposal, the newest last."""
REACH = 0.25
"""Default reach, in widths of the object."""
EXTRA_CLUSTERS = (0, 2, 4)
"""Clusters beyond K tried in turn until K candidates are distinct."""


def grow(engine: Engine, request: PartialRequest, cancel: CancelToken | None = None) -> PartialProposal:
    """Propose larger partial labellings; each keeps every label that was given.

    Raises SeedError without any foreground label, InputError for labels that do not fit the image or a
    certainty outside (0.5, 1], and what the engine raises.
    """
    started = time.perf_counter()
    _check(request)
    points = points_of(request.labels)
    proposal = engine.propose(ProposalRequest(request.image, points, seed=request.seed), cancel)
    samples = _joined(proposal.feedback.samples, proposal.feedback.region, request)
    weights = sample_weights(samples, request.labels, request.image)
    found = _proposal(request, samples, weights)
    warnings = (*proposal.warnings, *_warnings(request, samples))
    return replace(found, warnings=warnings, seconds=time.perf_counter() - started)


def sample_weights(samples: Samples, labels: np.ndarray, image: SliceImage) -> np.ndarray:
    """(N,) normalised weights: exp(-(area of the sample that contradicts the labels, in objects) / T)."""
    foreground, background = (
        zoom.sample((labels == value).astype(np.float32), image.spacing, samples.region)
        for value in (FOREGROUND, BACKGROUND)
    )
    wrong = ((1 - samples.maps) * foreground + samples.maps * background).sum(axis=(1, 2))
    size = max(float(samples.maps.sum(axis=(1, 2)).mean()), float(foreground.sum()), 1.0)
    log = -wrong.astype(np.float64) / size / TEMPERATURE
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


def larger(probability: np.ndarray, request: PartialRequest, inside: np.ndarray, reach: float) -> np.ndarray:
    """(H, W) uint8: the labels and what is certain within reach of them.

    probability: (H, W) of the object. inside: (H, W) bool, where the network looked. reach: mm. Foreground is
    added within reach of foreground, background within reach of any foreground, the new one included.
    """
    labels, spacing = request.labels.copy(), request.image.spacing
    unknown = (labels == UNKNOWN) & inside
    near = _within(labels == FOREGROUND, reach, spacing)
    labels[unknown & near & (probability >= request.certainty)] = FOREGROUND
    near = _within(labels == FOREGROUND, reach, spacing)
    labels[unknown & near & (probability <= 1 - request.certainty)] = BACKGROUND
    return labels


def _proposal(request: PartialRequest, samples: Samples, weights: np.ndarray) -> PartialProposal:
    """Recommendation and candidates; the default reach doubles while nothing is added."""
    image = request.image
    inside = zoom.unsample(np.ones_like(samples.maps[0]), samples.region, image.shape, image.spacing) > 0.5
    mean = _on_slice(np.tensordot(weights.astype(np.float32), samples.maps, axes=1), request, samples)
    pixel = min(image.spacing)
    width = float(np.sqrt((mean >= 0.5).sum() * image.spacing[0] * image.spacing[1]))
    reach = max(2 * pixel, REACH * width) if request.reach is None else max(pixel, request.reach)
    while True:
        recommended = larger(mean, request, inside, reach)
        shown, supports, reason = _alternatives(request, samples, weights, recommended, inside, reach)
        grows = bool(shown) and not np.array_equal(recommended, request.labels)
        if grows or request.reach is not None or reach > samples.region.size_mm:
            break
        reach *= 2
    everything = [recommended, *shown]
    growths = _described(request, everything, [1.0, *supports])
    first, *rest = (
        PartialCandidate(labels, growth) for labels, growth in zip(everything, growths, strict=True)
    )
    complete = not shown and np.array_equal(recommended, request.labels)
    return PartialProposal(request.labels, first, tuple(rest), samples, reason, complete)


def _alternatives(
    request: PartialRequest,
    samples: Samples,
    weights: np.ndarray,
    recommended: np.ndarray,
    inside: np.ndarray,
    reach: float,
) -> tuple[list[np.ndarray], list[float], str]:
    """At most K labellings that differ from the recommended one, turned down ones and each other."""
    given = request.labels
    for extra in EXTRA_CLUSTERS:
        groups, centroids = cluster(samples.maps, weights, K + extra, request.seed)
        drawn = [larger(_on_slice(c, request, samples), request, inside, reach) for c in centroids]
        supports = [float(weights[groups == index].sum()) for index in range(len(drawn))]
        likely = [index for index, support in enumerate(supports) if support > 0.5 / len(weights)]
        drawn, supports = [drawn[i] for i in likely], [supports[i] for i in likely]
        selection = select(
            _planes(recommended, given),
            [_planes(labels, given) for labels in drawn],
            supports,
            rejected=[_planes(labels, given) for labels in request.rejected],
        )
        if len(selection.kept) == K:
            break
    return [drawn[i] for i in selection.kept], list(selection.supports), selection.fewer_reason


def _planes(labels: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(2 H, W) bool: foreground and background added to what was given, one above the other."""
    new = given == UNKNOWN
    return np.concatenate([(labels == FOREGROUND) & new, (labels == BACKGROUND) & new])


def _described(request: PartialRequest, drawn: list[np.ndarray], supports: list[float]) -> list[Growth]:
    """What each labelling adds, in numbers and in words against the first, the recommended one."""
    pixel, new = request.image.spacing[0] * request.image.spacing[1], request.labels == UNKNOWN
    found: list[Growth] = []
    for labels, support in zip(drawn, supports, strict=True):
        foreground = float((new & (labels == FOREGROUND)).sum() * pixel)
        background = float((new & (labels == BACKGROUND)).sum() * pixel)
        against = drawn[0]
        more = ((labels == FOREGROUND) & (against != FOREGROUND)).sum() * pixel
        less = ((labels != FOREGROUND) & (against == FOREGROUND)).sum() * pixel
        out = ((labels == BACKGROUND) & (against != BACKGROUND)).sum() * pixel
        found.append(Growth(_name(more, less, out), foreground, background, min(1.0, support)))
    return found


def _name(more: float, less: float, out: float) -> str:
    """Words for what differs from the recommendation, in mm2 of foreground more and less, background more."""
    if max(more, less, out) == 0:
        return "as recommended"
    if more >= max(less, out):
        return f"takes {more:.3g} mm2 more as object"
    if out >= less:
        return f"takes {out:.3g} mm2 more as background"
    return f"leaves {less:.3g} mm2 open"


def _joined(fresh: np.ndarray, region: Region, request: PartialRequest) -> Samples:
    """The engine's new samples after the earlier ones, all on the new region."""
    maps = fresh.astype(np.float32) / 255
    earlier = request.earlier
    if earlier is None:
        return Samples(region, maps)
    old = earlier.maps
    if earlier.region != region:
        old = np.stack([zoom.resample_between(m, earlier.region, region, request.image.spacing) for m in old])
    return Samples(region, np.concatenate([old, maps])[-KEPT:])


def _on_slice(cells: np.ndarray, request: PartialRequest, samples: Samples) -> np.ndarray:
    return zoom.unsample(cells, samples.region, request.image.shape, request.image.spacing)


def _within(mask: np.ndarray, reach: float, spacing: tuple[float, float]) -> np.ndarray:
    """(H, W) bool: no further than `reach` mm from the mask."""
    if not mask.any():
        return np.zeros_like(mask)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) <= reach)


def _check(request: PartialRequest) -> None:
    if request.labels.shape != request.image.shape:
        raise InputError("The labels do not have the shape of the slice; draw them on this image.")
    if not 0.5 < request.certainty <= 1:
        raise InputError(f"A certainty of {request.certainty:g} cannot be; give one above 0.5, at most 1.")
    if request.reach is not None and not request.reach > 0:
        raise InputError(f"A reach of {request.reach:g} mm cannot be; give more than 0.")


def _warnings(request: PartialRequest, samples: Samples) -> tuple[str, ...]:
    """What the user should know of labels the model did not see."""
    image = request.image
    inside = zoom.unsample(np.ones_like(samples.maps[0]), samples.region, image.shape, image.spacing) > 0.5
    foreground = request.labels == FOREGROUND
    if (foreground & ~inside).sum() <= 0.05 * foreground.sum():
        return ()
    return (
        "Some of the foreground labels lie outside the part the model looks at; it grows the others only.",
    )
