"""The file a segmentation is written to: a mask, a Slicer segmentation, or a DICOM segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from SPASegmentLib.cli.segment_options import SegType
from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.segments import COLOUR, Colour, Segment, own_algorithm

if TYPE_CHECKING:
    from SPASegmentLib.cli.continuing import Start
    from SPASegmentLib.cli.dicomweb import ArchiveSeries
    from SPASegmentLib.imaging.terminology import Structure
    from SPASegmentLib.imaging.types import Volume
    from SPASegmentLib.inference.messages import ModelInfo

SEGMENT_NAME = "SPASegment"
DICOM = ".dcm"
MOST_LABELS = 255
"""Segments of a label file."""


@dataclass(frozen=True)
class ResultFile:
    """Where a result goes and what is said of it. path: None where no file is written.

    archive: where it is stored, too, or None.
    """

    path: Path | None
    name: str | None
    structure: Structure | None
    labelmap: bool
    archive: ArchiveSeries | None = None

    @property
    def _is_dicom(self) -> bool:
        return self.path is not None and self.path.name.lower().endswith(DICOM)

    @property
    def one_per_voxel(self) -> bool:
        """Whether a voxel can be of one segment only."""
        return self.labelmap if self._is_dicom else not self._is_slicer

    @property
    def _is_slicer(self) -> bool:
        return self.path is not None and self.path.name.lower().endswith(".seg.nrrd")

    def check(self, volume: Volume) -> None:
        """Refuse what cannot be written of a volume, before anything is computed. Raises InputError."""
        if self._is_dicom or (self.archive is not None and self.archive.stows):
            from SPASegmentLib.imaging.dicom_seg import check_seg_source

            check_seg_source(volume)

    def write(self, mask: np.ndarray, volume: Volume, model: ModelInfo, start: Start | None) -> None:
        """Write a (K, J, I) mask, with the other segments of the file it was begun from where there is one.

        Label files hold this segment only. Raises InputError where it cannot be written.
        """
        if self.path is None:
            return
        if self._is_dicom or self._is_slicer:
            self.write_all(self._segments(mask, model, start), volume, model)
            return
        from SPASegmentLib.imaging.masks import write_mask

        write_mask(self.path, mask, volume, metadata=_about(model))

    def write_all(self, segments: Sequence[Segment], volume: Volume, model: ModelInfo) -> None:
        """Write segments; in label files the n-th has the value n.

        Raises InputError where they cannot be written, or are more than a label file holds.
        """
        if self.path is None:
            return
        if self._is_dicom:
            from SPASegmentLib.imaging.dicom_seg import write_dicom_seg

            write_dicom_seg(self.path, segments, volume, labelmap=self.labelmap)
            return
        from SPASegmentLib.imaging.masks import write_labels, write_segments

        if self._is_slicer:
            write_segments(self.path, segments, volume, metadata=_about(model))
            return
        self.check_count(len(segments))
        labels = np.zeros(volume.shape, dtype=np.uint8)
        for value, one in enumerate(segments, start=1):
            labels[one.mask] = value
        write_labels(self.path, labels, volume, {}, metadata=_about(model))

    def store(self, mask: np.ndarray, volume: Volume, model: ModelInfo, start: Start | None) -> None:
        """Store the segments of `write` in the archive: that file, where it is DICOM. Raises ServerError."""
        from SPASegmentLib.imaging.dicom_seg import write_dicom_seg

        assert self.archive is not None

        def write(path: Path) -> None:
            write_dicom_seg(path, self._segments(mask, model, start), volume, labelmap=self.labelmap)

        self.archive.stow(write, self.path if self._is_dicom else None)

    def check_count(self, segments: int) -> None:
        """Refuse more segments than the file holds. Raises InputError."""
        if segments > MOST_LABELS and not (self._is_dicom or self._is_slicer):
            raise InputError(
                f"{self.path} holds at most {MOST_LABELS} segments, and there are {segments}; "
                "choose .seg.nrrd."
            )

    def segment(self, name: str, mask: np.ndarray, colour: Colour, model: ModelInfo) -> Segment:
        """A segment of that name with what the options and the model say of it. mask: (K, J, I) bool."""
        from SPASegmentLib.imaging.terminology import TISSUE

        return Segment(name, mask, self.structure or TISSUE, colour, own_algorithm(model.name, model.hash))

    def _segments(self, mask: np.ndarray, model: ModelInfo, start: Start | None) -> list[Segment]:
        if start is None:
            return [self.segment(self.name or SEGMENT_NAME, mask, COLOUR, model)]
        return start.segments_with(mask, self.name, self.structure, own_algorithm(model.name, model.hash))


def _about(model: ModelInfo) -> dict[str, str]:
    """Keys of a file's header."""
    return {"SPASegment_Model": model.name, "SPASegment_ModelHash": model.hash}


def result_file(
    path: Path | None,
    name: str | None,
    structure: str | None,
    kind: SegType,
    archive: ArchiveSeries | None = None,
) -> ResultFile:
    """What the options say of the result. Raises InputError for a structure that is none."""
    from SPASegmentLib.imaging.terminology import parse_structure

    coded = None if structure is None else parse_structure(structure)
    return ResultFile(path, name, coded, kind is SegType.labelmap, archive)
