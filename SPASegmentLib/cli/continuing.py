"""`spasegment segment --continue`: an existing mask as the start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from SPASegmentLib.cli.segment_options import Overwrite
from SPASegmentLib.errors import SeedError
from SPASegmentLib.imaging.geometry import orientation_axis, to_display
from SPASegmentLib.imaging.segment_files import read_segments
from SPASegmentLib.imaging.segments import Algorithm, Segment, segment_index
from SPASegmentLib.imaging.slicing import OpenedSlice
from SPASegmentLib.imaging.terminology import Structure
from SPASegmentLib.imaging.types import Volume


@dataclass(frozen=True, eq=False)
class Start:
    """A file's segments, and the index of the one that is gone on with."""

    path: Path
    segments: list[Segment]
    index: int
    overwrite: Overwrite

    @property
    def segment(self) -> Segment:
        """The one that is gone on with."""
        return self.segments[self.index]

    def on_slice(self, opened: OpenedSlice) -> np.ndarray:
        """(H, W) bool as the slice is shown. Raises SeedError where the segment is not on that slice."""
        mask = slice_of(self.segment.mask, opened)
        if not mask.any():
            axis = opened.plane.axis or 0
            others = np.flatnonzero(self.segment.mask.any(axis=tuple(a for a in range(3) if a != axis)))
            raise SeedError(
                f'"{self.segment.name}" has nothing on slice {opened.plane.index} to go on from; it lies on '
                f"slices {others[0]} to {others[-1]}."
            )
        return mask

    def with_slice(self, opened: OpenedSlice, mask: np.ndarray) -> np.ndarray:
        """(K, J, I) bool: the segment with one slice, (H, W) bool as shown, instead of what was there."""
        whole = self.segment.mask.copy()
        at: list[slice | int] = [slice(None)] * 3
        at[opened.plane.axis or 0] = opened.plane.index or 0
        whole[tuple(at)] = False
        return whole | opened.on_grid(mask)

    def segments_with(
        self, mask: np.ndarray, name: str | None, structure: Structure | None, algorithm: Algorithm
    ) -> list[Segment]:
        """All segments with a (K, J, I) mask for the one gone on with, which the others make room for or not.

        name, structure: instead of the file's, where given.
        """
        before = self.segment
        own = replace(
            before,
            mask=mask,
            name=name or before.name,
            structure=structure or before.structure,
            algorithm=algorithm,
        )
        takes = self.overwrite is not Overwrite.none
        others = [replace(one, mask=one.mask & ~mask) if takes else one for one in self.segments]
        return [own if at == self.index else one for at, one in enumerate(others)]


def slice_of(mask: np.ndarray, opened: OpenedSlice) -> np.ndarray:
    """(K, J, I) bool -> (H, W) bool on the opened slice, as it is shown."""
    on_slice = mask.take(opened.plane.index or 0, axis=opened.plane.axis or 0)
    return np.ascontiguousarray(to_display(on_slice, opened.plane))


def most_seen_voxel(mask: np.ndarray, volume: Volume, orientation: str) -> tuple[float, float, float]:
    """(i, j, k) of a voxel of a (K, J, I) mask that is not empty, on the slice with most of it."""
    axis = orientation_axis(volume, orientation)
    counts = mask.sum(axis=tuple(a for a in range(3) if a != axis))
    at = np.argwhere(mask)
    at = at[at[:, axis] == counts.argmax()]
    k, j, i = (float(value) for value in at[len(at) // 2])
    return (i, j, k)


def open_start(text: str, volume: Volume, overwrite: Overwrite) -> Start:
    """Read "FILE" or "FILE:SEGMENT" on a volume's voxels. Raises InputError and SeedError."""
    path, wanted = Path(text), None
    if not path.exists() and ":" in text:
        name, _, wanted = text.rpartition(":")
        path = Path(name)
    segments = read_segments(path, volume)
    start = Start(path, segments, segment_index(segments, wanted, path), overwrite)
    if not start.segment.mask.any():
        raise SeedError(f'"{start.segment.name}" in {path} is empty; there is nothing to go on from.')
    return start
