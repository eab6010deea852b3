"""A made-up DICOM series as the chosen volume of the open panel."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.imaging.files import read_volume

sys.path.insert(0, str(Path(__file__).parents[2] / "imaging" / "support"))  # made-up DICOM files
MIDDLE = (-(1.5 + 30 * 0.7), -(-20 + 28 * 0.8), 30 - 3 * 2.5)
"""Of the ball, in RAS."""
FRAME = "1.2.9"
"""Its frame of reference."""


def write_series(folder: Path) -> Path:
    """CT slices with a bright ball in the middle, last slice first."""
    from made_dicom import write_slice

    k, j, i = np.mgrid[:7, :56, :60]
    ball = np.hypot(np.hypot((k - 3) * 2.5, (j - 28) * 0.8), (i - 30) * 0.7) < 7
    stored = np.where(ball, 1000, 300).astype(np.uint16)
    for index in range(7):
        place = (1.5, -20, 30 - 2.5 * index)
        write_slice(folder / f"{index}.dcm", stored[index], place, FrameOfReferenceUID=FRAME)
    return folder


def at_the_panel(application: Any, a_model: Path, a_series: Path, tmp_path: Path) -> Any:
    """A user at the open panel with the series as a volume that nobody knows the files of."""
    from PySide6 import QtCore

    saved = json.dumps({"model": str(a_model), "device": "cpu"})
    QtCore.QSettings().setValue("SPASegment/settings", saved)
    application.open_panel()
    import slicer
    from SPASegmentWidgets import selftest

    user = selftest.open_panel(tmp_path)
    read = read_volume(a_series)
    user.node = slicer.util.addVolumeFromArray(read.array.astype(np.int16), read.ijk_to_ras, "series")
    user.choose_volume(user.node)
    user.look_at(MIDDLE)
    return user


def tell_the_files(node: Any, paths: list[Path]) -> None:
    """As where Slicer loaded the volume from them."""
    import slicer

    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(paths[0]))
    for path in paths:
        storage.AddFileName(str(path))
    node.SetAndObserveStorageNodeID(storage.GetID())
