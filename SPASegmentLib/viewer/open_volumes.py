"""The volumes that are open, each with its segmentation: going back to one finds it as it was left."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from SPASegmentLib.imaging.types import UNSIZED, DicomFrame, Volume
from SPASegmentLib.imaging.window import is_ct
from SPASegmentLib.mrml.labels import has_voxels
from SPASegmentLib.viewer.volumes import (
    Choice,
    add_segmentation_node,
    add_volume_node,
    remove_node,
    short_hash,
)

MOST_OPEN = 4
"""Volumes kept open where nothing is approved on them."""


@dataclass(eq=False)
class OpenVolume:
    """A volume in the scene.

    name: stands for its choice in node IDs and file names. is_ct: by the file or by its values. size: bytes.
    is_sized: whether its file states how large pixels are. is_flat: whether it is one picture.
    has_sides: whether it lies in a patient, and left and right mean something. frames: what each slice was
    read from, where it was DICOM. own_window: intensities (low, high) that its file says are black and white,
    or None. seen: how it was looked at when another volume took its place. segment: name of the structure
    worked on then.
    """

    choice: Choice
    node: Any
    segmentation: Any
    name: str
    is_ct: bool
    size: int
    warnings: tuple[str, ...] = ()
    is_sized: bool = True
    is_flat: bool = False
    has_sides: bool = True
    frames: tuple[DicomFrame, ...] = ()
    own_window: tuple[float, float] | None = None
    seen: Any = None
    segment: str | None = None


class OpenVolumes:
    """Open volumes, the one on the screen last."""

    def __init__(self, scene: Any, views: Sequence[str]) -> None:
        """views: IDs of the view nodes that show approved segments."""
        self._scene, self._views = scene, list(views)
        self._open: OrderedDict[str, OpenVolume] = OrderedDict()

    def __iter__(self) -> Iterator[OpenVolume]:
        return iter(self._open.values())

    def find(self, key: str) -> OpenVolume | None:
        """The open volume of a choice."""
        return self._open.get(key)

    @property
    def current(self) -> OpenVolume | None:
        """The one on the screen."""
        return next(reversed(self._open.values()), None)

    def put(self, choice: Choice, volume: Volume) -> OpenVolume:
        """Put a volume that was read into the scene, in place of an older reading of the same choice."""
        if choice.key in self._open:
            self._drop(choice.key)
        name = f"SPA{short_hash(choice.key)}"
        node = add_volume_node(self._scene, volume, name)
        segmentation = add_segmentation_node(self._scene, node, name)
        segmentation.GetDisplayNode().SetViewNodeIDs(self._views)
        segmentation.GetDisplayNode().SetVisibility3D(False)
        flat, sized = 1 in volume.shape, not any(UNSIZED in sentence for sentence in volume.warnings)
        opened = OpenVolume(
            choice,
            node,
            segmentation,
            name,
            is_ct(volume),
            volume.array.nbytes,
            volume.warnings,
            is_sized=sized,
            is_flat=flat,
            has_sides=sized or not flat or volume.modality is not None,
            frames=volume.frames or (),
            own_window=None if volume.window is None else (volume.window.low, volume.window.high),
        )
        self._open[choice.key] = opened
        return opened

    def bring_forward(self, opened: OpenVolume) -> None:
        """This one is on the screen now; the longest unseen ones without anything approved are closed."""
        self._open.move_to_end(opened.choice.key)
        for other in self:
            other.segmentation.GetDisplayNode().SetVisibility(other is opened)
        spare = [key for key, other in self._open.items() if not has_voxels(other.segmentation)]
        for key in spare[: max(len(spare) - MOST_OPEN, 0)]:
            if key != opened.choice.key:
                self._drop(key)

    def free_uploads(self) -> int:
        """Close uploads that are not on the screen and hold nothing approved; bytes of those that stay."""
        for key, opened in list(self._open.items()):
            if opened.choice.is_upload and opened is not self.current and not has_voxels(opened.segmentation):
                self._drop(key)
        return sum(opened.size for opened in self if opened.choice.is_upload)

    def remove(self, key: str) -> None:
        """Close a volume that is not on the screen."""
        if key in self._open:
            self._drop(key)

    def _drop(self, key: str) -> None:
        opened = self._open.pop(key)
        remove_node(self._scene, opened.segmentation)
        remove_node(self._scene, opened.node)
