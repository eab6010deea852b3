"""What users do, as scripts: they run on the stand-in and, unchanged, in the real application.

Everything is done through the panel's widgets. Nothing but what Slicer has is imported at the top.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import slicer
import vtk

SLICERS_OWN = ("GetSliceOrientationPreset: invalid orientation preset name: Reformat",)
"""Error lines of Slicer itself: it writes this one whenever it reads a scene with an oblique slice view."""
PLANES = ("axial", "sagittal", "coronal", "oblique")
_PRESETS = {"axial": "Axial", "sagittal": "Sagittal", "coronal": "Coronal", "oblique": "Axial"}


def rotated_volume():
    """A CT-like volume rotated by 12 degrees, 96 x 80 x 40 voxels of 0.8 x 0.9 x 2 mm, with two objects.

    Returns the node and the middle of the first object in RAS.
    """
    rng = np.random.default_rng(3)
    k, j, i = np.mgrid[:40, :80, :96].astype(float)
    centre = np.array([48.0, 40.0, 20.0])
    distance = np.sqrt(
        ((i - centre[0]) * 0.8) ** 2 + ((j - centre[1]) * 0.9) ** 2 + ((k - centre[2]) * 2) ** 2
    )
    wobble = 1.2 * np.sin(3 * np.arctan2(j - centre[1], i - centre[0]))
    array = -820 + 860 / (1 + np.exp((distance - 11 - wobble) / 1.6)) + rng.normal(0, 25, k.shape)
    array[:, :8] = 50
    turn = vtk.vtkTransform()
    turn.Translate(12.0, -30.0, 55.0)
    turn.RotateWXYZ(12.0, 1.0, 2.0, 3.0)
    turn.Scale(-0.8, -0.9, 2.0)
    matrix = slicer.util.arrayFromVTKMatrix(turn.GetMatrix())
    node = slicer.util.addVolumeFromArray(
        np.clip(array, -1024, 3071).astype(np.int16), matrix, "rotated chest"
    )
    node.SetAttribute("DICOM.Modality", "CT")
    ras = matrix @ [*centre, 1.0]
    return node, tuple(float(value) for value in ras[:3])


def neighbour_segment(user, volume, name: str = "neighbour"):
    """Another segment in the user's segmentation, under and beside the object; returns its voxels."""
    segmentation = user.ui.segmentationSelector.currentNode()
    other = segmentation.GetSegmentation().AddEmptySegment(name, name)
    voxels = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    voxels[12:28, 30:52, 44:70] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, other, volume)
    return voxels > 0


def voxels_of(user, volume, segment: str) -> np.ndarray:
    """(K, J, I) bool."""
    segmentation = user.ui.segmentationSelector.currentNode()
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume) > 0


def look(user, plane: str, ras: tuple) -> None:
    """Turn the large view to a plane through a place; the others follow."""
    large, _small = user.panel.views.chosen()
    large.SetOrientation(_PRESETS[plane])
    if plane == "oblique":
        turned = vtk.vtkTransform()
        turned.SetMatrix(large.GetSliceToRAS())
        turned.RotateX(31.0)
        turned.RotateY(-17.0)
        large.GetSliceToRAS().DeepCopy(turned.GetMatrix())
        large.UpdateMatrices()
    large.JumpSliceByCentering(*ras)
    user.panel.choose_views()
    slicer.app.processEvents()


def clinician(user, folder: Path, plane: str) -> None:
    """Seed, two picks, approve, next slice, approve, undo, save the scene, reopen it."""
    volume, ras = rotated_volume()
    user.choose_volume(volume)
    user.answers.answers = [f"Dr. A, {plane}"]
    user.press("newProfileButton")
    look(user, plane, ras)
    user.seed(ras)
    assert user.screen.recommendation is not None, user.status
    untouched = neighbour_segment(user, volume)
    for button in ("pickButton1", "pickButton2"):
        user.press(button)
    assert user.screen.iteration == 3, user.status
    area = user.screen.recommendation.area_mm2
    user.press("approveButton")
    first = user.voxels()
    assert first.any(), user.status
    _lies_on_the_slice(user, volume, first, ras, area, plane)
    user.press("nextSliceButton")
    assert user.screen.recommendation is not None, user.status
    user.press("approveButton")
    user.until(lambda: user.screen.profile_images == 2)
    both = user.voxels()
    assert both.sum() > first.sum() and (both[first]).all()
    user.press("undoButton")
    assert (user.voxels() == first).all()
    user.until(lambda: user.screen.profile_images == 1)
    user.press("redoButton")
    user.until(lambda: user.screen.profile_images == 2)
    assert (user.voxels() == both).all()
    assert (voxels_of(user, volume, "neighbour") == untouched).all()
    path = folder / f"{plane}.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear()
    slicer.app.processEvents()
    slicer.util.loadScene(str(path))
    user.wait()
    volume = user.ui.volumeSelector.currentNode()
    assert (user.voxels() == both).all()
    assert (voxels_of(user, volume, "neighbour") == untouched).all()
    user.until(lambda: user.screen.profile == f"Dr. A, {plane}")
    assert user.screen.profile_images == 2
    user.press("undoButton")
    assert (user.voxels() == first).all(), user.status


