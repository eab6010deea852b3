"""Every data set by its name on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from SPASegmentLib.errors import DatasetError
from SPASegmentLib.research.datasets.any_cases import AnyCases
from SPASegmentLib.research.datasets.case import MultiRaterDataset
from SPASegmentLib.research.datasets.folder import open_folder
from SPASegmentLib.research.datasets.lidc import LidcPhiseg, LidcProbUnet, LidcSlices
from SPASegmentLib.research.datasets.picture_sets import BuBil, ChaseDb1, Drishti, Refuge2
from SPASegmentLib.research.datasets.volume_sets import TASKS, MsdHippocampus, Qubiq, SpleenCt


@dataclass(frozen=True)
class Registered:
    """How a name is opened, with the options the name already decides."""

    opener: Callable[..., MultiRaterDataset]
    about: str
    fixed: dict[str, Any] = field(default_factory=dict)

    def options(self) -> list[str]:
        """The options a caller may still give."""
        known = ("paths", "split", "subset", *self.fixed)
        return [name for name in inspect.signature(self.opener).parameters if name not in known]


DATASETS: dict[str, Registered] = {
    "lidc": Registered(LidcSlices, "LIDC-IDRI lung nodules, 128x128 crops, 4 raters"),
    "lidc-probunet": Registered(LidcProbUnet, "LIDC-IDRI as distributed for the Probabilistic U-Net"),
    "lidc-phiseg": Registered(LidcPhiseg, "LIDC-IDRI as distributed for PHiSeg (HDF5 or pickle)"),
    "bu-bil": Registered(BuBil, "BU-BIL cells in phase contrast, 5 persons x 2 tools"),
    "drishti-cup": Registered(Drishti, "Drishti-GS optic cup, votes of 4 experts", {"structure": "cup"}),
    "drishti-disc": Registered(Drishti, "Drishti-GS optic disc, votes of 4 experts", {"structure": "disc"}),
    "chase-db1": Registered(ChaseDb1, "CHASE_DB1 retinal vessels, 2 observers"),
    "msd-hippocampus": Registered(MsdHippocampus, "Decathlon hippocampus in MR, 1 rater"),
    "spleen": Registered(SpleenCt, "spleen in a CT crop, 1 rater"),
    "refuge2-cup": Registered(Refuge2, "REFUGE2 optic cup, 7 ophthalmologists", {"structure": "cup"}),
    "refuge2-disc": Registered(Refuge2, "REFUGE2 optic disc, 7 ophthalmologists", {"structure": "disc"}),
    **{f"qubiq-{task}": Registered(Qubiq, f"QUBIQ {task}, 3 to 7 experts", {"task": task}) for task in TASKS},
    "any": Registered(AnyCases, "sets of any structure and modality, each described by its set.json"),
    "folder": Registered(open_folder, "your own: <case>/image.* and <case>/rater-<name>.*"),
}


def open_dataset(
    name: str,
    paths: Iterable[Path | str],
    split: str = "all",
    subset: str | None = "any",
    **options: Any,
) -> MultiRaterDataset:
    """Open a data set from zips and folders given together.

    split: "all", "train", "val", "test" or "held-out" (val and test), by patient. subset: "any" (some rater
    drew something), "all4" (every rater did), or None (every image). options: those of the loader, such as
    `splits_file` for lidc.
    Raises DatasetError for an unknown name or option and for whatever the loader refuses.
    """
    registered = DATASETS.get(name)
    if registered is None:
        raise DatasetError(f"There is no data set '{name}'; choose one of {', '.join(DATASETS)}.")
    unknown = sorted(set(options) - set(registered.options()))
    if unknown:
        has = ", ".join(registered.options()) or "none"
        raise DatasetError(f"The data set {name} has no option '{unknown[0]}'; its options: {has}.")
    return registered.opener(paths, split=split, subset=subset, **registered.fixed, **options)
