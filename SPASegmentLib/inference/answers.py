"""From the network's samples to what is shown and remembered: by the posterior, or in the paper's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.candidates import (
    clean_mask,
    cluster,
    described,
    hold_points,
    outlined,
    select,
    worth_showing,
)
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.correcting import corrected_near
from SPASegmentLib.inference.history import History
from SPASegmentLib.inference.kmeans import inner_products
from SPASegmentLib.inference.messages import Candidate, Feedback, ProposalRequest, RegionSamples
from SPASegmentLib.inference.steering import steer
from SPASegmentLib.network.config import SPAConfig
from SPASegmentLib.network.mixture import log_shares


@dataclass(frozen=True, eq=False)
class ShownMasks:
    """What a proposal shows, and what it remembers for the next; see `Proposal`."""

    recommendation: np.ndarray
    probability: np.ndarray
    candidates: tuple[Candidate, ...]
    fewer_reason: str
    feedback: Feedback


def steered(
    request: ProposalRequest,
    history: History,
    samples: np.ndarray,
    components: np.ndarray,
    config: SPAConfig,
    *,
    log_weight: float = 0.0,
    others: tuple[RegionSamples, ...] = (),
) -> ShownMasks:
    """What the posterior over all hypotheses recommends, from N new samples.

    samples: (N, G, G) probabilities on the history's region. components: (N,) they were drawn from.
    log_weight, others: see `Feedback`.
    """
    region = history.region
    weights = history.sample_weights(samples)
    mean = np.tensordot(weights.astype(np.float32), samples, axes=1)
    fresh = RegionSamples(region, to_bytes(samples), np.log(np.maximum(weights, 1e-12)) + log_weight)
    found = steer(request, fresh, others, mean, config)
    maps = [one.probability for one in found.maps]
    regions = tuple(one.region for one in found.maps)
    here = [
        m if r == region else zoom.resample_between(m, r, region, request.image.spacing)
        for m, r in zip(maps, regions, strict=True)
    ]
    feedback = Feedback(
        region=found.recommended.region,
        samples=_on_region(samples, region, found.recommended.region, request),
        components=components,
        clusters=_stacked(maps, region.grid),
        recommendation=to_bytes(found.recommended.probability),
        log_shares=_shares(history, _stacked(here, region.grid) / 255, samples, components, config),
        cluster_regions=regions,
        log_weight=log_weight,
        others=others,
    )
    return ShownMasks(found.recommendation, found.probability, found.candidates, found.fewer_reason, feedback)


def clustered(
    request: ProposalRequest,
    history: History,
    samples: np.ndarray,
    components: np.ndarray,
    config: SPAConfig,
) -> ShownMasks:
    """The paper's way (Section 3.3): the samples' mean, and candidates by K-means. Arguments as `steered`."""
    image, region = request.image, history.region
    weights = history.sample_weights(samples)
    mean = np.tensordot(weights.astype(np.float32), samples, axes=1)
    if request.kept is not None:
        recommendation, probability = request.kept.recommendation, request.kept.probability
        mean = zoom.sample(probability, image.spacing, region)
    else:
        probability = zoom.unsample(mean, region, image.shape, image.spacing)
        found = outlined(probability, request)
        mask, probability = corrected_near(request, found, probability)
        recommendation = hold_points(mask, request, region)
        if mask is not found:
            mean = zoom.sample(probability, image.spacing, region)
    shown: tuple[Candidate, ...] = ()
    reason, centroids = "", samples[:0]
    if request.alternatives or request.answered:
        shown, reason, centroids = _candidates(request, history, samples, weights, recommendation, config)
    feedback = Feedback(
        region=region,
        samples=to_bytes(samples),
        components=components,
        clusters=to_bytes(centroids),
        recommendation=to_bytes(mean),
        log_shares=_shares(history, centroids, samples, components, config),
    )
    return ShownMasks(recommendation, probability, shown, reason, feedback)


def _candidates(
    request: ProposalRequest,
    history: History,
    samples: np.ndarray,
    weights: np.ndarray,
    recommendation: np.ndarray,
    config: SPAConfig,
) -> tuple[tuple[Candidate, ...], str, np.ndarray]:
    """At most K candidates, why fewer, and their probability maps (K', G', G').

    K clusters first; more of them while some turn out the same as the recommendation, as another or as
    one turned down before, so that fewer than K are shown only where the samples hold no more opinions.
    """
    image, region, k = request.image, history.region, config.candidates
    products, mean = inner_products(samples), np.tensordot(weights, samples, axes=1)
    cells = image.spacing[0] * image.spacing[1] / (region.size_mm / region.grid) ** 2
    for extra in DEFAULT.extra_clusters:
        labels, centroids = cluster(samples, weights, k + extra, request.seed, products)
        if 0 < extra < DEFAULT.extra_clusters[-1] and worth_showing(centroids, mean, cells) < k:
            continue
        masks = [
            hold_points(
                clean_mask(zoom.unsample(c, region, image.shape, image.spacing) >= 0.5, request.placed),
                request,
                region,
            )
            for c in centroids
        ]
        supports = [float(weights[labels == i].sum()) for i in range(len(centroids))]
        selection = select(recommendation, masks, supports, rejected=history.rejected, limit=k)
        if len(selection.kept) == k:
            break
    shown = described(recommendation, masks, selection, image.spacing)
    numbered = tuple(replace(c, cluster=i) for i, c in enumerate(shown))
    return numbered, selection.fewer_reason, centroids[list(selection.kept)]


def _shares(
    history: History,
    clusters: np.ndarray,
    samples: np.ndarray,
    components: np.ndarray,
    config: SPAConfig,
) -> np.ndarray:
    """Log P(pick k | component m), asked of the first proposal's samples, where components are styles.

    What a component means is fixed before the first pick; later samples stand around the pick. So a
    later pick is evidence through the question which candidate each first sample would have picked.
    """
    if history.first_samples is not None and history.first_components is not None:
        samples, components = history.first_samples, history.first_components
    if not len(clusters):
        return np.zeros((0, config.components))
    votes = _dice(samples, clusters >= 0.5).argmax(axis=1)
    return log_shares(
        components,
        votes,
        len(clusters),
        config.components,
        DEFAULT.error_rate,
        DEFAULT.prior_counts,
    )


def _on_region(samples: np.ndarray, own: Region, region: Region, request: ProposalRequest) -> np.ndarray:
    """Samples (N, G, G) brought to another region, as bytes."""
    if own != region:
        samples = np.stack(
            [zoom.resample_between(one, own, region, request.image.spacing) for one in samples]
        )
    return to_bytes(samples)


def _dice(samples: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(n, G, G) probabilities and (k, G, G) masks -> (n, k)."""
    a = samples.reshape(len(samples), -1).astype(np.float32)
    b = masks.reshape(len(masks), -1).astype(np.float32)
    total = a.sum(1)[:, None] + b.sum(1)[None]
    return 2 * (a @ b.T) / np.maximum(total, 1e-6)


def _stacked(maps: Sequence[np.ndarray], grid: int) -> np.ndarray:
    """(n, G, G) uint8 of n maps, which may be none."""
    return to_bytes(np.stack(maps)) if maps else np.zeros((0, grid, grid), np.uint8)


def to_bytes(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in 0 to 1 as uint8."""
    return np.round(probabilities * 255).astype(np.uint8)
