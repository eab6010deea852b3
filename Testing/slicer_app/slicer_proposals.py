"""Proposals for tests that need no network: discs of several sizes, with parts."""

from __future__ import annotations

import numpy as np

from SPASegmentLib.imaging.types import Region
from SPASegmentLib.inference.messages import Candidate, Description, Feedback, Proposal


def made_up_proposal(
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    spacing: tuple[float, float] = (1.0, 1.0),
    candidates: int = 4,
) -> Proposal:
    """Larger, larger on one side, smaller, and shifted: (H, W), centre (row, col), radius in mm."""
    rows, cols = np.indices(shape)
    y, x = (rows - centre[0]) * spacing[0], (cols - centre[1]) * spacing[1]
    recommended = y**2 + x**2 < radius**2
    masks = [
        y**2 + x**2 < (1.35 * radius) ** 2,
        recommended | ((y - 0.6 * radius) ** 2 + (x - 0.9 * radius) ** 2 < (0.6 * radius) ** 2),
        y**2 + x**2 < (0.7 * radius) ** 2,
        (y - 0.4 * radius) ** 2 + (x + 0.4 * radius) ** 2 < radius**2,
    ][:candidates]
    made = []
    for k, mask in enumerate(masks):
        added, removed = (mask & ~recommended).sum(), (recommended & ~mask).sum()
        pixel, whole = spacing[0] * spacing[1], max(int(recommended.sum()), 1)
        description = Description(
            f"candidate {k + 1}",
            "larger" if added >= removed else "smaller",
            float(mask.sum() * pixel),
            float(added * pixel),
            float(removed * pixel),
            float(100 * added / whole),
            float(100 * removed / whole),
            0.25,
        )
        made.append(Candidate(mask, description, k))
    nothing = np.zeros((0, 1, 1), np.uint8)
    feedback = Feedback(
        Region((0.0, 0.0), 1.0, 1), nothing, np.zeros(0, int), nothing, nothing, np.zeros((0, 1))
    )
    area = float(recommended.sum() * spacing[0] * spacing[1])
    return Proposal(recommended, recommended.astype(np.float32), tuple(made), feedback, area)
