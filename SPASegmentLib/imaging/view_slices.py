"""The slice of a volume that a view shows, turned as the view is, as the engine gets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from SPASegmentLib.errors import InputError, StepError
from SPASegmentLib.imaging.geometry import SlicePlane, seed_voxel, thickness
from SPASegmentLib.imaging.slicing import Window, windowed_slice
from SPASegmentLib.imaging.types import SliceImage, Volume

_DRIFT = 0.25
"""A view is parallel to a plane of voxels where, over the volume, they part by less than this many slices."""


@dataclass(frozen=True)
class _Windows:
    """Explicit intensities of [0, 1], and the model's own for a CT."""

    given: Window | None
    model: Window | None


@dataclass(frozen=True, eq=False)
class ViewOrientation:
    """How a slice is cut; its neighbours are cut the same way.

    view_axes: (3, 3) unit columns right, up and away of the view, in the volume's own frame.
    to_world: (4, 4). axis: the array axis across the plane of voxels, or None for a resampled plane.
    """

    view_axes: np.ndarray
    windows: _Windows
    to_world: np.ndarray
    axis: int | None


@dataclass(frozen=True, eq=False)
class ViewSlice:
    """One slice of a volume, turned as its view shows it.

    image: windowed to [0, 1]; row 0 at the top of the view, column 0 at its left.
    pixel_to_world: (4, 4), (col, row, 0, 1) -> world RAS in mm of a pixel's centre.
    plane: in the volume's own frame (before its transforms), its rows and columns those of the image.
    turn: (transpose, flip rows, flip columns) that led from the voxel order to the image; all False off the
    voxel planes. key: equal keys mean the same slice of the same volume. step_mm: to the neighbouring slice.
    """

    image: SliceImage
    pixel_to_world: np.ndarray
    plane: SlicePlane
    volume_id: str
    key: str
    step_mm: float
    volume: Volume = field(repr=False)
    turn: tuple[bool, bool, bool]
    cut: ViewOrientation = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) pixels of the image."""
        return self.image.shape

    def to_pixel(self, ras: Sequence[float] | np.ndarray) -> tuple[float, float]:
        """World RAS in mm -> (row, col) of its projection onto the slice, not rounded."""
        col, row = (np.linalg.inv(self.pixel_to_world) @ np.array([*map(float, ras), 1.0]))[:2]
        return float(row), float(col)

    def to_world(self, row: float, col: float) -> np.ndarray:
        """(3,) world RAS in mm of a pixel."""
        return self.pixel_to_world[:3] @ np.array([col, row, 0.0, 1.0])

    def in_plane_order(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W) as shown -> in the rows and columns of `voxel_plane`: a view of the same array."""
        transpose, flip_rows, flip_cols = self.turn
        pixels = pixels[:: -1 if flip_rows else 1, :: -1 if flip_cols else 1]
        return pixels.swapaxes(0, 1) if transpose else pixels

    @property
    def voxel_plane(self) -> SlicePlane:
        """The plane that `paste_slab` takes: in voxel order where it is a plane of voxels."""
        if self.plane.axis is None or self.plane.index is None:
            return self.plane
        return SlicePlane.of_voxels(self.volume, self.plane.axis, self.plane.index)

    def moved(self, steps: int) -> ViewSlice:
        """The slice `steps` further along the view's normal. Raises StepError at the end of the volume."""
        normal = self.cut.view_axes[:, 2]
        if self.plane.axis is not None and self.plane.index is not None:
            ahead = self.volume.ijk_to_ras[:3, 2 - self.plane.axis] @ normal > 0
            index = self.plane.index + (steps if ahead else -steps)
            if not 0 <= index < self.volume.shape[self.plane.axis]:
                raise StepError("This is the last slice of the volume; go on in the other direction.")
            return _voxel_slice(self.volume_id, self.volume, index, self.cut)
        offset = self.plane.pixel_to_ras[:3, 3] + self.plane.normal * (
            steps * thickness(self.volume, self.plane.normal) * (1 if self.plane.normal @ normal > 0 else -1)
        )
        try:
            return _oblique_slice(self.volume_id, self.volume, offset, self.cut)
        except InputError as error:
            raise StepError("This is the last slice of the volume; go on in the other direction.") from error