def _lies_on_the_slice(user, volume, voxels: np.ndarray, ras: tuple, area: float, plane: str) -> None:
    """Every voxel is within reach of the plane that was looked at, and around the seed."""
    ijk_to_ras = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(ijk_to_ras)
    matrix = slicer.util.arrayFromVTKMatrix(ijk_to_ras)
    k, j, i = np.nonzero(voxels)
    points = (matrix @ np.stack([i, j, k, np.ones_like(i)]))[:3]
    large, _small = user.panel.views.chosen()
    plane_matrix = slicer.util.arrayFromVTKMatrix(large.GetSliceToRAS())
    normal = plane_matrix[:3, 2] / np.linalg.norm(plane_matrix[:3, 2])
    reach = np.linalg.norm(matrix[:3, :3], axis=0).max()
    offsets = normal @ (points - np.array(ras)[:, None])
    assert np.abs(offsets).max() <= reach, f"{plane}: {np.abs(offsets).max():.2f} mm from the slice"
    middle = points.mean(axis=1)
    assert np.linalg.norm(middle - ras) < 8, (
        f"{plane}: the mask lies {np.linalg.norm(middle - ras):.1f} mm off"
    )
    assert area > 50


def masher(user, folder: Path, *, actions: int, seed: int) -> int:
    """Random actions in any order, valid or not. Returns how many approvals there were.

    After every action the approved voxels are where they were, unless it was the undo of an approval.
    """
    rng = random.Random(seed)
    nodes: list = []
    approvals = 0
    for _n in range(actions):
        before = _approved_voxels(user)
        action = rng.choice(_ACTIONS)
        was_done = user.screen.tone == "done" or user.screen.recommendation is None
        action(user, rng, nodes, folder)
        slicer.app.processEvents()
        if rng.random() < 0.3:
            user.wait()
        after = _approved_voxels(user)
        approvals += action in (_approve, _take)
        if before is not None and after is not None and before[0] == after[0]:
            lost = before[1] & ~after[1]
            undone = action in (_undo, _key_undo) or was_done or action in (_approve, _take, _redo)
            assert undone or not lost.any(), f"{action.__name__} lost {lost.sum()} approved voxels"
        assert user.status, f"the status line is empty after {action.__name__}"
    user.wait()
    return approvals


def _approved_voxels(user):
    node, segment = (
        user.ui.segmentationSelector.currentNode(),
        str(user.ui.segmentSelector.currentSegmentID() or ""),
    )
    volume = user.ui.volumeSelector.currentNode()
    if node is None or volume is None or not segment or node.GetSegmentation().GetSegment(segment) is None:
        return None
    if volume.GetImageData() is None:
        return None
    found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)
    return ((node.GetID(), segment, volume.GetID()), found > 0) if found is not None else None


def _new_volume(user, rng, nodes, folder) -> None:
    if len(nodes) > 2:
        return
    node, ras = rotated_volume()
    nodes.append((node, ras))
    user.choose_volume(node)


def _some_volume(user, rng, nodes, folder) -> None:
    alive = [node for node, _ras in nodes if node.GetScene() is not None]
    user.choose_volume(rng.choice([*alive, None]))


def _delete_node(user, rng, nodes, folder) -> None:
    selector = rng.choice([user.ui.volumeSelector, user.ui.segmentationSelector])
    node = selector.currentNode()
    if node is not None and rng.random() < 0.15:
        nodes[:] = [pair for pair in nodes if pair[0] is not node]
        slicer.mrmlScene.RemoveNode(node)


def _delete_segment(user, rng, nodes, folder) -> None:
    node, segment = (
        user.ui.segmentationSelector.currentNode(),
        str(user.ui.segmentSelector.currentSegmentID() or ""),
    )
    if node is not None and segment and rng.random() < 0.2:
        node.GetSegmentation().RemoveSegment(segment)


