"""The overlays of the work on the screen: drawn when they change, made again after the scene was closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from SPASegmentLib.mrml.overlays import OverlayColors, ProposalOverlays
from SPASegmentLib.mrml.work import Work


class ProposalDisplay:
    """At most one proposal is drawn."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._colors: OverlayColors | None = None
        self._overlays: ProposalOverlays | None = None
        self._shown: tuple[Any, ...] | None = None

    def show(self, work: Work, large: Sequence[str], small: Sequence[str]) -> None:
        """Draw a work's proposal in the views with these node IDs."""
        shown = (work.view, work.proposal, tuple(large), tuple(small))
        if shown == self._shown or work.proposal is None:
            return
        if self._overlays is None:
            self._overlays = ProposalOverlays(self._scene, self._colors)
        self._shown = shown
        self._overlays.show(work.view, work.proposal, large=large, small=small)

    def recolor(self, colors: OverlayColors | None) -> None:
        """Draw in other colours from now on; None: those of the start."""
        self._colors = colors
        if self._overlays is not None:
            self._overlays.set_colors(colors or OverlayColors())
            self._shown = None

    def clear(self) -> None:
        """Draw nothing."""
        if self._shown is not None and self._overlays is not None:
            self._overlays.clear()
        self._shown = None

    def remove(self) -> None:
        """Take the overlays' nodes away."""
        if self._overlays is not None:
            self._overlays.remove()
        self.forget()

    def forget(self) -> None:
        """The scene takes the nodes away itself."""
        self._overlays, self._shown = None, None
