"""The parallel slices of a volume by number, as an object is followed through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from SPASegmentLib.errors import InputError, SPASegmentError
from SPASegmentLib.imaging.geometry import SlicePlane, extract_slice, pixel_to_ras, ras_to_ijk
from SPASegmentLib.imaging.slicing import OpenedSlice, shown_slice, windowed_slice
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.imaging.window import choose_window


class SliceStack(Protocol):
    """Slices of a volume; those with neighbouring numbers are neighbours, `step_mm` apart."""

    @property
    def step_mm(self) -> float:
        """From the middle of a slice to that of the next."""

    def image(self, index: int) -> SliceImage | None:
        """A slice as the engine gets it, all in one window; None beyond the volume or where it is flat."""

    def moved(self, mask: np.ndarray, index: int, to_index: int) -> np.ndarray:
        """(H, W) bool or float of one slice -> (H', W') on the pixels of another, 0 beyond its edge."""


class VolumeStack:
    """All slices across a voxel axis, turned as the opened one is; numbers are those of the volume's axis."""

    def __init__(self, opened: OpenedSlice) -> None:
        """Raises InputError for a slice that is no plane of voxels."""
        if opened.plane.axis is None:
            raise InputError("A whole object is followed along an axis of the volume; open such a slice.")
        self._opened, self.axis = opened, opened.plane.axis

    @property
    def step_mm(self) -> float:
        """From the middle of a slice to that of the next."""
        plane = self._opened.plane
        return float(abs(plane.normal @ plane.pixel_to_ras[:3, 2]))

    def image(self, index: int) -> SliceImage | None:
        """See `SliceStack.image`."""
        volume, window = self._opened.volume, self._opened.window
        if not 0 <= index < volume.shape[self.axis]:
            return None
        try:
            plane = SlicePlane.of_voxels(volume, self.axis, index)
            return shown_slice(volume, plane, (window.low, window.high), None)[0]
        except InputError:
            return None

    def opened(self, index: int, seed: PointPrompt) -> OpenedSlice:
        """A slice with a seed in its pixels. Raises InputError where `image` is None."""
        image, before = self.image(index), self._opened
        if image is None:
            raise InputError(f"There is nothing to see on slice {index}; choose another one.")
        plane = SlicePlane.of_voxels(before.volume, self.axis, index)
        pixels = np.zeros(image.shape, dtype=bool)
        pixels[round(seed.row), round(seed.col)] = True
        row, col = np.argwhere(before.in_plane_order(pixels))[0]
        ras = pixel_to_ras(plane, float(row), float(col))
        i, j, k = (round(float(at)) for at in ras_to_ijk(before.volume, ras))
        place = (float(ras[0]), float(ras[1]), float(ras[2]))
        return replace(before, plane=plane, image=image, seed=seed, ras=place, ijk=(i, j, k))

    def moved(self, mask: np.ndarray, index: int, to_index: int) -> np.ndarray:
        """See `SliceStack.moved`: slices across a voxel axis share their pixels."""
        return mask

    def on_grid(self, masks: Mapping[int, np.ndarray]) -> np.ndarray:
        """Slice number -> (H, W) bool; to (K, J, I) bool on the volume's voxels."""
        volume = self._opened.volume
        result = np.zeros(volume.shape, dtype=bool)
        for index, mask in masks.items():
            at = tuple(index if axis == self.axis else slice(None) for axis in range(3))
            result[at] = self._opened.in_plane_order(mask)
        return result


class ViewStack:
    """The slices a view scrolls through, oblique ones too; number 0 is the one given."""

    def __init__(self, view: ViewSlice) -> None:
        given = view.cut.windows.given
        if given is None:
            volume, plane = view.volume, view.voxel_plane
            window = windowed_slice(volume, plane, None, view.cut.windows.model)[1]
            window = window or choose_window(volume, None, extract_slice(volume, plane))
            given = (window.low, window.high)
        self._start = replace(view, cut=replace(view.cut, windows=replace(view.cut.windows, given=given)))

    @property
    def step_mm(self) -> float:
        """From the middle of a slice to that of the next."""
        return self._start.step_mm

    def view(self, index: int) -> ViewSlice | None:
        """The slice as its view shows it; None beyond the volume or where it is flat."""
        try:
            return self._start.moved(index)
        except SPASegmentError:
            return None

    def image(self, index: int) -> SliceImage | None:
        """See `SliceStack.image`."""
        view = self.view(index)
        return None if view is None else view.image

    def moved(self, mask: np.ndarray, index: int, to_index: int) -> np.ndarray:
        """See `SliceStack.moved`: oblique slices lie on one grid of pixels along the normal."""
        here, there = self._start.moved(index), self._start.moved(to_index)
        row, col = (round(at) for at in there.to_pixel(here.to_world(0, 0)))
        result = np.zeros(there.shape, mask.dtype)
        height, width = mask.shape
        rows = slice(max(0, row), min(there.shape[0], row + height))
        cols = slice(max(0, col), min(there.shape[1], col + width))
        if rows.start < rows.stop and cols.start < cols.stop:
            result[rows, cols] = mask[rows.start - row : rows.stop - row, cols.start - col : cols.stop - col]
        return result
