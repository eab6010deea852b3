"""What users do, as scripts: they run on the stand-in and, unchanged, in the real application.

Everything is done through the panel's widgets. Nothing but what Slicer has is imported at the top.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
import vtk

SLICERS_OWN = ("GetSliceOrientationPreset: invalid orientation preset name: Reformat",)
"""Error lines of Slicer itself: it writes this one whenever it reads a scene with an oblique slice view."""
PLANES = ("axial", "sagittal", "coronal", "oblique")
_PRESETS = {"axial": "Axial", "sagittal": "Sagittal", "coronal": "Coronal", "oblique": "Axial"}


def rotated_volume(*, coarse: bool = False):
    """A CT-like volume rotated by 12 degrees, 96 x 80 x 40 voxels of 0.8 x 0.9 x 2 mm, with two objects.

    coarse: every second column and row of it, under the same name. Returns the node and the middle of the
    first object in RAS.
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
    if coarse:
        array = array[:, ::2, ::2]
        turn.Scale(2.0, 2.0, 1.0)
        centre[:2] /= 2
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
    for editor in slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode"):
        editor.SetOverwriteMode(editor.OverwriteNone)  # once the Segment Editor was open, approvals heed it
    volume, ras = rotated_volume()
    user.choose_volume(volume)
    user.answers.answers = [f"Dr. A, {plane}"]
    user.press("newProfileButton")
    look(user, plane, ras)
    user.seed(ras)
    assert user.screen.recommendation is not None, user.status
    untouched = neighbour_segment(user, volume)
    for _ in range(2):
        _pick_nearest(user)
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


def whole_object(user, folder: Path) -> None:
    """Seed, one pick, the whole object, review its most doubtful slice, approve; then take all of it back."""
    volume, ras = rotated_volume()
    values = slicer.util.arrayFromVolume(volume)
    truth = values > -390
    truth[:, :8] = False  # the wall
    user.choose_volume(volume)
    user.panel.advanced.on_model(user.ui.modelSelector.findText("compact"))
    look(user, "axial", ras)
    user.seed(ras)
    _pick_nearest(user)
    user.press("wholeObjectButton")
    user.until(lambda: user.screen.object is not None and not user.screen.busy)
    followed = user.voxels()
    assert _dice(followed, truth) > 0.8, f"{_dice(followed, truth):.2f} after following"
    assert user.screen.object.doubtful, user.status
    user.press("nextDoubtfulButton")
    assert user.screen.recommendation is not None, user.status
    user.press("approveButton")
    user.until(lambda: not user.screen.busy)
    kinds = [one.kind for one in user.screen.object.slices]
    assert kinds.count("anchor") == 2, kinds
    assert _dice(user.voxels(), truth) > 0.8
    for _ in range(8):
        if user.ui.undoButton.enabled:
            user.press("undoButton")
    assert not user.voxels().any() and user.screen.object is None, user.status


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def _pick_nearest(user) -> None:
    """Pick the alternative closest in size to the recommendation: the others may be other objects."""
    wanted = user.screen.recommendation.area_mm2
    sizes = [abs(card.area_mm2 - wanted) for card in user.screen.cards]
    user.press(f"cardPicture{sizes.index(min(sizes)) + 1}")


def click_in_view(ras: tuple, view: str = "Red", *, ctrl: bool = False, shift: bool = False) -> None:
    """The left button in a slice view."""
    drag_in_view(ras, [(0.0, 0.0)], view, ctrl=ctrl, shift=shift)


def drag_in_view(
    ras: tuple, path: list, view: str = "SPASegment", *, ctrl: bool = False, shift: bool = False
) -> None:
    """Drag with the left button. path: mm to the right and up in the view, from a place in world RAS."""
    widget = slicer.app.layoutManager().sliceWidget(view)
    node, to_view = widget.mrmlSliceNode(), vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_view)
    in_plane = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, :2]
    interactor = widget.sliceView().interactor()
    for number, (right, up) in enumerate(path):
        x, y = to_view.MultiplyPoint((*(np.array(ras) + in_plane @ (right, up)), 1.0))[:2]
        interactor.SetEventInformation(round(x), round(y), int(ctrl), int(shift), "\0", 0, None)
        interactor.InvokeEvent("MouseMoveEvent" if number else "LeftButtonPressEvent")
    interactor.InvokeEvent("LeftButtonReleaseEvent")
    slicer.app.processEvents()


