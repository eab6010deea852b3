"""Colours of new segments: one order, told apart by colour-blind people, none of them an overlay's."""

from __future__ import annotations

from typing import Any

from SPASegmentLib.imaging.segments import COLOURS


def add_segment(segmentation: Any, name: str) -> str:
    """Add an empty segment to a vtkSegmentation, in the colour next in order; returns its ID.

    Left to Slicer the colour is drawn by chance wherever no terminology is loaded.
    """
    colour = COLOURS[segmentation.GetNumberOfSegments() % len(COLOURS)]
    return str(segmentation.AddEmptySegment("", name, colour))
