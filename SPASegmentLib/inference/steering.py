"""From samples, and all the user has answered, to what is shown next (`Posterior`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import PointPrompt, Region
from SPASegmentLib.inference.candidates import clean_mask, described, hold_points, outlined, select
from SPASegmentLib.inference.choices import RegionMap, alternatives, best_expected, supports
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.correcting import corrected_near
from SPASegmentLib.inference.hypotheses import Hypotheses, Masks
from SPASegmentLib.inference.messages import (
    Answered,
    Candidate,
    Feedback,
    Proposal,
    ProposalRequest,
    RegionSamples,
)
from SPASegmentLib.inference.posterior import Answer, PointTest, Posterior
from SPASegmentLib.network.config import SPAConfig

EXTRA = 4
"""Alternatives chosen beyond K: on the slice's pixels some turn out the same, or turned down before."""


@dataclass(frozen=True, eq=False)
class Steered:
    """What is shown. recommended, candidates' maps: as they are remembered for the next request."""

    recommendation: np.ndarray
    probability: np.ndarray
    recommended: RegionMap
    candidates: tuple[Candidate, ...]
    maps: tuple[RegionMap, ...]
    fewer_reason: str


def steer(
    request: ProposalRequest,
    fresh: RegionSamples,
    others: tuple[RegionSamples, ...],
    mean: np.ndarray,
    config: SPAConfig,
) -> Steered:
    """The recommendation and its alternatives.

    fresh: the network's samples of this request. others: of regions in which other objects may be meant, with
    weights that compare to those of `fresh`; used before the first answer and remembered from there on.
    mean: (G, G) probability of the network's recommendation, on the region of `fresh`.
    """
    if not (request.alternatives or request.answered):
        best, mask, probability = _recommendation(RegionMap(fresh.region, mean, 0.5), request)
        return Steered(mask, probability, best, (), (), "")
    hypotheses = _hypotheses(_pools(request, fresh, others), request, config)
    posterior = Posterior(hypotheses, np.random.default_rng((request.seed, 2)), DEFAULT.close_enough)
    points = [_point_test(point, hypotheses) for point in request.points[1:]]
    told = [answer for answer in request.answered if answer.kept or answer.proposal.candidates]
    posterior.update([_answer(answer, hypotheses) for answer in told], points)
    if request.kept is not None:
        before = request.kept
        best = _recommended(before, hypotheses)
        shown = _with_candidates(
            request, posterior, best, before.recommendation, before.probability, config.candidates
        )
        remembered = before.feedback.recommendation / np.float32(255)
        return replace(shown, recommended=RegionMap(before.feedback.region, remembered, 0.5))
    best = best_expected(posterior) if request.answered else RegionMap(fresh.region, mean, 0.5)
    return _with_candidates(request, posterior, *_recommendation(best, request), config.candidates)


def _recommendation(best: RegionMap, request: ProposalRequest) -> tuple[RegionMap, np.ndarray, np.ndarray]:
    """What is recommended as a map, (H, W) bool, and the probability it was cut from."""
    probability = _on_slice(best, request)
    found = outlined(probability, request, best.cut)
    mask, probability = corrected_near(request, found, probability)
    if mask is not found:
        best = replace(best, probability=zoom.sample(probability, request.image.spacing, best.region))
    return best, hold_points(mask, request, best.region), probability


def likeliest_region(request: ProposalRequest, pools: Sequence[RegionSamples], config: SPAConfig) -> int:
    """The index of the region whose hypotheses the user's points speak for most."""
    hypotheses = _hypotheses(pools, request, config)
    posterior = Posterior(hypotheses, np.random.default_rng((request.seed, 4)), DEFAULT.close_enough)
    posterior.update([], [_point_test(point, hypotheses) for point in request.points])
    owners = hypotheses.owner[posterior.particles.samples]
    return int(np.bincount(owners, minlength=len(pools)).argmax())


def _hypotheses(pools: Sequence[RegionSamples], request: ProposalRequest, config: SPAConfig) -> Hypotheses:
    return Hypotheses(pools, request.image.spacing, config.harmonics, config.prior_deviations)


