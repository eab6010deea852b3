"""The rivals without a distribution: one probability map for a request, cut at levels."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging import zoom
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.candidates import assemble, clean_mask
from SPASegmentLib.inference.checks import input_warnings
from SPASegmentLib.inference.correcting import corrected_near
from SPASegmentLib.inference.history import History
from SPASegmentLib.inference.local import LocalEngine
from SPASegmentLib.inference.messages import (
    CancelToken,
    Candidate,
    Feedback,
    ModelInfo,
    Proposal,
    ProposalRequest,
)
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.systems.level_sets import Interval, Levels, LevelSets, moved_to
from SPASegmentLib.research.training.rounds import SHOWN_LEVELS, even_levels


@dataclass(frozen=True)
class MapThresholds:
    """How a map is to be shown.

    level: of the recommendation. attempts: levels of candidates, the next ones tried where too few of the
    first are distinct. hypotheses: levels that stand for what raters may have drawn.
    """

    level: float
    attempts: tuple[Sequence[float], ...]
    hypotheses: Sequence[float]


class SingleMapEngine(LocalEngine):
    """A network without a distribution: looks at the same regions as SPA, then decides where to cut."""

    @torch.inference_mode()
    def _propose(self, request: ProposalRequest, cancel: CancelToken | None) -> Proposal:
        started = time.perf_counter()
        region = self._region(request, cancel)
        self._embed(request, region)
        encoded = time.perf_counter()
        cells = replace(region, grid=self.config.mask_grid)
        proposal = self._answer_map(request, cells, self._cells(request, region))
        done = time.perf_counter()
        seconds = {"encode": encoded - started, "propose": done - encoded, "total": done - started}
        return replace(proposal, seconds=seconds)

    @abstractmethod
    def _answer_map(self, request: ProposalRequest, region: Region, cells: np.ndarray) -> Proposal:
        """The proposal from the map (G', G') of the region, given in its cells."""

    def _cells(self, request: ProposalRequest, region: Region) -> np.ndarray:
        """The network's probabilities on the region's grid: (G', G') float32."""
        history = History(request, region, self.config, self.device)
        prepared = self.network.prepare(self._embed(request, region), history.interaction)
        distribution = prepared.distribution
        logits = self.network.decode_unscaled(prepared, distribution.means)[0] + history.point_logits
        weights = distribution.log_weights[0].exp()
        return np.asarray(torch.einsum("n,nij->ij", weights, logits.sigmoid()).cpu().numpy())

    def _show(
        self, request: ProposalRequest, region: Region, cells: np.ndarray, cut: MapThresholds
    ) -> tuple[Proposal, list[float]]:
        """The proposal, and the level of each of its candidates."""
        image = request.image
        on_slice = zoom.unsample(cells, region, image.shape, image.spacing)
        recommendation, _ = corrected_near(request, _outline(on_slice, cut.level, request), on_slice)
        candidates, levels, reason = self._shown(request, on_slice, recommendation, cut.attempts)
        hypotheses = np.asarray(cut.hypotheses, dtype=np.float64)[:, None, None]
        feedback = Feedback(
            region=region,
            samples=(cells[None] >= hypotheses).astype(np.uint8) * 255,
            components=np.zeros(len(hypotheses), dtype=np.int64),
            clusters=np.array([_bytes(moved_to(cells, level)) for level in levels], np.uint8).reshape(
                -1, *cells.shape
            ),
            recommendation=_bytes(moved_to(cells, cut.level)),
            log_shares=np.zeros((len(levels), self.config.components)),
        )
        proposal = Proposal(
            recommendation=recommendation,
            probability=moved_to(on_slice, cut.level),
            candidates=candidates,
            feedback=feedback,
            area_mm2=float(recommendation.sum() * image.spacing[0] * image.spacing[1]),
            fewer_reason=reason,
            warnings=(*input_warnings(request, self._info, region, recommendation), *self._device_warning),
        )
        return proposal, levels

    def _shown(
        self,
        request: ProposalRequest,
        on_slice: np.ndarray,
        recommendation: np.ndarray,
        attempts: Sequence[Sequence[float]],
    ) -> tuple[tuple[Candidate, ...], list[float], str]:
        """At most K distinct candidates and their levels, by the first attempt that has K of them."""
        rejected = [c.mask for a in request.answered if a.picked is None for c in a.proposal.candidates]
        best: tuple[tuple[Candidate, ...], list[float], str] = ((), [], "This model offers no alternatives.")
        for number, levels in enumerate(attempts):
            shown, reason = assemble(
                recommendation,
                [on_slice >= level for level in levels],
                [(1 - 1e-3 * index) / len(levels) for index in range(len(levels))],
                spacing=request.image.spacing,
                points=request.points,
                rejected=rejected,
                limit=self.config.candidates,
            )
            if number == 0 or len(shown) > len(best[0]):
                numbered = tuple(replace(c, cluster=k) for k, c in enumerate(shown))
                best = (numbered, [levels[c.cluster] for c in shown], reason)
            if len(shown) == self.config.candidates:
                break
        return best

    def _count(self, request: ProposalRequest) -> int:
        """N."""
        return request.n_samples or self.config.samples


class NoInteractionEngine(SingleMapEngine):
    """The baseline `no-interaction`: the map at 0.5, and nothing to pick from."""

    def _answer_map(self, request: ProposalRequest, region: Region, cells: np.ndarray) -> Proposal:
        return self._show(request, region, cells, MapThresholds(0.5, (), even_levels(self._count(request))))[
            0
        ]


def _outline(probability: np.ndarray, level: float, request: ProposalRequest) -> np.ndarray:
    """The level set, clean; at least the most likely spot around the seed. (H, W) bool."""
    peak = float(probability.max())
    for cut in (level, min(level, max(peak / 2, 0.025))):
        mask = clean_mask(probability >= cut, request.points)
        if mask.any():
            return mask
    mask = np.zeros(probability.shape, dtype=bool)
    seed = next(p for p in request.points if p.positive)
    mask[round(seed.row), round(seed.col)] = True
    return mask


def _bytes(probabilities: np.ndarray) -> np.ndarray:
    return np.round(probabilities * 255).astype(np.uint8)


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelFeedback(Feedback):
    """interval: levels possible when the candidates were shown; kept: what a pick of each leaves of it, and
    last what keeping the recommendation, of level `level`, does."""

    interval: Interval
    kept: tuple[Interval, ...]
    level: float


class LevelSetEngine(SingleMapEngine):
    """Bisection by picks. The network sees the points only, so its map is the same at every iteration.

    The recommendation is the level set in the middle of the levels still possible, the four candidates split
    them evenly. What is possible is read off the answered proposals; nothing is kept here.
    """

    def __init__(
        self, network: SPANetwork, info: ModelInfo, device: str = "auto", levels: Levels | None = None
    ) -> None:
        super().__init__(network, info, device)
        self.levels = levels or Levels()

    def _answer_map(self, request: ProposalRequest, region: Region, cells: np.ndarray) -> Proposal:
        level_sets = LevelSets(cells, self.levels)
        interval = self._possible(request) or level_sets.whole
        level = self._kept_level(request) or level_sets.middle(interval)
        count = self._count(request)
        share = (np.arange(count) + 0.5) / count
        cut = MapThresholds(
            level,
            (level_sets.split(interval, self.config.candidates), *level_sets.rungs(level)),
            list(interval.high + (interval.low - interval.high) * share),
        )
        proposal, shown = self._show(request, region, cells, cut)
        plain = {name: getattr(proposal.feedback, name) for name in Feedback.__dataclass_fields__}
        left = level_sets.kept(interval, [*shown, level])
        if shown:
            left = (*level_sets.kept(interval, shown), left[-1])
        feedback = LevelFeedback(**plain, interval=interval, kept=left, level=level)
        return replace(proposal, feedback=feedback)

    def _cells(self, request: ProposalRequest, region: Region) -> np.ndarray:
        """The map, from the points alone."""
        return super()._cells(replace(request, answered=()), region)

    def _possible(self, request: ProposalRequest) -> Interval | None:
        """What the user's answers leave; None before the first."""
        if not request.answered:
            return None
        last = request.answered[-1]
        feedback = last.proposal.feedback
        if not isinstance(feedback, LevelFeedback):
            raise InputError("These picks were made with another model; start the slice again.")
        if last.kept:
            return feedback.kept[-1]
        return feedback.interval if last.picked is None else feedback.kept[last.picked]

    @staticmethod
    def _kept_level(request: ProposalRequest) -> float | None:
        """The level of a recommendation that is to stay."""
        feedback = None if request.kept is None else request.kept.feedback
        return feedback.level if isinstance(feedback, LevelFeedback) else None


class MaskPromptEngine(SingleMapEngine):
    """The network sees what SPA's sees: the pick, what it was picked over, and the belief over level sets.

    The recommendation is its map at 0.5, the four candidates are the level sets it was trained with.
    """

    def _answer_map(self, request: ProposalRequest, region: Region, cells: np.ndarray) -> Proposal:
        attempts = (SHOWN_LEVELS, *LevelSets(cells).rungs(0.5))
        return self._show(
            request, region, cells, MapThresholds(0.5, attempts, even_levels(self._count(request)))
        )[0]
