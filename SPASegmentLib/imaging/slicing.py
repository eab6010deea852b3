"""From a volume and a seed to the slice the engine gets, and back onto the voxel grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging.geometry import (
    ORIENTATIONS,
    SlicePlane,
    display_steps,
    extract_slice,
    ijk_to_ras,
    orientation_axis,
    paste_mask,
    ras_to_pixel,
    seed_voxel,
    to_display,
)
from SPASegmentLib.imaging.types import IntensityWindow, PointPrompt, SliceImage, Volume
from SPASegmentLib.imaging.window import choose_window, is_ct, make_slice

Triple = tuple[float, float, float]
Window = tuple[float, float]


@dataclass(frozen=True, eq=False)
class OpenedSlice:
    """A slice of a volume, turned as radiologists look at it, so that words such as "left" hold.

    image: (H, W) as shown. plane: its rows and columns in the volume. seed: in pixels of the shown image.
    window: of its intensities. ras: the seed in mm. ijk: the voxel that holds it.
    """

    volume: Volume
    plane: SlicePlane
    image: SliceImage
    seed: PointPrompt
    window: IntensityWindow
    ras: Triple
    ijk: tuple[int, int, int]

    def point(
        self, *, ras: Sequence[float] | None = None, ijk: Sequence[float] | None = None, positive: bool = True
    ) -> PointPrompt:
        """A further point, given in RAS (mm) or in IJK voxels, in pixels of the shown image.

        Raises SeedError for one outside the volume or on another slice.
        """
        at = seed_voxel(self.volume, seed_ras=ras, seed_ijk=ijk)
        axis, index = self.plane.axis, self.plane.index
        if axis is not None and at[axis] != index:
            given = ", ".join(f"{value:g}" for value in (ras if ras is not None else ijk or ()))
            name = "IJK" if ras is None else "RAS"
            raise SeedError(
                f"The point {name} ({given}) lies on slice {at[axis]}, but slice {index} is being segmented; "
                "place it there."
            )
        place = np.asarray(ras, float) if ras is not None else ijk_to_ras(self.volume, np.asarray(ijk, float))
        row, col = ras_to_pixel(self.plane, place)
        return replace(_turned_point(self.plane, float(row), float(col)), positive=positive)

    def on_grid(self, mask: np.ndarray) -> np.ndarray:
        """(H, W) bool on the shown image -> (K, J, I) bool on the volume's voxel grid."""
        return paste_mask(self.in_plane_order(mask), self.plane, self.volume)

    def in_plane_order(self, mask: np.ndarray) -> np.ndarray:
        """(H, W) as shown -> in the rows and columns of `plane`: a view of the same array."""
        transpose, flip_rows, flip_cols = display_steps(self.plane)
        mask = mask[:: -1 if flip_rows else 1, :: -1 if flip_cols else 1]
        return mask.T if transpose else mask


def cut_slice(
    volume: Volume,
    *,
    seed_ras: Triple | None,
    seed_ijk: Triple | None,
    orientation: str,
    window: Window | None,
    model_window: Window | None,
) -> OpenedSlice:
    """Cut the slice through a seed.

    window: (low, high) the user gave, or None: a CT then gets the model's own window where it has one,
    anything else what `choose_window` says of the slice. Raises InputError and SeedError as imaging does.
    """
    plane = SlicePlane.through(volume, orientation, seed_ras=seed_ras, seed_ijk=seed_ijk)
    k, j, i = seed_voxel(volume, seed_ras=seed_ras, seed_ijk=seed_ijk)
    ras = ijk_to_ras(volume, (i, j, k)) if seed_ras is None else np.array(seed_ras)
    image, shown = shown_slice(volume, plane, window, model_window)
    row, col = ras_to_pixel(plane, ras)
    return OpenedSlice(
        volume,
        plane,
        image,
        _turned_point(plane, float(row), float(col)),
        shown,
        (float(ras[0]), float(ras[1]), float(ras[2])),
        (i, j, k),
    )


def cut_numbered_slice(
    volume: Volume,
    orientation: str,
    index: int,
    *,
    window: Window | None,
    model_window: Window | None,
) -> OpenedSlice:
    """Cut the slice of that number along the orientation's voxel axis, by the voxel in its middle.

    Windows as in `cut_slice`. Raises InputError for an orientation or slice that is not there.
    """
    if orientation not in ORIENTATIONS:
        raise InputError(f"There is no orientation {orientation}; choose axial, sagittal or coronal.")
    axis = orientation_axis(volume, orientation)
    last = volume.shape[axis] - 1
    if not 0 <= index <= last:
        raise InputError(f"The volume has no {orientation} slice {index}; choose one from 0 to {last}.")
    voxel = [size // 2 for size in volume.shape]
    voxel[axis] = index
    k, j, i = voxel
    return cut_slice(
        volume,
        seed_ras=None,
        seed_ijk=(i, j, k),
        orientation=orientation,
        window=window,
        model_window=model_window,
    )


def shown_slice(
    volume: Volume, plane: SlicePlane, window: Window | None, model_window: Window | None
) -> tuple[SliceImage, IntensityWindow]:
    """A plane of voxels as it is shown (see `display_steps`), and its window; windows as in `cut_slice`."""
    pixels, shown = windowed_slice(volume, plane, window, model_window)
    shown = shown or choose_window(volume, None, extract_slice(volume, plane))
    spacing = (pixels.spacing[1], pixels.spacing[0]) if display_steps(plane)[0] else pixels.spacing
    return pixels.turned(lambda one: np.ascontiguousarray(to_display(one, plane)), spacing), shown


def windowed_slice(
    volume: Volume, plane: SlicePlane, window: Window | None, model_window: Window | None
) -> tuple[SliceImage, IntensityWindow | None]:
    """The slice in the user's window, else a CT in the model's; with that window, None where it is automatic.

    The same input has the same pixels, whoever asks. Raises InputError for what cannot be shown.
    """
    if window is not None:
        given = IntensityWindow(*window)
        return make_slice(volume, plane, given), given
    if model_window is not None and is_ct(volume):
        own = IntensityWindow(*model_window)
        try:
            return make_slice(volume, plane, own), own
        except InputError:
            pass  # flat in the model's window, or not to be shown at all: the next attempt says which
    return make_slice(volume, plane), None


def _turned_point(plane: SlicePlane, row: float, col: float) -> PointPrompt:
    """A pixel of the plane on the image as it is shown."""
    height, width = plane.shape
    transpose, flip_rows, flip_cols = display_steps(plane)
    if transpose:
        row, col, height, width = col, row, width, height
    row = height - 1 - row if flip_rows else row
    col = width - 1 - col if flip_cols else col
    # A seed in the outer half of a border voxel belongs to that voxel.
    return PointPrompt(min(max(row, 0.0), height - 1.0), min(max(col, 0.0), width - 1.0))
