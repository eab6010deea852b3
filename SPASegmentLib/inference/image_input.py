"""What is segmented by a program: an image or a volume, and the slice of it that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import index as whole_number
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from SPASegmentLib.errors import InputError, SeedError, StepError
from SPASegmentLib.imaging.arrays import volume_of_array
from SPASegmentLib.imaging.files import read_volume, volume_of
from SPASegmentLib.imaging.geometry import ORIENTATIONS, orientation_axis
from SPASegmentLib.imaging.slicing import OpenedSlice, cut_numbered_slice, cut_slice
from SPASegmentLib.imaging.types import SliceImage, Volume
from SPASegmentLib.inference.messages import Engine, ModelInfo

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813


class ImageInput:
    """Takes an image and holds the slice that was chosen: `SPAPredictor` before the first click."""

    def __init__(self, engine: Engine) -> None:
        """engine: whose model sees the slice."""
        self._engine = engine
        self._volume: Volume | None = None
        self._window: tuple[float, float] | None = None
        self._slice: OpenedSlice | None = None

    def _end_interaction(self) -> None:
        """Another slice was chosen: what was done on the one before is over."""

    def set_image(
        self,
        array: np.ndarray,
        spacing: tuple[float, float] = (1.0, 1.0),
        modality: str | None = None,
        window: tuple[float, float] | None = None,
    ) -> None:
        """Choose one slice, given as an array; an interaction with an earlier image ends.

        Args:
            array: (H, W) grey or (H, W, 3) RGB raw intensities of any real type, for CT in Hounsfield units.
            spacing: (row, col) mm per pixel.
            modality: DICOM's word ("CT", "MR", "US", ...), or None where it is not known.
            window: (low, high) intensities shown black and white. None: for CT the model's own window, else
                soft tissue where no lung shows; for others percentiles.

        Raises:
            InputError: the array, the spacing or the window cannot be segmented as given.
        """
        self._open(volume_of_array(array, spacing, _word(modality)), window)

    def set_volume(
        self,
        volume: str | Path | sitk.Image | Volume,
        modality: str | None = None,
        window: tuple[float, float] | None = None,
    ) -> None:
        """Choose a volume; then choose a slice with `set_slice`, or by its seed with `click_ras`.

        The slice of a volume that has only one is chosen at once. An interaction with an earlier image ends.

        Args:
            volume: path of a file (NRRD, NIfTI, MetaImage, DICOM, PNG, JPEG, TIFF) or of a folder of DICOM
                files, or a SimpleITK image, or a `Volume`.
            modality: as in `set_image`; None for what the file says.
            window: as in `set_image`; None takes the file's own before percentiles.

        Raises:
            InputError: the volume cannot be read or segmented as given.
        """
        read = _read(volume)
        if modality is not None:
            read = replace(read, modality=_word(modality))
        self._open(read, window)

    def set_slice(self, orientation: str, index: int) -> None:
        """Choose a slice of the volume; an interaction with another slice ends.

        Args:
            orientation: "axial", "sagittal" or "coronal".
            index: of the slice along the voxel axis that is closest to the orientation's normal, from 0.

        Raises:
            StepError: there is no volume yet.
            InputError: there is no such orientation or slice, or it cannot be segmented.
        """
        if self._volume is None:
            raise StepError("There is no image yet; call set_image or set_volume first.")
        self._slice = self._numbered(self._volume, self._window, orientation, checked_number(index))
        self._end_interaction()

    @property
    def model(self) -> ModelInfo:
        """The model that answers: its name, what it was trained on, its modalities."""
        return self._engine.model

    @property
    def image(self) -> SliceImage:
        """The slice as the network sees it, `pixels` (H, W) or (H, W, 3) in [0, 1] and `spacing` in mm.

        Slices of a volume are turned as radiologists look at them; rows and columns count on this picture.

        Raises:
            StepError: no slice is chosen yet.
        """
        return self._chosen().image

    def _chosen(self) -> OpenedSlice:
        if self._volume is None:
            raise StepError("There is no image yet; call set_image or set_volume first.")
        if self._slice is None:
            raise StepError("No slice of the volume is chosen yet; call set_slice or click_ras first.")
        return self._slice

    def _through(self, ras: Sequence[float], orientation: str) -> OpenedSlice:
        """The slice through a place, which is its seed."""
        if self._volume is None:
            raise StepError("There is no volume yet; call set_volume first.")
        try:
            right, front, up = (float(value) for value in ras)
        except (TypeError, ValueError) as error:
            raise SeedError("A place in the volume is three numbers in mm: R, A, S.") from error
        return cut_slice(
            self._volume,
            seed_ras=(right, front, up),
            seed_ijk=None,
            orientation=orientation,
            window=self._window,
            model_window=self.model.window,
        )

    def _open(self, volume: Volume, window: tuple[float, float] | None) -> None:
        """Hold a volume, and its slice where it has only one."""
        if window is not None:
            window = two_numbers(window, "A window is two intensities: (low, high).")
        single = [o for o in ORIENTATIONS if volume.shape[orientation_axis(volume, o)] == 1]
        opened = self._numbered(volume, window, single[-1], 0) if single else None
        self._volume, self._window, self._slice = volume, window, opened
        self._end_interaction()

    def _numbered(
        self, volume: Volume, window: tuple[float, float] | None, orientation: str, index: int
    ) -> OpenedSlice:
        return cut_numbered_slice(volume, orientation, index, window=window, model_window=self.model.window)


def two_numbers(values: Sequence[float], otherwise: str) -> tuple[float, float]:
    """Both as numbers. Raises InputError with the sentence `otherwise`."""
    try:
        first, second = (float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InputError(otherwise) from error
    return first, second


def checked_number(number: int) -> int:
    """A whole number of any type. Raises InputError for anything else."""
    try:
        return whole_number(number)
    except TypeError as error:
        raise InputError(f"{number!r} is no whole number.") from error


def _read(volume: str | Path | sitk.Image | Volume) -> Volume:
    if isinstance(volume, Volume):
        return volume
    if isinstance(volume, (str, Path)):
        return read_volume(volume)
    return volume_of(volume)


def _word(modality: str | None) -> str | None:
    return None if modality is None else modality.upper()
