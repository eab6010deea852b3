"""Data sets of volumes: hippocampus (Decathlon), spleen, and QUBIQ's brain, prostate and kidney."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.imaging.window import CT_SOFT_TISSUE
from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.lazy import CaseEntry
from SPASegmentLib.research.datasets.pictures import IMAGE, CaseFiles, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.splits import hashed_split, held_out
from SPASegmentLib.research.datasets.volumes import (
    Study,
    VolumeDataset,
    apply_window,
    given_window,
    percentile_window,
    read_array,
)

LABELS = {"any": (1, 2), "anterior": (1,), "posterior": (2,), "1": (1,), "2": (2,)}

_HIPPOCAMPUS = re.compile(r"(?:^|/)(images|labels)(?:Tr)?/(hippocampus_\d+)\.nii(?:\.gz)?$")


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
        studies = map(Study.of, collect(files, _recognise_hippocampus, ["label"]))
        super().__init__("msd-hippocampus", files, studies)
        self.select(split, subset, lambda entry: hashed_split(entry.patient))

    def foreground(self, labels: np.ndarray) -> np.ndarray:
        """Voxels with one of the chosen labels."""
        return np.isin(labels, self._values)


def _recognise_hippocampus(name: str) -> Found | None:
    match = _HIPPOCAMPUS.search(name)
    if match is None:
        return None
    return Found(match[2], match[2], IMAGE if match[1] == "images" else "label")


_SPLEEN = re.compile(r"(?:^|/)(sub-[^/]+)_ct(_seg-manual)?\.nii(?:\.gz)?$")


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
        window: Sequence[float] = (CT_SOFT_TISSUE.low, CT_SOFT_TISSUE.high),
    ) -> None:
        """window: (LOW, HIGH) in HU. Raises DatasetError as every loader does."""
        self.window = given_window(window)
        files = Files(paths)
        studies = map(Study.of, collect(files, _recognise_spleen, ["label"]))
        super().__init__("spleen", files, studies)
        self.select(split, subset, lambda _: "test")

    def foreground(self, labels: np.ndarray) -> np.ndarray:
        """Voxels with any label."""
        return labels > 0


def _recognise_spleen(name: str) -> Found | None:
    match = _SPLEEN.search(name)
    return Found(match[1], match[1], "label" if match[2] else IMAGE) if match else None


@dataclass(frozen=True)
class QubiqTask:
    """One of the paper's tasks. folder: as distributed. number: which `task<number>_seg..` files."""

    folder: str
    number: int
    modality: str


TASKS = {
    "brain-growth": QubiqTask("brain-growth", 1, "MR"),
    "brain-tumor": QubiqTask("brain-tumor", 1, "MR"),
    "kidney": QubiqTask("kidney", 1, "CT"),
    "prostate-1": QubiqTask("prostate", 1, "MR"),
    "prostate-2": QubiqTask("prostate", 2, "MR"),
}

_QUBIQ = re.compile(r"(?:^|/)(?:image|task(\d+)_seg(\d+))\.nii(?:\.gz)?$")


class Qubiq(PictureDataset):
    """`<task>/<Training|Validation>/case<n>/image.nii.gz` with `task<m>_seg<r>.nii.gz`.

    case_id and patient: "<Training|Validation>/case<n>". Splits: a tenth of Training, chosen by a hash of
    the case, is val; Validation (the paper's test cases) and Testing are test. CT is shown in a soft-tissue
    window, MR between robust percentiles.
    """

    layout = "<task>/<Training|Validation>/case<n>/image.nii.gz and task<m>_seg<r>.nii.gz"

    def __init__(
        self,
        paths: Iterable[Path | str],
        split: str = "all",
        subset: str | None = "any",
        task: str = "brain-tumor",
        subtask: int | None = None,
        channel: int = 0,
    ) -> None:
        """task: one of TASKS. subtask: other `task<m>` files than the task's own (brain-tumor has 1 to 3).

        channel: which one of an image with several (brain-tumor has four). Raises DatasetError as every
        loader does.
        """
        if task not in TASKS:
            raise DatasetError(f"QUBIQ has no task '{task}'; choose one of {', '.join(TASKS)}.")
        self._task, self._channel = TASKS[task], channel
        self.modality = self._task.modality
        files = Files(paths)
        number = self._task.number if subtask is None else subtask
        recognise = _qubiq_recogniser(self._task.folder, number)
        super().__init__(f"qubiq-{task}", files, collect(files, recognise))
        if not self.entries[0].source.masks:
            raise DatasetError(f"The data set qubiq-{task} has no file task{number:02d}_seg<r>.nii.gz.")
        val = held_out(patient for patient in self.patients() if patient.startswith("Training/"))
        self.select(split, subset, lambda entry: _qubiq_split(entry.patient, val))

    def foreground(self, data: bytes, case_id: str) -> np.ndarray:
        """(H, W) bool: what is at least one half."""
        array, _ = read_array(data, "seg.nii.gz", case_id)
        plane = np.squeeze(array)
        if plane.ndim != 2:
            raise DatasetError(f"Case {case_id}: its mask is not a single slice.")
        return plane >= 0.5

    def read_image(self, entry: CaseEntry[CaseFiles]) -> np.ndarray:
        """(H, W) float32 in [0, 1]."""
        plane = self._plane(entry)[0]
        window = CT_SOFT_TISSUE if self.modality == "CT" else percentile_window(plane)
        return apply_window(plane, window)

    def read_spacing(self, entry: CaseEntry[CaseFiles]) -> tuple[float, float]:
        """(row, col) mm per pixel."""
        steps = np.linalg.norm(self._plane(entry)[1][:3, :3], axis=0)
        return (float(steps[1]), float(steps[0]))

    def _plane(self, entry: CaseEntry[CaseFiles]) -> tuple[np.ndarray, np.ndarray]:
        data = self._files.read(entry.source.image, entry.case_id)
        array, ijk_to_ras = read_array(data, "image.nii.gz", entry.case_id)
        plane = np.squeeze(array)
        if plane.ndim == 3 and self._channel < min(plane.shape):
            plane = plane.take(self._channel, axis=int(np.argmin(plane.shape)))
        if plane.ndim != 2:
            raise DatasetError(
                f"Case {entry.case_id}: its image is not a single slice with channel {self._channel}."
            )
        return plane, ijk_to_ras


def _qubiq_recogniser(folder: str, number: int) -> Callable[[str], Found | None]:
    def recognise(name: str) -> Found | None:
        match = _QUBIQ.search(name)
        parts = name.split("/")
        if match is None or len(parts) < 3 or folder not in (part.replace("_", "-") for part in parts[:-2]):
            return None
        if match[1] is not None and int(match[1]) != number:
            return None
        case_id = f"{_qubiq_part(parts)}/{parts[-2]}"
        return Found(case_id, case_id, IMAGE if match[2] is None else match[2])

    return recognise


def _qubiq_part(parts: list[str]) -> str:
    for part in reversed(parts[:-2]):
        for name in ("Training", "Validation", "Testing"):
            if part.lower().startswith(name.lower()[:5]):
                return name
    return "Training"


def _qubiq_split(patient: str, val: set[str]) -> str:
    if patient in val:
        return "val"
    return "train" if patient.startswith("Training/") else "test"
