"""The file a segmentation is written to: a mask, a Slicer segmentation, or a DICOM segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from SPASegmentLib.cli.segment_options import SegType

if TYPE_CHECKING:
    import numpy as np

    from SPASegmentLib.cli.continuing import Start
    from SPASegmentLib.cli.dicomweb import ArchiveSeries
    from SPASegmentLib.imaging.segments import Segment
    from SPASegmentLib.imaging.terminology import Structure
    from SPASegmentLib.imaging.types import Volume
    from SPASegmentLib.inference.messages import ModelInfo

SEGMENT_NAME = "SPASegment"
DICOM = ".dcm"


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
        from SPASegmentLib.imaging.masks import write_mask, write_segments

        about = {"SPASegment_Model": model.name, "SPASegment_ModelHash": model.hash}
        segments = self._segments(mask, model, start)
        if self._is_dicom:
            from SPASegmentLib.imaging.dicom_seg import write_dicom_seg

            write_dicom_seg(self.path, segments, volume, labelmap=self.labelmap)
        elif self.path.name.lower().endswith(".seg.nrrd"):
            write_segments(self.path, segments, volume, metadata=about)
        else:
            write_mask(self.path, mask, volume, metadata=about)

    def store(self, mask: np.ndarray, volume: Volume, model: ModelInfo, start: Start | None) -> None:
        """Store the segments of `write` in the archive: that file, where it is DICOM. Raises ServerError."""
        from SPASegmentLib.imaging.dicom_seg import write_dicom_seg

        assert self.archive is not None

        def write(path: Path) -> None:
            write_dicom_seg(path, self._segments(mask, model, start), volume, labelmap=self.labelmap)

        self.archive.stow(write, self.path if self._is_dicom else None)

    def _segments(self, mask: np.ndarray, model: ModelInfo, start: Start | None) -> list[Segment]:
        from SPASegmentLib.imaging.segments import Segment, own_algorithm
        from SPASegmentLib.imaging.terminology import TISSUE

        algorithm = own_algorithm(model.name, model.hash)
        if start is None:
            return [Segment(self.name or SEGMENT_NAME, mask, self.structure or TISSUE, algorithm=algorithm)]
        return start.segments_with(mask, self.name, self.structure, algorithm)


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
