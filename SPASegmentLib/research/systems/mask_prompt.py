"""`mask-prompt`: the pick is fed back as a mask prompt, but there is no distribution to draw from."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.messages import Proposal, ProposalRequest
from SPASegmentLib.research.systems.level_sets import LevelSets
from SPASegmentLib.research.systems.single_map import MapThresholds, SingleMapEngine
from SPASegmentLib.research.training.rounds import SHOWN_LEVELS, even_levels


class MaskPromptEngine(SingleMapEngine):
    """The network sees what SPA's sees: the pick, what it was picked over, and the belief over level sets.

    The recommendation is its map at 0.5, the four candidates are the level sets it was trained with.
    """

    def _answer_map(self, request: ProposalRequest, region: Region, cells: np.ndarray) -> Proposal:
        attempts = (SHOWN_LEVELS, *LevelSets(cells).rungs(0.5))
        return self._show(
            request, region, cells, MapThresholds(0.5, attempts, even_levels(self._count(request)))
        )[0]