def open_in_editor(editor, volume, ras: tuple) -> tuple:
    """Show a volume in the first view and choose it, with a new segment. Returns segmentation and segment."""
    from SPASegmentLib.mrml.segments import add_segmentation, ensure_segment

    logic = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    logic.FitSliceToAll()
    logic.GetSliceNode().JumpSliceByCentering(*ras)
    segmentation = add_segmentation(slicer.mrmlScene, volume, "edited")
    segment = ensure_segment(segmentation, "nodule")
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID(segment)
    return segmentation, segment


def effect_of_the_segment_editor(user, folder: Path, editor) -> None:
    """Click, pick, approve in a qMRMLSegmentEditorWidget, the application's own; its undo, its masking."""
    volume, ras = rotated_volume()
    segmentation, segment = open_in_editor(editor, volume, ras)

    def voxels() -> np.ndarray:
        return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume) > 0

    node = editor.mrmlSegmentEditorNode()
    node.SetOverwriteMode(node.OverwriteNone)
    editor.setActiveEffectByName("SPASegment")
    assert editor.activeEffect() is not None, "the effect is not among the editor's"
    ui = editor.activeEffect().self().face.ui
    user.wait()
    click_in_view(ras)
    user.wait()
    assert user.screen.iteration == 1, ui.statusLabel.text
    wanted = user.screen.recommendation.area_mm2
    sizes = [abs(card.area_mm2 - wanted) for card in user.screen.cards]
    getattr(ui, f"cardPicture{sizes.index(min(sizes)) + 1}").click()
    user.wait()
    assert user.screen.iteration == 2, ui.statusLabel.text
    ui.approveButton.click()
    user.wait()
    approved = voxels()
    assert approved.sum() > 50, ui.statusLabel.text
    editor.undo()
    assert not voxels().any()
    editor.redo()
    assert (voxels() == approved).all()
    ui.undoButton.click()
    user.wait()
    assert not voxels().any()
    array = slicer.util.arrayFromVolume(volume)
    low, high = float(np.median(array[approved])), float(array.max())
    node.SetSourceVolumeIntensityMaskRange(low, high)
    node.SourceVolumeIntensityMaskOn()
    ui.approveButton.click()
    user.wait()
    masked = voxels()
    assert (masked == (approved & (array >= low))).all(), "the editor's intensity range holds"
    node.SourceVolumeIntensityMaskOff()
    editor.setActiveEffectByName("")
    click_in_view(ras)
    user.wait()
    assert user.screen.recommendation is None and (voxels() == masked).all()


def two_volumes(user, folder: Path) -> None:
    """Approve on two volumes of one name and other grids: each keeps what was drawn on it, to the voxel."""
    from oracle import Oracle

    held, oracle = {}, Oracle(user)
    for coarse in (False, True):
        volume, ras = rotated_volume(coarse=coarse)
        user.choose_volume(volume)
        look(user, "axial", ras)
        user.seed(ras)
        assert user.screen.recommendation is not None, user.status
        oracle.check()
        drawn = oracle.drawn()
        user.press("approveButton")
        oracle.check("approve", drawn)
        assert user.voxels().any(), user.status
        held[volume] = (user.ui.segmentationSelector.currentNode(), user.voxels())
    for volume, (segmentation, voxels) in held.items():
        user.choose_volume(volume)
        assert user.ui.segmentationSelector.currentNode() is segmentation
        assert (user.voxels() == voxels).all()


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


def random_user(user, folder: Path, *, actions: int, seed: int) -> int:
    """Random actions in any order, valid or not. Returns how many approvals there were.

    Raises AssertionError where a segment does not hold what it must (see `oracle`).
    """
    from random_user import RandomUser

    one = RandomUser(user, folder, seed)
    one.run(actions)
    return one.oracle.approved
