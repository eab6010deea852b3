"""SPASegment as an effect of the Segment Editor: its segment, its source volume, its masking and its undo."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6 import QtCore

Key = QtCore.Qt.Key
Alt = QtCore.Qt.KeyboardModifier.AltModifier
Shift = QtCore.Qt.KeyboardModifier.ShiftModifier


class EditorUser:
    """At the Segment Editor with the rotated volume and an empty segment; the effect is not active yet."""

    def __init__(self, panel_user: Any, application: Any) -> None:
        import scenarios
        import segment_editor

        self.panel, self.application = panel_user.panel, application
        self.volume, self.ras = scenarios.rotated_volume()
        self.editor = segment_editor.open_editor(application)
        self.segmentation, self.segment = scenarios.open_in_editor(self.editor, self.volume, self.ras)
        self.editor.node.SetOverwriteMode(self.editor.node.OverwriteNone)
        self.view = application.layoutManager().sliceWidget("Red").mrmlSliceNode()
        self._until = panel_user.until

    @property
    def screen(self) -> Any:
        return self.panel.controller.screen

    @property
    def ui(self) -> Any:
        return self.face.ui

    @property
    def face(self) -> Any:
        return self.editor.effects[0].self().face

    @property
    def status(self) -> str:
        return str(self.ui.statusLabel.text)

    def activate(self) -> None:
        self.editor.setActiveEffectByName("SPASegment")
        assert self.editor.activeEffect() is not None
        self.wait()

    def wait(self) -> None:
        self._until(lambda: not self.screen.busy and self.panel.controller.wait(0.0))

    def click(self, ras: tuple, **more: bool) -> None:
        import scenarios

        scenarios.click_in_view(ras, **more)
        self.wait()

    def press(self, key: Any, *modifiers: Any) -> None:
        self.application.press(key, *modifiers)
        self.wait()

    def voxels(self, segment: str = "") -> np.ndarray:
        import slicer

        return (
            slicer.util.arrayFromSegmentBinaryLabelmap(
                self.segmentation, segment or self.segment, self.volume
            )
            > 0
        )


@pytest.fixture
def editor(application: Any, nothing_ahead: None, remembering: None, tmp_path: Path) -> Iterator[EditorUser]:
    """The panel was opened once, then the Segment Editor."""
    application.open_panel()
    from SPASegmentWidgets import selftest

    user = EditorUser(selftest.open_panel(tmp_path), application)
    yield user
    user.editor.close()


def test_click_pick_approve_and_the_editors_undo(editor: EditorUser) -> None:
    editor.activate()
    assert editor.status == "Click on the object in a slice view."
    editor.click(editor.ras)
    assert editor.screen.iteration == 1 and len(editor.screen.cards) == 4
    for number in range(5):
        assert not editor.ui.__dict__[f"cardPicture{number}"].icon.isNull()
    assert not editor.voxels().any()
    editor.press(Key.Key_2, Alt)
    assert editor.screen.iteration == 2
    editor.press(Key.Key_0, Alt)
    assert editor.screen.iteration == 3
    area = editor.screen.recommendation.area_mm2
    editor.press(Key.Key_Return)
    approved = editor.voxels()
    assert approved.sum() * 0.8 * 0.9 == pytest.approx(area, rel=0.15)
    assert editor.editor.keys_pressed == [], "no key of ours is the editor's"
    editor.editor.logic.Undo()
    assert not editor.voxels().any()
    editor.editor.logic.Redo()
    assert (editor.voxels() == approved).all()
    editor.press(Key.Key_Backspace)
    assert not editor.voxels().any() and editor.screen.recommendation is not None
    editor.press(Key.Key_Backspace, Shift)
    assert (editor.voxels() == approved).all()


def test_ctrl_excludes_and_shift_stays_slicers_own(editor: EditorUser) -> None:
    editor.activate()
    editor.click(editor.ras, shift=True)
    assert editor.screen.recommendation is None
    editor.click(editor.ras)
    r, a, s = editor.ras
    editor.click((r + 5.0, a, s), ctrl=True)
    assert [seed[3] for seed in editor.screen.seeds] == [True, False]


def test_every_sentence_names_the_keys_that_work_here(editor: EditorUser) -> None:
    def check() -> None:
        for wrong in (r"(?<!Alt\+)(?<!-)\b[0-4]\b(?!\.)", r"(?<!Alt\+)\bUp\b", "Space"):
            found = re.search(wrong, re.sub(r"\d+[.,]\d+|on \d+|\d+ doubtful", "", editor.status))
            assert not found, editor.status

    editor.activate()
    check()
    editor.click(editor.ras)
    assert "Alt+1-4" in editor.status
    check()
    editor.press(Key.Key_Return)
    assert "Alt+Up" in editor.status
    check()
    editor.press(Key.Key_F, Shift)
    assert editor.status.startswith("Whole object")
    check()
    for name, key in (("cardPicture1", "Alt+1"), ("takeButton2", "Alt+Shift+2"), ("undoButton", "Backspace")):
        assert key in str(editor.ui.__dict__[name].toolTip)


def _paint(editor: EditorUser, segment: str) -> np.ndarray:
    """The half of the volume right of the object's middle is another segment's."""
    import slicer

    voxels = np.zeros(slicer.util.arrayFromVolume(editor.volume).shape, np.uint8)
    voxels[:, :, 48:] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, editor.segmentation, segment, editor.volume)
    return voxels > 0


def test_masking_intensities_and_overwriting_are_those_of_the_editor(editor: EditorUser) -> None:
    """What is written is what the editor's own code would write of the same mask."""
    import slicer

    from SPASegmentLib.mrml.segments import ensure_segment

    other = ensure_segment(editor.segmentation, "other")
    kind, node = slicer.vtkMRMLSegmentationNode, editor.editor.node
    half = _paint(editor, other)
    editor.activate()
    editor.click(editor.ras)
    editor.press(Key.Key_Return)
    free = editor.voxels()
    assert free[half].any() and free[~half].any()
    image = slicer.vtkOrientedImageData()
    editor.segmentation.GetBinaryLabelmapRepresentation(editor.segment, image)

    def everywhere() -> None:
        node.SetMaskMode(kind.EditAllowedEverywhere)

    def outside() -> None:
        node.SetMaskMode(kind.EditAllowedOutsideAllSegments)

    def intensities() -> None:
        everywhere()
        node.SetSourceVolumeIntensityMaskRange(-300.0, 10.0)
        node.SourceVolumeIntensityMaskOn()

    def overwriting() -> None:
        node.SourceVolumeIntensityMaskOff()
        node.SetOverwriteMode(node.OverwriteAllSegments)

    seen = []
    for setting in (outside, intensities, overwriting):
        editor.press(Key.Key_Backspace)
        assert not editor.voxels().any() and (editor.voxels(other) == half).all()
        setting()
        wanted = _written_by_the_editor(editor, image, other)
        editor.press(Key.Key_Return)
        found = editor.voxels(), editor.voxels(other)
        for one, another in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, another)
        seen.append((int(found[0].sum()), int(found[1].sum())))
    whole, all_of_other = int(free.sum()), int(half.sum())
    assert 0 < seen[0][0] < whole and 0 < seen[1][0] < whole
    assert seen[2] == (whole, all_of_other - int((free & half).sum()))