def slice_as_viewed(
    volume: Volume,
    volume_id: str,
    slice_to_ras: np.ndarray,
    to_world: np.ndarray,
    *,
    at_ras: Sequence[float] | None = None,
    window: Window | None = None,
    model_window: Window | None = None,
) -> ViewSlice:
    """The slice of a volume parallel to a view's plane, through a point or else where the view is.

    Where the view runs along the voxels' axes (in a rotated volume too, where the view follows it) the slice
    is a plane of voxels, untouched; elsewhere it is resampled in the view's plane at the finest spacing.
    slice_to_ras: (4, 4) the view's right, up, normal and origin -> world RAS in mm. to_world: (4, 4) the
    volume's own frame -> world. at_ras: world RAS in mm. window, model_window: as `slicing.windowed_slice`.
    Raises SeedError for a point outside the volume, InputError for a slice that cannot be shown.
    """
    from_world = np.linalg.inv(to_world)
    axes = _unit(from_world[:3, :3] @ slice_to_ras[:3, :3])
    normal = np.cross(axes[:, 0], axes[:, 1])
    axes[:, 2] = normal / np.linalg.norm(normal) * (1 if normal @ axes[:, 2] > 0 else -1)
    point = from_world[:3] @ np.append(
        slice_to_ras[:3, 3] if at_ras is None else np.asarray(at_ras, float), 1.0
    )
    if at_ras is not None:
        if np.shape(at_ras) != (3,):
            raise InputError("The seed is not three coordinates; place it again.")
        seed_voxel(volume, seed_ras=tuple(point))
    axis = _voxel_axis(volume, axes[:, 2])
    cut = ViewOrientation(axes, _Windows(window, model_window), to_world, axis)
    if axis is None:
        return _oblique_slice(volume_id, volume, point, cut)
    return _voxel_slice(volume_id, volume, _index_at(volume, axis, axes[:, 2], point, at_ras), cut)


