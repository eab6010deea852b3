"""The button that writes DICOM SEG: when it can be pressed, what it asks, what it writes."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import dicom_volume
import numpy as np
import pytest
from dicom_volume import MIDDLE, tell_the_files

from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.terminology import STRUCTURES


@pytest.fixture
def a_series(tmp_path: Path) -> Path:
    return dicom_volume.write_series(tmp_path / "series")


@pytest.fixture
def user(application: Any, a_model: Path, a_series: Path, tmp_path: Path) -> Any:
    return dicom_volume.at_the_panel(application, a_model, a_series, tmp_path)


def written(user: Any, path: Path) -> str:
    """Press the button, name the file, and what is said when it is done."""
    user.answers.answers = [path]
    user.click("exportDicomButton")
    user.until(lambda: not user.panel.export.writing, 60)
    return str(user.ui.exportDicomSaid.text)


def approve(user: Any) -> None:
    user.seed(MIDDLE)
    user.press("approveButton")


def test_the_segmentation_is_written_on_the_images_of_the_volume(
    user: Any, a_series: Path, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    assert not user.ui.exportDicomButton.enabled
    assert "loaded from DICOM files" in str(user.ui.exportDicomButton.toolTip)
    tell_the_files(user.node, sorted(a_series.iterdir()))
    approve(user)
    assert user.ui.exportDicomButton.enabled and "archive" in str(user.ui.exportDicomButton.toolTip)
    segment = user.ui.segmentationSelector.currentNode().GetSegmentation().GetNthSegment(0)
    segment.SetTag("TerminologyEntry", STRUCTURES["lung-nodule"].entry)
    assert written(user, tmp_path / "a.dcm") == f"Written: {tmp_path / 'a.dcm'}"
    volume = read_volume(a_series)
    [read] = read_dicom_seg(tmp_path / "a.dcm", volume)
    np.testing.assert_array_equal(read.mask, user.voxels())
    assert read.mask.any() and read.structure == STRUCTURES["lung-nodule"]
    assert read.algorithm.name == "SPASegment" and dict(read.algorithm.parameters)["model"] == "tiny"
    assert user.ui.exportDicomButton.enabled and not user.panel._working


def test_the_files_are_found_in_slicers_database(
    user: Any, a_series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    import slicer

    files = {f"1.{n}": str(path) for n, path in enumerate(sorted(a_series.iterdir()))}
    held: list[tuple[str, bool, bool]] = []
    database = types.SimpleNamespace(
        fileForInstance=lambda uid: files.get(uid, ""),
        isOpen=True,
        insert=lambda path, copy, thumbnail: held.append((path, copy, thumbnail)),
    )
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    monkeypatch.setattr(slicer.modules, "dicomPlugins", {"DICOMSegmentationPlugin": object}, raising=False)
    user.node.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    approve(user)
    assert "into Slicer's DICOM database" in str(user.ui.exportDicomButton.toolTip)
    assert written(user, tmp_path / "a.dcm").endswith("a.dcm. It is in Slicer's DICOM database, too.")
    assert held == [(str(tmp_path / "a.dcm"), True, False)]
    assert "choose another name" in written(user, Path(files["1.0"])) and len(held) == 1
    assert "does not exist; make it" in written(user, tmp_path / "nowhere" / "a.dcm") and len(held) == 1
    database.isOpen = False
    assert written(user, tmp_path / "c.dcm") == f"Written: {tmp_path / 'c.dcm'}" and len(held) == 1
    database.isOpen = True
    monkeypatch.setattr(slicer.modules, "dicomPlugins", {})
    assert written(user, tmp_path / "b.dcm") == f"Written: {tmp_path / 'b.dcm'}" and len(held) == 1
    files.clear()
    user.node.SetAttribute("DICOM.instanceUIDs", "1.0 1.1")
    user.press("nextSliceButton")
    assert not user.ui.exportDicomButton.enabled, "the database has them no more"


def test_what_cannot_be_written_is_said_under_the_button(user: Any, a_series: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    files = sorted(a_series.iterdir())
    tell_the_files(user.node, files)
    user.seed(MIDDLE)
    assert "approve a mask first" in written(user, tmp_path / "a.dcm")
    user.press("approveButton")
    before = files[0].read_bytes()
    assert "is an image of the volume; choose another name" in written(user, files[0])
    assert files[0].read_bytes() == before
    assert "does not exist; make it" in written(user, tmp_path / "nowhere" / "a.dcm")
    files[3].unlink()
    assert written(user, tmp_path / "a.dcm") == f"The system refused {files[3]}: No such file or directory."
    tell_the_files(user.node, [path for path in files if path.exists()])
    assert "Slice 3 of the volume lies on none of the DICOM images" in written(user, tmp_path / "a.dcm")
    assert not (tmp_path / "a.dcm").exists()


def test_what_is_missing_is_asked_for(
    user: Any, a_series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    import importlib.util

    import slicer

    hidden, found, asked = {"highdicom"}, importlib.util.find_spec, []

    def find(name: str, package: str | None = None) -> Any:
        return None if name in hidden else found(name, package)

    def pip_install(lines: Any) -> None:
        asked.append(list(lines))
        hidden.clear()

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    tell_the_files(user.node, sorted(a_series.iterdir()))
    approve(user)
    user.answers.answers = [False]
    user.click("exportDicomButton")
    assert "highdicom must be installed first" in str(user.ui.exportDicomSaid.text) and asked == []
    user.answers.answers = [True, tmp_path / "a.dcm"]
    user.click("exportDicomButton")
    user.until(lambda: not user.panel.export.writing, 60)
    assert [line for lines in asked for line in lines if ">=" in line] == ["highdicom>=0.28"]
    assert (tmp_path / "a.dcm").exists()