def _written_by_the_editor(editor: EditorUser, image: Any, other: str) -> tuple[np.ndarray, np.ndarray]:
    """(segment, other) after the editor's logic added a labelmap; taken back again."""
    logic = editor.editor.logic
    logic.SaveStateForUndo()
    modifier = logic.GetModifierLabelmap()
    logic.ResetModifierLabelmapToDefault()
    import slicer

    slicer.vtkOrientedImageDataResample.ModifyImage(
        modifier, image, slicer.vtkOrientedImageDataResample.OPERATION_MAXIMUM
    )
    logic.ModifySegmentByLabelmap(
        editor.segmentation, editor.segment, modifier, logic.ModificationModeAdd, True, False
    )
    found = editor.voxels(), editor.voxels(other)
    logic.Undo()
    assert not editor.voxels().any()
    return found


def test_what_is_open_is_seen_again_when_the_effect_is_chosen_again(editor: EditorUser) -> None:
    editor.activate()
    editor.click(editor.ras)
    area = editor.screen.recommendation.area_mm2
    editor.editor.setActiveEffectByName("")
    assert editor.screen.recommendation is None and editor.screen.seeds == ()
    assert not _drawn(), "other effects are not disturbed by our outlines"
    editor.view.JumpSliceByCentering(0.0, 0.0, 0.0)
    editor.view.JumpSliceByCentering(*editor.ras)
    editor.application.processEvents()
    editor.press(Key.Key_Return)
    assert not editor.voxels().any(), "our keys live only while the effect is active"
    editor.activate()
    assert editor.screen.recommendation.area_mm2 == area and _drawn()
    editor.press(Key.Key_Return)
    assert editor.voxels().any()


