"""What is recommended where the user has shown more than a point: a mask that is there, or a box.

A mask is recommended itself, beside the model's alternatives; of a box the mask that fills it best.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from SPASegmentLib.imaging import zoom
from SPASegmentLib.inference.describe import describe_all
from SPASegmentLib.inference.messages import Proposal


def recommending(proposal: Proposal, mask: np.ndarray, spacing: tuple[float, float]) -> Proposal:
    """The proposal with a mask recommended instead, and its candidates described against that mask.

    mask: (H, W) bool. spacing: (row, col) mm. A candidate that is the mask itself is left out.
    """
    others = [one for one in proposal.candidates if not np.array_equal(one.mask, mask)]
    supports = [one.description.support for one in others]
    words = describe_all(mask, [one.mask for one in others], supports, spacing)
    given = proposal.feedback
    on_region = zoom.sample_mask(mask, spacing, given.region)
    feedback = replace(given, recommendation=np.where(on_region, 255, 0).astype(np.uint8))
    return replace(
        proposal,
        recommendation=mask,
        candidates=tuple(replace(one, description=d) for one, d in zip(others, words, strict=True)),
        feedback=feedback,
        area_mm2=float(mask.sum() * spacing[0] * spacing[1]),
        expected_dice=None,
    )


FITS_BETTER = 0.1
"""By how much a candidate's side must lie closer to a box's, as a share, to be recommended instead."""


def filling(proposal: Proposal, size_mm: float, spacing: tuple[float, float]) -> Proposal:
    """The proposal with that candidate recommended whose box is plainly more like the user's, if one is.

    size_mm: the longer side of the user's box. spacing: (row, col) mm.
    """

    def fit(mask: np.ndarray) -> float:
        hits = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
        if not len(hits[0]):
            return 0.0
        side = max((hit[-1] - hit[0] + 1) * step for hit, step in zip(hits, spacing, strict=True))
        return float(min(side, size_mm) / max(side, size_mm))

    best = max(proposal.candidates, key=lambda one: fit(one.mask), default=None)
    if best is None or fit(best.mask) < fit(proposal.recommendation) + FITS_BETTER:
        return proposal
    return recommending(proposal, best.mask, spacing)
