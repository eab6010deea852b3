"""Boxes as prompts, which only SAM-U is asked with."""

from __future__ import annotations

from dataclasses import dataclass

from SPASegmentLib.inference.messages import ProposalRequest


@dataclass(frozen=True)
class Box:
    """A box the user drew, in slice pixels: outer edges lie half a pixel beyond these pixel centres."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True, eq=False)
class BoxRequest(ProposalRequest):
    """A request with the boxes the user drew so far, oldest first."""

    boxes: tuple[Box, ...] = ()
