"""What happens to the scene from elsewhere, and what becomes of the works then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from SPASegmentLib.mrml.inference_requests import InferenceRequests, NeighbourEncoding
from SPASegmentLib.mrml.proposal_display import ProposalDisplay
from SPASegmentLib.mrml.target import Target
from SPASegmentLib.mrml.work import Trail

if TYPE_CHECKING:
    from SPASegmentLib.mrml.screen import Tone


class SceneChanges:
    """Takes works away whose volume has changed or gone. To be called on the scene's thread."""

    def __init__(
        self,
        trail: Trail,
        target: Target,
        requests: InferenceRequests,
        neighbours: NeighbourEncoding,
        display: ProposalDisplay,
        say: Callable[[str, Tone], None],
    ) -> None:
        self._trail, self._target, self._requests = trail, target, requests
        self._neighbours, self._display, self._say = neighbours, display, say

    def volume_changed(self, volume: Any) -> None:
        """Voxels or position have changed: what was open on it no longer holds, what was approved does."""
        self._neighbours.forget()
        dropped = self._trail.drop(lambda w: w.view.volume_id == volume.GetID() and not w.finished)
        for work in self._trail:
            work.stale = work.stale or work.view.volume_id == volume.GetID()
        if dropped:
            self._say("The volume has changed; click the seed again.", "problem")

    def node_removed(self, node: Any) -> None:
        """A node is gone; with a volume go its works."""
        self._target.forget(node)
        if node is None or not node.IsA("vtkMRMLVolumeNode"):
            return
        self._neighbours.forget()
        current = self._trail.current
        dropped = self._trail.drop(lambda w: w.view.volume_id == node.GetID())
        self._target.keep(dropped)
        if dropped and self._trail.current is not current:
            self._requests.stop()
            self._say("The volume was removed; choose another one.", "problem")

    def scene_closed(self) -> None:
        """Everything goes."""
        self._requests.stop()
        self._neighbours.forget()
        self._display.forget()
        self._trail.clear()
        self._target.forget_all()