def _with_candidates(
    request: ProposalRequest,
    posterior: Posterior,
    best: RegionMap,
    recommendation: np.ndarray,
    probability: np.ndarray,
    limit: int,
) -> Steered:
    hypotheses, plain = posterior.hypotheses, not request.answered
    rng = np.random.default_rng((request.seed, 3))
    before = [_clusters(a.proposal.feedback) for a in request.answered if a.kept]
    shown_already = _masks([best, *(one for maps in before for one in maps)], hypotheses)
    maps = alternatives(posterior, shown_already, limit + EXTRA, rng, plain)
    masks = [
        hold_points(clean_mask(_on_slice(one, request) >= one.cut, request.placed), request, one.region)
        for one in maps
    ]
    order = [float(len(maps) - index) for index in range(len(maps))]
    rejected = [c.mask for a in request.answered if a.picked is None for c in a.proposal.candidates]
    selection = select(
        recommendation,
        masks,
        order,
        rejected=rejected,
        limit=limit,
        distinct_share=DEFAULT.visible_share,
        piece_share=DEFAULT.piece_share,
        in_pieces=plain,
    )
    kept = [maps[index] for index in selection.kept]
    backing = supports(posterior, _masks([*kept, best], hypotheses))[: len(kept)] if kept else ()
    selection = replace(selection, supports=tuple(float(share) for share in backing))
    shown = described(recommendation, masks, selection, request.image.spacing)
    numbered = tuple(replace(candidate, cluster=index) for index, candidate in enumerate(shown))
    return Steered(recommendation, probability, best, numbered, tuple(kept), selection.fewer_reason)


def _pools(
    request: ProposalRequest, fresh: RegionSamples, others: tuple[RegionSamples, ...]
) -> list[RegionSamples]:
    """This request's samples and, after an answer, those of the click it began with."""
    if not request.answered:
        return [fresh, *others]
    first = request.answered[0].proposal.feedback
    own = np.full(len(first.samples), first.log_weight - np.log(len(first.samples)))
    before = [RegionSamples(first.region, first.samples, own), *first.others]
    return [*_scaled([fresh], DEFAULT.fresh_share), *_scaled(before, 1 - DEFAULT.fresh_share)]


def _scaled(pools: list[RegionSamples], total: float) -> list[RegionSamples]:
    """With weights that sum to `total`."""
    everything = np.logaddexp.reduce(np.concatenate([pool.log_weights for pool in pools]))
    return [replace(p, log_weights=p.log_weights - everything + np.log(total)) for p in pools]


def _answer(answer: Answered, hypotheses: Hypotheses) -> Answer:
    """Keeping the recommendation is a pick among it and the candidates."""
    maps = _clusters(answer.proposal.feedback)
    if not answer.kept:
        return Answer(_masks(maps, hypotheses), answer.picked)
    return Answer(_masks([*maps, _recommended(answer.proposal, hypotheses)], hypotheses), len(maps))


def _clusters(feedback: Feedback) -> list[RegionMap]:
    grid = feedback.clusters.shape[-1]
    return [
        RegionMap(replace(feedback.on_region(k), grid=grid), cells, 128)
        for k, cells in enumerate(feedback.clusters)
    ]


def _recommended(proposal: Proposal, hypotheses: Hypotheses) -> RegionMap:
    """The recommendation as it was shown, on its region's grid."""
    region = replace(proposal.feedback.region, grid=proposal.feedback.recommendation.shape[-1])
    cells = zoom.sample(proposal.recommendation.astype(np.float32), hypotheses.spacing, region)
    return RegionMap(region, cells, 0.5)


def _masks(maps: list[RegionMap], hypotheses: Hypotheses) -> Masks:
    return hypotheses.masks_on(
        np.stack([one.probability >= one.cut for one in maps]), [one.region for one in maps]
    )


def _on_slice(one: RegionMap, request: ProposalRequest) -> np.ndarray:
    return zoom.unsample(one.probability, one.region, request.image.shape, request.image.spacing)


def _point_test(point: PointPrompt, hypotheses: Hypotheses) -> PointTest:
    cells: list[int | None] = []
    for region in hypotheses.regions:
        cells.append(_cell_under(point, region, hypotheses.spacing))
    return PointTest(tuple(cells), point.positive)


def _cell_under(point: PointPrompt, region: Region, spacing: tuple[float, float]) -> int | None:
    row, col = np.round(zoom.to_grid(np.array([[point.row, point.col]]), region, spacing)[0]).astype(int)
    return int(row * region.grid + col) if min(row, col) >= 0 and max(row, col) < region.grid else None
