"""`level-set`: one deterministic network, level sets of its map as candidates; a pick bisects the level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.messages import Feedback, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.network.spa import SPANetwork
from SPASegmentLib.research.systems.level_sets import Interval, Levels, LevelSets
from SPASegmentLib.research.systems.single_map import MapThresholds, SingleMapEngine


@dataclass(frozen=True, eq=False)
class LevelFeedback(Feedback):
    """interval: levels possible when the candidates were shown; kept: what a pick of each leaves of it."""

    interval: Interval
    kept: tuple[Interval, ...]


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
        level = level_sets.middle(interval)
        count = self._count(request)
        share = (np.arange(count) + 0.5) / count
        cut = MapThresholds(
            level,
            (level_sets.split(interval, self.config.candidates), *level_sets.rungs(level)),
            list(interval.high + (interval.low - interval.high) * share),
        )
        proposal, shown = self._show(request, region, cells, cut)
        plain = {name: getattr(proposal.feedback, name) for name in Feedback.__dataclass_fields__}
        feedback = LevelFeedback(**plain, interval=interval, kept=level_sets.kept(interval, shown))
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
        return feedback.interval if last.picked is None else feedback.kept[last.picked]
