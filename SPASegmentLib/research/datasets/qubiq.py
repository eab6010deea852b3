"""QUBIQ: single slices of brain, prostate and kidney, drawn by three to seven experts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.imaging.types import IntensityWindow
from SPASegmentLib.research.datasets.files import Files
from SPASegmentLib.research.datasets.lazy import CaseEntry
from SPASegmentLib.research.datasets.pictures import IMAGE, CaseFiles, Found, PictureDataset, collect
from SPASegmentLib.research.datasets.splits import held_out
from SPASegmentLib.research.datasets.volumes import apply_window, percentile_window, read_array

SOFT_TISSUE = IntensityWindow(-160.0, 240.0)


@dataclass(frozen=True)
class Task:
    """One of the paper's tasks. folder: as distributed. number: which `task<number>_seg..` files."""

    folder: str
    number: int
    modality: str


TASKS = {
    "brain-growth": Task("brain-growth", 1, "MR"),
    "brain-tumor": Task("brain-tumor", 1, "MR"),
    "kidney": Task("kidney", 1, "CT"),
    "prostate-1": Task("prostate", 1, "MR"),
    "prostate-2": Task("prostate", 2, "MR"),
}

_FILE = re.compile(r"(?:^|/)(?:image|task(\d+)_seg(\d+))\.nii(?:\.gz)?$")


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
        recognise = _recogniser(self._task.folder, number)
        super().__init__(f"qubiq-{task}", files, collect(files, recognise))
        if not self.entries[0].source.masks:
            raise DatasetError(f"The data set qubiq-{task} has no file task{number:02d}_seg<r>.nii.gz.")
        val = held_out(patient for patient in self.patients() if patient.startswith("Training/"))
        self.select(split, subset, lambda entry: _split_of(entry.patient, val))

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
        window = SOFT_TISSUE if self.modality == "CT" else percentile_window(plane)
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


def _recogniser(folder: str, number: int) -> Callable[[str], Found | None]:
    def recognise(name: str) -> Found | None:
        match = _FILE.search(name)
        parts = name.split("/")
        if match is None or len(parts) < 3 or folder not in (part.replace("_", "-") for part in parts[:-2]):
            return None
        if match[1] is not None and int(match[1]) != number:
            return None
        case_id = f"{_part(parts)}/{parts[-2]}"
        return Found(case_id, case_id, IMAGE if match[2] is None else match[2])

    return recognise


def _part(parts: list[str]) -> str:
    for part in reversed(parts[:-2]):
        for name in ("Training", "Validation", "Testing"):
            if part.lower().startswith(name.lower()[:5]):
                return name
    return "Training"


def _split_of(patient: str, val: set[str]) -> str:
    if patient in val:
        return "val"
    return "train" if patient.startswith("Training/") else "test"
