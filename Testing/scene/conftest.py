"""What the tests of the scene share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "slicer_app"))

from slicer_fixtures import *  # noqa: F403


@pytest.fixture
def view(slicer_app):
    """Make a slice view that follows a volume's axes, or is oblique to them."""
    from slicer_volumes import rotation, vtk_matrix

    def make(volume_node, orientation="Axial"):
        node = slicer_app.add_slice_view(
            f"View{slicer_app.scene.GetNumberOfNodes()}", "Axial" if orientation == "oblique" else orientation
        )
        slicer_app.show_volume(volume_node, [node])
        slicer_app.applicationLogic().GetSliceLogic(node).RotateSliceToLowestVolumeAxes(True)
        if orientation == "oblique":
            turn = np.eye(4)
            turn[:3, :3] = rotation(31, (1, 1, 0.3))
            before = node.GetSliceToRAS()
            now = turn @ np.array([[before.GetElement(r, c) for c in range(4)] for r in range(4)])
            centre = np.zeros(6)
            volume_node.GetRASBounds(centre)
            now[:3, 3] = centre.reshape(3, 2).mean(axis=1)
            before.DeepCopy(vtk_matrix(now))
            node.UpdateMatrices()
        return node

    return make


@pytest.fixture
def segmentation(slicer_app, a_volume_node):
    """The user's segmentation, empty."""
    from SPASegmentLib.scene.segments import ensure_segmentation

    return ensure_segmentation(slicer_app.scene, a_volume_node, "findings")


@pytest.fixture
def editor(slicer_app, a_volume_node, segmentation):
    """The Segment Editor's settings: nothing masked, nothing overwritten."""
    node = slicer_app.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetAndObserveSegmentationNode(segmentation)
    node.SetAndObserveSourceVolumeNode(a_volume_node)
    node.SetOverwriteMode(node.OverwriteNone)
    return node