def test_another_segment_begins_anew_and_redo_brings_back_what_was_open(editor: EditorUser) -> None:
    from SPASegmentLib.mrml.segments import ensure_segment

    editor.activate()
    editor.click(editor.ras)
    editor.press(Key.Key_Return)
    approved = editor.voxels()
    editor.press(Key.Key_Up, Alt)
    assert editor.screen.recommendation is not None
    other = ensure_segment(editor.segmentation, "vessel")
    editor.editor.node.SetSelectedSegmentID(other)
    assert editor.screen.recommendation is None and "taken back" in editor.status
    editor.press(Key.Key_Backspace, Shift)
    assert editor.screen.recommendation is not None
    editor.press(Key.Key_Return)
    assert editor.voxels(other).any() and (editor.voxels() == approved).all()


def test_another_source_volume_and_a_closed_scene_end_it(editor: EditorUser) -> None:
    import scenarios
    import slicer

    editor.activate()
    editor.click(editor.ras)
    editor.press(Key.Key_Return)
    approved = editor.voxels()
    editor.press(Key.Key_Up, Alt)
    second, _ras = scenarios.rotated_volume(coarse=True)
    editor.editor.logic.SetSourceVolumeNode(second)
    assert editor.screen.recommendation is None
    editor.editor.logic.SetSourceVolumeNode(editor.volume)
    editor.wait()
    assert editor.screen.recommendation is not None, "it is there again with its volume"
    assert (editor.voxels() == approved).all()
    slicer.mrmlScene.Clear()
    editor.application.processEvents()
    assert editor.editor.activeEffect() is None and not editor.face.is_open
    assert editor.screen.recommendation is None


def test_leaving_while_it_computes_leaves_nothing_behind(editor: EditorUser) -> None:
    import scenarios

    editor.activate()
    scenarios.click_in_view(editor.ras)
    assert editor.screen.busy
    editor.editor.setActiveEffectByName("")
    editor.wait()
    assert editor.screen.recommendation is None and not editor.voxels().any() and not _drawn()


def test_it_says_so_where_something_is_missing(editor: EditorUser, monkeypatch: pytest.MonkeyPatch) -> None:
    join: Callable[..., bool] = lambda: False  # noqa: E731
    monkeypatch.setattr(editor.panel, "join", join)
    editor.editor.setActiveEffectByName("SPASegment")
    assert "open the module SPASegment" in editor.status
    editor.click(editor.ras)
    editor.press(Key.Key_Return)
    assert not editor.voxels().any()


def test_the_scenario_of_the_real_application_passes_here(application: Any, tmp_path: Path) -> None:
    application.open_panel()
    import scenarios
    import segment_editor
    from SPASegmentWidgets import selftest

    user = selftest.open_panel(tmp_path)
    editor = segment_editor.open_editor(application)
    scenarios.effect_of_the_segment_editor(user, tmp_path, editor)
    editor.close()


def _drawn() -> bool:
    """Whether an overlay of ours is shown anywhere."""
    import slicer

    return any(
        node.GetAttribute("SPASegment.overlays") and node.GetVisibility()
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")
    )
