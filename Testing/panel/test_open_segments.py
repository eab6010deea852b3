"""The button that opens segments of a file on the chosen volume, and going on from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dicom_volume
import numpy as np
import pytest
from dicom_volume import MIDDLE, tell_the_files

from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.masks import write_segments
from SPASegmentLib.imaging.rtstruct import read_rtstruct
from SPASegmentLib.imaging.segments import Segment, own_algorithm
from SPASegmentLib.imaging.terminology import STRUCTURES


@pytest.fixture
def a_series(tmp_path: Path) -> Path:
    return dicom_volume.write_series(tmp_path / "series")


@pytest.fixture
def user(application: Any, a_model: Path, a_series: Path, tmp_path: Path) -> Any:
    user = dicom_volume.at_the_panel(application, a_model, a_series, tmp_path)
    tell_the_files(user.node, sorted(a_series.iterdir()))
    return user


def opened(user: Any, path: Path) -> str:
    """Press the button, name the file, and what is said when it is done."""
    user.answers.answers = [path]
    user.click("openSegmentsButton")
    user.until(lambda: not user.panel.opening.reading, 60)
    return str(user.ui.exportDicomSaid.text)


def write_plan(path: Path, frame: str = dicom_volume.FRAME, **more: list) -> Path:
    """A structure set with an octagon on three slices of the ball, and an empty region before it."""
    from made_dicom import write_structures

    r, a, s = MIDDLE
    around = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = np.stack([-r + 6.3 * np.cos(around), -a + 5.1 * np.sin(around), np.full(8, s)], axis=1)
    contours = [ring + np.array((0, 0, 2.5 * k)) for k in (-1, 0, 1)]
    write_structures(path, {"Marker": [], "GTV": contours, **more}, frame=frame)
    return path


def test_the_panel_goes_on_from_a_region_of_a_plan(user: Any, a_series: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.dcm", PTV=[[(10, -5, 30), (25, -5, 30), (17, 5, 30)]])
    user.look_at((MIDDLE[0], MIDDLE[1], MIDDLE[2] + 7))
    assert opened(user, plan) == "2 segments opened as plan; Continue segment goes on from the chosen one."
    gtv, ptv = read_rtstruct(plan, read_volume(a_series))
    node = user.ui.segmentationSelector.currentNode()
    assert node.GetName() == "plan" and user.screen.segment == "GTV"
    np.testing.assert_array_equal(user.voxels(), gtv.mask)
    assert gtv.mask.sum() > 100

    user.press("continueButton")
    assert user.screen.iteration == 1, user.status
    user.press("takeButton1")
    changed = (user.voxels() != gtv.mask).any(axis=(1, 2))
    assert changed.sum() == 1, "the slice of the region's middle, which the view went to"
    user.press("undoButton")
    np.testing.assert_array_equal(user.voxels(), gtv.mask)
    user.ui.segmentSelector.setCurrentSegmentID(node.GetSegmentation().GetNthSegmentID(1))
    np.testing.assert_array_equal(user.voxels(), ptv.mask)


def test_a_dicom_segmentation_comes_with_all_it_says(user: Any, a_series: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    import slicer

    from SPASegmentLib.imaging.dicom_seg import write_dicom_seg
    from SPASegmentLib.imaging.dicom_seg_reading import read_dicom_seg

    volume = read_volume(a_series)
    masks = np.random.default_rng(0).random((2, *volume.shape)) > 0.6  # they overlap
    masks[0, 5:] = masks[1, :2] = False
    ours = own_algorithm("tiny", "ab" * 32, "0.1.9")
    segments = [
        Segment("Knoten, groß", masks[0], STRUCTURES["lung-nodule"], (0.8, 0.2, 0.1), ours),
        Segment("Rim", masks[1], STRUCTURES["edema"]),
    ]
    write_dicom_seg(tmp_path / "before.dcm", segments, volume)
    before = user.ui.segmentationSelector.currentNode()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = (10, -20, 30)
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    user.node.SetAndObserveTransformNodeID(transform.GetID())
    assert opened(user, tmp_path / "before.dcm").startswith("2 segments opened as before")
    node = user.ui.segmentationSelector.currentNode()
    assert node is not before and node.GetParentTransformNode() is transform
    whole = node.GetSegmentation()
    for n, one in enumerate(segments):
        user.ui.segmentSelector.setCurrentSegmentID(whole.GetNthSegmentID(n))
        np.testing.assert_array_equal(user.voxels(), one.mask)
        np.testing.assert_allclose(whole.GetNthSegment(n).GetColor(), one.colour, atol=0.01)

    user.answers.answers = [tmp_path / "after.dcm"]
    user.click("exportDicomButton")
    user.until(lambda: not user.panel.export.writing, 60)
    for one, other in zip(segments, read_dicom_seg(tmp_path / "after.dcm", volume), strict=True):
        np.testing.assert_array_equal(other.mask, one.mask)
        assert (other.name, other.structure, other.algorithm) == (one.name, one.structure, one.algorithm)


def test_what_cannot_be_opened_is_said_and_changes_nothing(user: Any, a_series: Path, tmp_path: Path) -> None:
    import slicer

    volume = read_volume(a_series)
    nodes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    empty = [Segment("none", np.zeros(volume.shape, bool))]
    write_segments(tmp_path / "none.seg.nrrd", empty, volume)
    (tmp_path / "cut.dcm").write_bytes((a_series / "0.dcm").read_bytes()[:400])
    for path, said in (
        (write_plan(tmp_path / "plan.dcm", "1.2.10"), "another frame of reference than the volume's"),
        (a_series / "0.dcm", "is no DICOM segmentation; give a SEG file"),
        (tmp_path / "cut.dcm", "damaged"),
        (tmp_path / "none.seg.nrrd", "none.seg.nrrd holds no segment with a voxel"),
        (tmp_path / "nothing.dcm", "There is no file"),
    ):
        assert said in opened(user, path), path
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == nodes
    user.answers.answers = [None]
    user.click("openSegmentsButton")
    assert not user.panel.opening.reading, "cancelled"


def test_the_button_waits_for_a_volume_and_for_what_must_be_installed(
    user: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name == "nibabel" else found(name)
    )
    user.answers.answers = [False]
    user.click("openSegmentsButton")
    said = str(user.ui.exportDicomSaid.text)
    assert said == "No segments are opened: nibabel must be installed first."
    user.choose_volume(None)
    assert not user.ui.openSegmentsButton.enabled
