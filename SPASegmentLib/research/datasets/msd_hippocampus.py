"""Medical Segmentation Decathlon, hippocampus: MR volumes with one label map each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.pictures import IMAGE, Found, collect
from SPASegmentLib.research.datasets.splits import hashed_split
from SPASegmentLib.research.datasets.volumes import Study, VolumeDataset

LABELS = {"any": (1, 2), "anterior": (1,), "posterior": (2,), "1": (1,), "2": (2,)}

_VOLUME = re.compile(r"(?:^|/)(images|labels)(?:Tr)?/(hippocampus_\d+)\.nii(?:\.gz)?$")


class MsdHippocampus(VolumeDataset):
    """`images/hippocampus_<n>.nii.gz` and `labels/hippocampus_<n>.nii.gz` (or imagesTr, labelsTr).

    Every axial slice with the label is a case: case_id "hippocampus_<n>/slice-<k>", patient the volume.
    One rater. Splits by a stable hash of the volume.
    """

    layout = "images/hippocampus_<n>.nii.gz and labels/hippocampus_<n>.nii.gz"
    modality = "MR"

    def __init__(
        self,
        paths: Iterable[Path | str],
        split: str = "all",
        subset: str | None = "any",
        label: str | int = "any",
    ) -> None:
        """label: "any", 1 (anterior) or 2 (posterior). Raises DatasetError as every loader does."""
        if str(label) not in LABELS:
            raise DatasetError(f"The hippocampus data have no label '{label}'; choose any, 1 or 2.")
        self._values = LABELS[str(label)]
        files = Files(paths)
        studies = map(Study.of, collect(files, _recognise, ["label"]))
        super().__init__("msd-hippocampus", files, studies)
        self.select(split, subset, lambda entry: hashed_split(entry.patient))

    def foreground(self, labels: np.ndarray) -> np.ndarray:
        """Voxels with one of the chosen labels."""
        return np.isin(labels, self._values)


def _recognise(name: str) -> Found | None:
    match = _VOLUME.search(name)
    if match is None:
        return None
    return Found(match[2], match[2], IMAGE if match[1] == "images" else "label")
