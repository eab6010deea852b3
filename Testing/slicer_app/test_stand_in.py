"""The stand-in behaves as the application, and lets no error pass."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (the extra `viewer` brings it)")


def test_an_error_line_of_vtk_is_caught(slicer_app):
    with slicer_app.log.expected(containing="scene is invalid"):
        slicer.vtkMRMLSegmentationNode().AddDefaultStorageNode()


def test_a_failure_told_as_a_warning_is_caught(slicer_app):
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    with slicer_app.log.expected(containing="Invalid input"):
        logic.SetBinaryLabelmapToSegment(slicer.vtkOrientedImageData(), None, "a", logic.MODE_REPLACE)


def test_an_exception_inside_an_observer_is_caught(slicer_app):
    def observer(caller, event):
        raise ValueError("nobody sees this")

    node = slicer_app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    node.AddObserver("ModifiedEvent", observer)
    with slicer_app.log.expected(containing="nobody sees this"):
        node.Modified()


def fail():
    raise OSError("in a thread")


def test_a_logged_error_and_an_exception_in_a_thread_are_caught(slicer_app):
    with slicer_app.log.expected(containing="wrong"):
        logging.getLogger("spasegment").error("something went wrong")
    with slicer_app.log.expected(containing="in a thread"):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()


def test_the_check_fails_where_an_error_was_logged(slicer_app):
    slicer_app.log.errors.append("bad")
    with pytest.raises(AssertionError, match="bad"):
        slicer_app.log.check()
    slicer_app.log.errors.clear()


def test_the_array_functions_of_slicer_work(slicer_app, a_volume_node):
    segmentation = slicer_app.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(a_volume_node)
    segment = segmentation.GetSegmentation().AddEmptySegment("a", "a")
    mask = (slicer.util.arrayFromVolume(a_volume_node) > -300).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, a_volume_node)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, a_volume_node)
    np.testing.assert_array_equal(found, mask)


def test_volumes_segmentations_and_points_go_through_files(slicer_app, a_volume_node, tmp_path):
    voxels = slicer.util.arrayFromVolume(a_volume_node).copy()
    slicer.util.saveNode(a_volume_node, str(tmp_path / "a.nrrd"))
    again = slicer.util.loadVolume(str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), voxels)
    points = slicer_app.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.AddControlPoint(1.0, 2.0, 3.0)
    slicer.util.saveNode(points, str(tmp_path / "p.mrk.json"))
    read = slicer.util.loadMarkups(str(tmp_path / "p.mrk.json"))
    np.testing.assert_allclose(slicer.util.arrayFromMarkupsControlPoints(read), [[1, 2, 3]])


@pytest.mark.parametrize("ending", ["mrb"])
def test_a_saved_scene_opens_again(slicer_app, a_volume_node, tmp_path, ending):
    voxels = slicer.util.arrayFromVolume(a_volume_node).copy()
    slicer_app.save_scene(tmp_path / f"scene.{ending}")
    slicer_app.load_scene(tmp_path / f"scene.{ending}")
    found = slicer_app.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    assert found is not a_volume_node
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(found), voxels)


def test_slice_views_show_a_volume_in_every_orientation(slicer_app, a_volume_node):
    nodes = [
        slicer_app.add_slice_view(tag, name)
        for tag, name in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal"))
    ]
    slicer_app.show_volume(a_volume_node)
    normals = np.array([[n.GetSliceToRAS().GetElement(r, 2) for r in range(3)] for n in nodes])
    assert np.abs(normals).argmax(axis=1).tolist() == [2, 0, 1]
    assert (
        slicer_app.applicationLogic().GetSliceLogic(nodes[0]).GetBackgroundLayer().GetVolumeNode()
        is a_volume_node
    )


def test_the_scene_undoes(slicer_app):
    slicer_app.scene.SaveStateForUndo()
    node = slicer_app.scene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.UnRegister(None)
    node.SetUndoEnabled(True)
    slicer_app.scene.AddNode(node)
    slicer_app.scene.Undo()
    assert slicer_app.scene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode") is None