def _seed(user, rng, nodes, folder) -> None:
    user.click("seedButton")
    if user.panel.views.placing is None:
        return
    at = [ras for node, ras in nodes if node is user.ui.volumeSelector.currentNode()] or [(0.0, 0.0, 0.0)]
    spread = rng.choice([2.0, 10.0, 500.0])
    user.click_in_view(tuple(value + rng.uniform(-spread, spread) for value in at[0]))


def _exclude(user, rng, nodes, folder) -> None:
    user.click("excludeButton")
    if user.panel.views.placing is False:
        user.click_in_view(tuple(rng.uniform(-60, 60) for _axis in range(3)))


def _presser(name: str) -> Callable:
    def press(user, rng, nodes, folder) -> None:
        user.click(name)

    press.__name__ = name
    return press


def _pick(user, rng, nodes, folder) -> None:
    user.click(f"pickButton{rng.randint(1, 4)}")


def _take(user, rng, nodes, folder) -> None:
    user.click(f"takeButton{rng.randint(1, 4)}")


def _by_key(user, rng, nodes, folder) -> None:
    from SPASegmentLib.scene.keys import KEYS

    names = [name for name in KEYS if not name.startswith(("undo", "redo", "approve", "take"))]
    user.panel.act(rng.choice([*names, "pick:9", "nonsense", "place_seed", "exclude_point"]))


def _approve(user, rng, nodes, folder) -> None:
    user.click("approveButton")


def _undo(user, rng, nodes, folder) -> None:
    user.click("undoButton")


def _redo(user, rng, nodes, folder) -> None:
    user.click("redoButton")


def _key_undo(user, rng, nodes, folder) -> None:
    user.panel.act("undo")


def _segment(user, rng, nodes, folder) -> None:
    if rng.random() < 0.3:
        user.click("newSegmentButton")


def _turn(user, rng, nodes, folder) -> None:
    at = [ras for node, ras in nodes if node is user.ui.volumeSelector.currentNode()]
    if at:
        look(user, rng.choice(PLANES), at[0])


def _scroll(user, rng, nodes, folder) -> None:
    large, _small = user.panel.views.chosen()
    if large is not None:
        large.SetSliceOffset(large.GetSliceOffset() + rng.uniform(-6, 6))
    user.panel.choose_views()


def _profile(user, rng, nodes, folder) -> None:
    user.answers.answers = [rng.choice(["Dr. A", "Dr. B", None, "x" * 300, folder / "nowhere" / "a.json"])]
    row = user.panel.profiles
    rng.choice([row.on_new, row.on_save_as, row.on_summary])()
    user.answers.answers = []


def _exchange(user, rng, nodes, folder) -> None:
    user.answers.answers = [rng.choice([folder / "out.json", folder / "nowhere" / "a.json", None])]
    rng.choice([user.panel.profiles.on_export, user.panel.profiles.on_import])()
    user.answers.answers = []


def _learn(user, rng, nodes, folder) -> None:
    user.ui.learnCheck.checked = rng.random() < 0.5


def _samples(user, rng, nodes, folder) -> None:
    user.ui.samplesSpin.value = rng.choice([0, 1, 16, 24])
    user.panel.advanced.on_samples()


def _window(user, rng, nodes, folder) -> None:
    user.ui.windowCheck.checked = rng.random() < 0.6
    user.ui.windowLowSpin.value = rng.choice([-1000, 400, 500])
    user.panel.advanced.on_window()


def _layout(user, rng, nodes, folder) -> None:
    user.click("layoutButton")


def _leave_and_come_back(user, rng, nodes, folder) -> None:
    user.widget.exit()
    if rng.random() < 0.5:
        slicer.app.processEvents()
    user.widget.enter()


def _close_scene(user, rng, nodes, folder) -> None:
    if rng.random() < 0.05:
        nodes.clear()
        slicer.mrmlScene.Clear()


_ACTIONS = (
    *(_new_volume, _some_volume, _delete_node, _delete_segment, _close_scene, _segment),
    *(_seed, _seed, _seed, _seed, _exclude, _pick, _pick, _take, _approve, _approve),
    *(_undo, _redo, _key_undo, _by_key, _by_key, _turn, _scroll, _scroll),
    *(_profile, _exchange, _learn, _samples, _window, _layout, _leave_and_come_back),
    *map(_presser, ("noneButton", "cancelButton", "nextSliceButton", "previousSliceButton", "cardPicture2")),
)
