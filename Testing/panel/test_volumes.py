"""Several volumes at the panel: which one is chosen, and where its masks go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

REMOVED = "The volume was removed; choose another one."


@pytest.fixture
def user(application: Any, tmp_path: Path) -> Any:
    """At the open panel, with two volumes of one name on other grids; none is chosen."""
    application.open_panel()
    import scenarios
    from SPASegmentWidgets import selftest

    user = selftest.open_panel(tmp_path)
    user.nodes = [scenarios.rotated_volume(coarse=coarse) for coarse in (False, True)]
    user.ui.samplesSpin.value = 8
    user.panel.advanced.on_samples()
    return user


def _propose(user: Any, which: int) -> None:
    import scenarios

    node, ras = user.nodes[which]
    user.choose_volume(node)
    scenarios.look(user, "axial", ras)
    user.seed(ras)


def _shown(user: Any) -> np.ndarray:
    """(K, J, I) bool: the recommendation on the screen, on the volume's own grid."""
    from SPASegmentLib.imaging.geometry import paste_mask

    work = user.panel.controller._work.trail.current
    view = work.view
    return paste_mask(view.in_plane_order(work.proposal.recommendation), view.voxel_plane, view.volume)


def test_masks_of_a_second_volume_go_to_its_own_segmentation_voxel_for_voxel(user: Any) -> None:
    wanted, segmentations = [], []
    for which in (0, 1):
        _propose(user, which)
        wanted.append(_shown(user))
        user.press("approveButton")
        segmentations.append(user.ui.segmentationSelector.currentNode())
    assert len({node.GetName() for node in segmentations}) == 2
    for which in (1, 0):
        user.choose_volume(user.nodes[which][0])
        assert user.ui.segmentationSelector.currentNode() is segmentations[which]
        assert (user.voxels() == wanted[which]).all()
        image = segmentations[which].GetBinaryLabelmapInternalRepresentation(
            str(user.ui.segmentSelector.currentSegmentID())
        )
        spacing = user.nodes[which][0].GetSpacing()
        assert np.allclose(image.GetSpacing(), spacing), "on the volume's own grid"


def test_the_model_sees_the_window_that_the_slice_views_show_and_the_panels_before_it(user: Any) -> None:
    from SPASegmentLib.mrml.slicing import cut_view

    node, ras = user.nodes[0]

    def seen() -> str:
        _propose(user, 0)
        image = user.panel.controller._work.trail.current.view.image
        user.press("undoButton")
        return str(image.key)

    def within(low: float, high: float) -> str:
        large = user.panel.views.chosen()[0]
        return str(cut_view(node, large, at_ras=ras, window=(low, high)).image.key)

    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(-450, 1550)
    assert seen() == within(-450, 1550)
    user.ui.windowCheck.checked = False
    user.ui.windowLowSpin.value, user.ui.windowHighSpin.value = -200, 300
    user.panel.advanced.on_window()
    assert seen() == within(-200, 300)


def test_deleting_the_volume_with_a_proposal_open_says_so_and_chooses_no_other(user: Any) -> None:
    import slicer

    _propose(user, 0)
    slicer.mrmlScene.RemoveNode(user.nodes[0][0])
    user.wait()
    assert user.ui.volumeSelector.currentNode() is None
    assert user.status == REMOVED


def test_deleting_a_segmentation_does_not_send_masks_to_another_volumes(user: Any) -> None:
    import slicer

    _propose(user, 1)
    user.press("approveButton")
    others = user.ui.segmentationSelector.currentNode()
    held = user.voxels()
    _propose(user, 0)
    slicer.mrmlScene.RemoveNode(user.ui.segmentationSelector.currentNode())
    assert user.ui.segmentationSelector.currentNode() is None
    shown = _shown(user)
    user.press("approveButton")
    assert user.ui.segmentationSelector.currentNode() is not others
    assert (user.voxels() == shown).all()
    user.choose_volume(user.nodes[1][0])
    assert (user.voxels() == held).all()


def test_the_only_volume_is_the_chosen_one(user: Any) -> None:
    import scenarios
    import slicer

    slicer.mrmlScene.Clear()
    user.wait()
    assert user.ui.volumeSelector.currentNode() is None
    node, _ras = scenarios.rotated_volume()
    user.until(lambda: user.ui.volumeSelector.currentNode() is node)
    scenarios.rotated_volume(coarse=True)
    user.choose_volume(None)
    user.wait()
    assert user.ui.volumeSelector.currentNode() is None, "of two volumes the user chooses"


def test_the_status_line_says_what_a_click_excludes(user: Any) -> None:
    _propose(user, 0)
    user.click("excludeButton")
    assert user.status.startswith("Click on what does not belong")
    user.click("excludeButton")
    assert "does not belong" not in user.status


def test_leaving_the_module_keeps_slice_and_zoom(user: Any) -> None:
    import slicer

    _propose(user, 0)
    large, _small = user.panel.views.chosen()
    large.SetFieldOfView(31.0, 31.0, large.GetFieldOfView()[2])
    large.JumpSliceByCentering(*user.nodes[0][1])
    across = min(large.GetFieldOfView()[:2])
    user.widget.exit()
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    assert min(red.GetFieldOfView()[:2]) == pytest.approx(across)
    centre = [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    assert np.allclose(centre, user.nodes[0][1], atol=1.01)
    user.widget.enter()
    assert min(large.GetFieldOfView()[:2]) == pytest.approx(across)


def test_two_volumes_as_in_the_application(user: Any, tmp_path: Path) -> None:
    import scenarios

    scenarios.two_volumes(user, tmp_path)
