"""The spleen CT crop: volumes in Hounsfield units with a manual label, in a BIDS folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.pictures import IMAGE, Found, collect
from SPASegmentLib.research.datasets.volumes import Study, VolumeDataset, given_window

SOFT_TISSUE = (-160.0, 240.0)
"""HU; the usual abdominal window, level 40, width 400."""

_VOLUME = re.compile(r"(?:^|/)(sub-[^/]+)_ct(_seg-manual)?\.nii(?:\.gz)?$")


class SpleenCt(VolumeDataset):
    """`sub-<name>_ct.nii.gz` and `derivatives/labels/.../sub-<name>_ct_seg-manual.nii.gz`.

    Every labelled axial slice is a case: case_id "sub-<name>/slice-<k>". One rater. Nothing is trained on it:
    all cases are test.
    """

    layout = "sub-<name>_ct.nii.gz and derivatives/.../sub-<name>_ct_seg-manual.nii.gz"
    modality = "CT"

    def __init__(
        self,
        paths: Iterable[Path | str],
        split: str = "all",
        subset: str | None = "any",
        window: Sequence[float] = SOFT_TISSUE,
    ) -> None:
        """window: (LOW, HIGH) in HU. Raises DatasetError as every loader does."""
        self.window = given_window(window)
        files = Files(paths)
        studies = map(Study.of, collect(files, _recognise, ["label"]))
        super().__init__("spleen", files, studies)
        self.select(split, subset, lambda _: "test")

    def foreground(self, labels: np.ndarray) -> np.ndarray:
        """Voxels with any label."""
        return labels > 0


def _recognise(name: str) -> Found | None:
    match = _VOLUME.search(name)
    return Found(match[1], match[1], "label" if match[2] else IMAGE) if match else None
