"""Going on from a mask that is there already: it is recommended first, beside the model's alternatives."""

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