def _voxel_slice(volume_id: str, volume: Volume, index: int, cut: ViewOrientation) -> ViewSlice:
    """A plane of voxels, turned so that its columns run to the view's right and its rows down."""
    axis = cut.axis
    assert axis is not None
    flat = SlicePlane.of_voxels(volume, axis, index)
    right, up = cut.view_axes[:, 0], cut.view_axes[:, 1]
    steps = _unit(flat.pixel_to_ras[:3, :2])
    transpose = bool(
        abs(steps[:, 0] @ right) + abs(steps[:, 1] @ up) + 1e-9
        < abs(steps[:, 1] @ right) + abs(steps[:, 0] @ up)
    )
    down_axis, right_axis = (steps[:, 0], steps[:, 1]) if transpose else (steps[:, 1], steps[:, 0])
    turn = (transpose, bool(down_axis @ up > 0), bool(right_axis @ right < 0))
    plane = _turned(flat, turn)
    image = windowed_slice(volume, flat, cut.windows.given, cut.windows.model)[0]
    flips = (slice(None, None, -1 if turn[1] else 1), slice(None, None, -1 if turn[2] else 1))

    def as_viewed(pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray((pixels.swapaxes(0, 1) if transpose else pixels)[flips])

    shown = image.turned(as_viewed, plane.spacing)
    key = f"{volume_id}:voxels:{axis}:{index}:{''.join(str(int(t)) for t in turn)}"
    step = float(np.linalg.norm(cut.to_world[:3, :3] @ flat.pixel_to_ras[:3, 2]))
    return _made(volume_id, volume, plane, shown, key, step, turn, cut)


def _oblique_slice(volume_id: str, volume: Volume, point: np.ndarray, cut: ViewOrientation) -> ViewSlice:
    """The view's plane through a point, resampled; pixels lie on one grid per direction of view."""
    right, normal = cut.view_axes[:, 0], cut.view_axes[:, 2]
    down = np.cross(normal, right)
    down = down if down @ cut.view_axes[:, 1] < 0 else -down
    spacing = float(np.linalg.norm(volume.ijk_to_ras[:3, :3], axis=0).min())
    centre = volume.ijk_to_ras @ np.append((np.array(volume.shape[::-1]) - 1) / 2, 1.0)
    middle = centre[:3] + normal * (normal @ (point - centre[:3]))
    inside = _section(volume, middle, normal)
    if len(inside) < 3:
        raise InputError("The view's slice lies outside the volume; scroll to the volume.")
    reach = np.stack([(inside - middle) @ right, (inside - middle) @ down], axis=1) / spacing
    first = np.floor(reach.min(axis=0) + 0.5).astype(int)
    last = np.maximum(np.ceil(reach.max(axis=0) - 0.5).astype(int), first)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = right * spacing, down * spacing
    matrix[:3, 3] = middle + matrix[:3, 0] * first[0] + matrix[:3, 1] * first[1]
    plane = SlicePlane.oblique(matrix, (int(last[1] - first[1]) + 1, int(last[0] - first[0]) + 1))
    image = windowed_slice(volume, plane, cut.windows.given, cut.windows.model)[0]
    numbers = [*np.round(right, 4), *np.round(down, 4), np.round(normal @ (middle - centre[:3]), 2)]
    key = f"{volume_id}:oblique:" + ":".join(f"{value + 0.0:g}" for value in numbers)
    step = thickness(volume, normal)
    stretch = float(1 / np.linalg.norm(np.linalg.inv(cut.to_world[:3, :3]).T @ normal))
    return _made(volume_id, volume, plane, image, key, step * stretch, (False, False, False), cut)


def _made(
    volume_id: str,
    volume: Volume,
    plane: SlicePlane,
    image: SliceImage,
    key: str,
    step_mm: float,
    turn: tuple[bool, bool, bool],
    cut: ViewOrientation,
) -> ViewSlice:
    pixel_to_world = cut.to_world @ plane.pixel_to_ras
    lengths = np.linalg.norm(pixel_to_world[:3, :2], axis=0)
    # A rigid transform leaves the spacing as it is, to the last bit: profiles know images by their content.
    same = np.allclose((lengths[1], lengths[0]), plane.spacing, rtol=1e-6)
    spacing = plane.spacing if same else (float(lengths[1]), float(lengths[0]))
    return ViewSlice(
        replace(image, spacing=spacing),
        pixel_to_world,
        plane,
        volume_id,
        key,
        step_mm,
        volume,
        turn,
        cut,
    )


def _voxel_axis(volume: Volume, normal: np.ndarray) -> int | None:
    """Array axis whose planes of voxels the view shows, or None where it is oblique to all."""
    steps = volume.ijk_to_ras[:3, 2::-1]
    share = np.abs(_unit(steps).T @ normal)
    axis = int(share.argmax())
    drift = sum(
        abs(steps[:, other] @ normal) * (volume.shape[other] - 1) / 2 for other in range(3) if other != axis
    )
    return axis if drift <= _DRIFT * np.linalg.norm(steps[:, axis]) else None


def _index_at(
    volume: Volume, axis: int, normal: np.ndarray, point: np.ndarray, at_ras: Sequence[float] | None
) -> int:
    """The plane of voxels at a point, or where the view's plane meets the middle of the volume."""
    if at_ras is not None:
        return seed_voxel(volume, seed_ras=tuple(point))[axis]
    centre = volume.ijk_to_ras @ np.append((np.array(volume.shape[::-1]) - 1) / 2, 1.0)
    along = volume.ijk_to_ras[:3, 2 - axis]
    at = (volume.shape[axis] - 1) / 2 + (normal @ (point - centre[:3])) / (normal @ along)
    index = int(np.floor(np.round(at, 6) + 0.5))
    if not 0 <= index < volume.shape[axis]:
        raise InputError("The view's slice lies outside the volume; scroll to the volume.")
    return index


def _turned(flat: SlicePlane, turn: tuple[bool, bool, bool]) -> SlicePlane:
    """The same plane with rows and columns in the order they are shown in."""
    transpose, flip_rows, flip_cols = turn
    matrix, (height, width), spacing = flat.pixel_to_ras.copy(), flat.shape, flat.spacing
    if transpose:
        matrix[:, [0, 1]] = matrix[:, [1, 0]]
        height, width, spacing = width, height, (spacing[1], spacing[0])
    if flip_rows:
        matrix[:, 3] += matrix[:, 1] * (height - 1)
        matrix[:, 1] *= -1
    if flip_cols:
        matrix[:, 3] += matrix[:, 0] * (width - 1)
        matrix[:, 0] *= -1
    return SlicePlane((height, width), matrix, spacing, flat.axis, flat.index)


def _section(volume: Volume, middle: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(n, 3) corners of the polygon in which a plane cuts the volume's outer box."""
    ends = [(-0.5, size - 0.5) for size in volume.shape[::-1]]
    corners = np.array([volume.ijk_to_ras[:3] @ np.array([*ijk, 1.0]) for ijk in product(*ends)])
    side = (corners - middle) @ normal
    found = [corners[n] for n in range(8) if abs(side[n]) < 1e-9]
    for a, bit in product(range(8), (1, 2, 4)):
        b = a | bit
        if side[a] * side[b] < 0:
            found.append(corners[a] + (corners[b] - corners[a]) * (side[a] / (side[a] - side[b])))
    return np.array(found).reshape(-1, 3)


def _unit(columns: np.ndarray) -> np.ndarray:
    return columns / np.linalg.norm(columns, axis=0)
