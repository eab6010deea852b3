"""Colours of new segments: one order, told apart by colour-blind people, none of them an overlay's."""

from __future__ import annotations

from typing import Any

COLOURS = (
    (0.0, 0.62, 0.45),  # Okabe and Ito's, without those of the recommendation, of additions and of removals
    (0.80, 0.47, 0.65),
    (0.0, 0.45, 0.70),
    (0.60, 0.60, 0.60),
)


def add_segment(segmentation: Any, name: str) -> str:
    """Add an empty segment to a vtkSegmentation, in the colour next in order; returns its ID.

    Left to Slicer the colour is drawn by chance wherever no terminology is loaded.
    """
    colour = COLOURS[segmentation.GetNumberOfSegments() % len(COLOURS)]
    return str(segmentation.AddEmptySegment("", name, colour))
