"""Keys, settings, profiles and reload, as a user meets them; and an interface that never waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6 import QtCore, QtWidgets

Key = QtCore.Qt.Key
Shift = QtCore.Qt.KeyboardModifier.ShiftModifier
Control = QtCore.Qt.KeyboardModifier.ControlModifier


def test_the_whole_session_goes_by_keys(user: Any, application: Any) -> None:
    application.press(Key.Key_S)
    assert user.panel.views.placing is True
    application.press(Key.Key_Escape)
    assert user.panel.views.placing is None
    user.seed(user.ras)
    application.press(Key.Key_2)
    user.wait()
    assert user.screen.iteration == 2
    application.press(Key.Key_0)
    user.wait()
    assert user.screen.iteration == 3
    application.press(Key.Key_Return)
    user.wait()
    approved = user.voxels()
    assert approved.any()
    application.press(Key.Key_Z, Control)
    user.wait()
    assert not user.voxels().any()
    application.press(Key.Key_Backspace, Shift)
    user.wait()
    assert (user.voxels() == approved).all()
    application.press(Key.Key_Up)
    user.wait()
    application.press(Key.Key_1, Shift)
    user.wait()
    assert user.voxels().sum() > approved.sum()


def test_f_and_its_button_follow_the_whole_object_and_one_undo_takes_it_back(
    user: Any, application: Any
) -> None:
    assert not user.ui.wholeObjectButton.enabled
    user.seed(user.ras)
    assert user.ui.wholeObjectButton.enabled
    application.press(Key.Key_F)
    user.wait()
    assert "Whole object" in user.status
    found = user.voxels()
    slices = found.any(axis=(1, 2)).nonzero()[0]
    assert len(slices) >= 5
    assert list(slices) == list(range(slices[0], slices[-1] + 1))
    user.click("undoButton")
    user.wait()
    assert not user.voxels().any()
    user.click("redoButton")
    user.wait()
    assert (user.voxels() == found).all()


@pytest.mark.long
def test_a_whole_object_is_reviewed_by_keys(user: Any, application: Any) -> None:
    user.panel.advanced.on_model(user.ui.modelSelector.findText("compact"))
    user.seed(user.ras)
    application.press(Key.Key_F)
    user.wait()
    shown = user.screen.object
    text = str(user.ui.objectLabel.text)
    assert text.startswith(f"Object: {shown.volume_ml:.2f} ml on {len(shown.slices)} slices.")
    assert shown.doubtful and shown.doubtful[0].reason in text
    assert "(Space)" in str(user.ui.nextDoubtfulButton.toolTip)
    application.press(Key.Key_Space)
    user.wait()
    assert shown.doubtful[0].reason in user.screen.warnings[0]
    application.press(Key.Key_Return, Shift)
    user.wait()
    assert [one.kind for one in user.screen.object.slices].count("anchor") == 2
    for _ in range(6):  # what is open now, the review, the object
        user.click("undoButton")
        user.wait()
    assert not user.voxels().any()
    assert user.screen.object is None and user.ui.objectLabel.text == ""


@pytest.mark.long
def test_home_goes_back_to_the_slice_an_object_was_followed_from(user: Any, application: Any) -> None:
    user.panel.advanced.on_model(user.ui.modelSelector.findText("compact"))
    user.seed(user.ras)
    application.press(Key.Key_F)
    user.wait()
    application.press(Key.Key_Space)
    user.wait()
    application.press(Key.Key_Return)
    user.wait()
    reviewed = user.voxels()
    application.press(Key.Key_Home)
    user.wait()
    assert user.status.startswith("Approved") and user.screen.recommendation is None
    user.click("undoButton")
    user.wait()
    assert user.screen.object is None, "what it was followed from is taken back"
    assert 0 < user.voxels().sum() < reviewed.sum(), "the slice that was approved by itself stays"


def test_a_doubtful_mask_has_no_green_button(user: Any, application: Any) -> None:
    import slicer

    user.seed(user.ras)
    assert not user.screen.doubtful and "background" in user.ui.approveButton.styleSheet
    noise = np.random.default_rng(0).normal(0, 300, slicer.util.arrayFromVolume(user.node).shape)
    slicer.util.updateVolumeFromArray(user.node, noise.astype(np.int16))
    user.wait()
    user.seed(user.ras)
    assert user.screen.doubtful and user.ui.approveButton.enabled
    assert user.ui.approveButton.styleSheet == ""
    assert user.status.startswith("Doubtful mask")


def test_c_and_its_button_go_on_from_what_the_segment_has(user: Any, application: Any) -> None:
    assert not user.ui.continueButton.enabled
    user.seed(user.ras)
    assert not user.ui.continueButton.enabled, "the slice is open"
    application.press(Key.Key_Return)
    user.wait()
    approved = user.voxels()
    assert user.ui.continueButton.enabled
    application.press(Key.Key_C)
    user.wait()
    assert user.screen.iteration == 1 and not user.ui.continueButton.enabled
    application.press(Key.Key_Return)
    user.wait()
    again = user.voxels()
    assert (again & approved).sum() > 0.95 * max(again.sum(), approved.sum()), (
        "to the rounding of oblique slices"
    )
    user.click("continueButton")
    user.wait()
    assert user.screen.iteration == 1


def test_the_points_of_the_slice_are_shown_and_go_with_an_undo(user: Any, application: Any) -> None:
    import slicer

    def points() -> int:
        node = slicer.mrmlScene.GetFirstNodeByName("SPASegment seed")
        return int(node.GetNumberOfControlPoints()) if node is not None else 0

    user.seed(user.ras)
    assert points() == 1
    r, a, s = user.ras
    user.seed((r + 4.0, a, s), positive=False)
    assert points() == 2
    user.press("undoButton")
    assert points() == 1
    user.press("undoButton")
    assert points() == 0


def test_small_views_are_zoomed_to_the_object(user: Any, application: Any) -> None:
    user.seed(user.ras)
    large, small = user.panel.views.chosen()
    at = user.screen.object_at
    assert at is not None and 15 < at[3] < 40, "the ball is 22 mm across"
    for node in small:
        across = min(node.GetFieldOfView()[:2])
        assert across == pytest.approx(min(3 * at[3], *large.GetFieldOfView()[:2]))


def test_a_new_scene_gets_a_segment_of_its_own(user: Any, application: Any) -> None:
    import scenarios
    import slicer

    user.seed(user.ras)
    user.press("approveButton")
    slicer.mrmlScene.Clear()
    volume, ras = scenarios.rotated_volume()
    user.choose_volume(volume)
    user.seed(ras)
    untouched = scenarios.neighbour_segment(user, volume)
    user.press("approveButton")
    assert (scenarios.voxels_of(user, volume, "neighbour") == untouched).all()
    assert user.voxels().any()


def test_what_is_done_again_after_its_segmentation_went_is_where_the_panel_says(
    user: Any, application: Any
) -> None:
    import slicer

    user.seed(user.ras)
    user.press("approveButton")
    user.press("undoButton")
    slicer.mrmlScene.RemoveNode(user.ui.segmentationSelector.currentNode())
    assert user.ui.segmentationSelector.currentNode() is None
    user.press("redoButton")
    assert user.status.startswith("Approved") and user.voxels().any()


def test_keys_live_only_while_the_module_is_open(user: Any, application: Any) -> None:
    user.seed(user.ras)
    user.widget.exit()
    assert not user.panel.shortcuts.live
    application.press(Key.Key_Return)
    user.wait()
    assert not user.voxels().any()
    user.widget.enter()
    assert user.panel.shortcuts.live


def test_keys_are_silent_while_a_number_is_typed(user: Any, application: Any) -> None:
    import pythonqt

    user.seed(user.ras)
    user.ui.advancedSection.collapsed = False
    application._window.activateWindow()
    spin = pythonqt.unwrap(user.ui.samplesSpin)
    spin.setFocus()
    application.processEvents()
    if application._qt.focusWidget() is not spin:
        user.panel.shortcuts._on_focus(None, user.ui.samplesSpin)
    application.press(Key.Key_Return)
    user.wait()
    assert not user.voxels().any()
    assert user.screen.recommendation is not None


def test_a_key_can_be_changed_but_not_taken_from_another_action(user: Any, application: Any) -> None:
    table, advanced = user.ui.keysTable, user.panel.advanced
    row = list(advanced.keys()).index("approve")
    table.item(row, 1).setText("Ctrl+Return")
    assert advanced.keys()["approve"] == "Ctrl+Return"
    table.item(row, 1).setText("1")
    assert advanced.keys()["approve"] == "Ctrl+Return"
    assert "Ctrl+Enter" in user.ui.approveButton.text
    user.click("resetKeysButton")
    assert advanced.keys()["approve"] == "Return"


def test_approvals_are_kept_once_a_folder_is_chosen_and_no_longer_when_unchecked(
    user: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    user.answers.answers = [None]
    user.ui.keepCheck.checked = True
    assert user.ui.keepCheck.checked is False and user.panel.settings.keep_approved == ""
    user.seed(user.ras)
    user.press("approveButton")
    assert not folder.exists()
    user.press("undoButton")
    user.answers.answers = [folder]
    user.ui.keepCheck.checked = True
    user.press("approveButton")
    assert len(list(folder.iterdir())) == 1
    assert user.panel.settings.load().keep_approved == str(folder)
    user.ui.keepCheck.checked = False
    assert user.panel.settings.load().keep_approved == ""
    user.press("undoButton")
    assert list(folder.iterdir()) == []
    user.press("approveButton")
    assert list(folder.iterdir()) == []


def test_settings_and_the_profile_are_there_again_after_a_restart(user: Any, application: Any) -> None:
    user.answers.answers = ["Dr. A"]
    user.press("newProfileButton")
    user.ui.samplesSpin.value = 24
    user.panel.advanced.on_samples()
    user.ui.learnCheck.checked = False
    store = user.widget.logic.store
    import slicer

    slicer.mrmlScene.Clear()
    widget = application.reload_module()
    from SPASegmentWidgets.clinician import Clinician

    assert widget.panel.settings.samples == 24
    assert widget.ui.learnCheck.checked is False
    widget.logic.store = store
    widget.panel.restart()
    widget.panel.enter()
    again = Clinician(widget)
    again.until(lambda: again.screen.profile == "Dr. A")


def test_profiles_are_made_copied_compared_and_exchanged(user: Any, tmp_path: Path) -> None:
    user.answers.answers = ["Dr. A"]
    user.press("newProfileButton")
    user.seed(user.ras)
    user.press("cardPicture1")
    user.press("approveButton")
    user.until(lambda: user.screen.profile_images == 1)
    user.answers.answers = ["Dr. A, strict"]
    user.panel.profiles.on_save_as()
    user.wait()
    assert (user.screen.profile, user.screen.profile_images) == ("Dr. A, strict", 1)
    user.panel.profiles.on_summary()
    user.until(lambda: len(user.answers.told) == 1)
    user.answers.answers = ["Dr. A"]
    user.panel.profiles.on_compare()
    user.until(lambda: len(user.answers.told) == 2)
    assert "same" in user.answers.told[1][0]
    path = tmp_path / "given.json"
    user.answers.answers = [path]
    user.panel.profiles.on_export()
    user.wait()
    assert "Dr. A, strict" in path.read_text(encoding="utf-8")
    user.answers.answers = [path]
    user.panel.profiles.on_import()
    user.wait()
    assert "choose another name" in user.status


def test_the_module_reloads_with_a_session_open(user: Any, application: Any) -> None:
    user.seed(user.ras)
    area = user.screen.recommendation.area_mm2
    widget = application.reload_module()
    from SPASegmentWidgets.clinician import Clinician

    again = Clinician(widget)
    again.wait()
    assert again.screen.recommendation.area_mm2 == pytest.approx(area)


def test_the_interface_never_stands_still(user: Any, application: Any, nothing_remembered: None) -> None:
    user.seed(user.ras)
    stalls = []
    for _ in range(3):  # a disk or the kernel may be slow once; what we do wrong ourselves comes every time
        stalls.append(_longest_stall(user))
        if stalls[-1] < 0.1:
            return
    pytest.fail(f"the interface stood still for {[f'{1000 * stall:.0f} ms' for stall in stalls]}")


def _longest_stall(user: Any) -> float:
    """Seconds between two beats of the interface while a user works."""
    from stalls import Beats

    beats = Beats()
    timer = QtCore.QTimer()
    timer.setInterval(5)
    timer.timeout.connect(beats.beat)
    timer.start()
    for name in (
        "cardPicture1",
        "noneButton",
        "cardPicture2",
        "approveButton",
        "nextSliceButton",
        "cardPicture1",
    ):
        user.press(name)
    timer.stop()
    assert len(beats) > 20
    return beats.longest()


def test_nothing_is_left_behind_when_the_module_is_closed(user: Any, application: Any) -> None:
    import slicer

    user.seed(user.ras)
    before = {node.GetName() for node in _nodes(slicer.mrmlScene)}
    assert "SPASegment seed" in before
    application.close_panel()
    left = {node.GetName() for node in _nodes(slicer.mrmlScene)}
    assert "SPASegment seed" not in left
    assert not application._window.findChildren(QtWidgets.QWidget, "card1")


def test_another_colour_is_used_for_the_overlays_at_once(user: Any) -> None:
    import qt
    import slicer

    user.seed(user.ras)
    user.ui.recommendedColor.color = qt.QColor("#ff0000")
    slicer.app.processEvents()
    assert (1.0, 0.0, 0.0) in _overlay_colors()
    user.click("resetColorsButton")
    assert (1.0, 0.0, 0.0) not in _overlay_colors()


@pytest.mark.long
def test_the_dialogs_ask_and_tell(user: Any, application: Any) -> None:
    from SPASegmentWidgets.dialogs import Dialogs

    def answer(accept: bool) -> None:
        dialog = application._qt.activeModalWidget()
        (dialog.accept if accept else dialog.reject)()

    dialogs = Dialogs()
    QtCore.QTimer.singleShot(50, lambda: answer(True))
    assert dialogs.ask_text("Name", "Which?", "Dr. A ") == "Dr. A"
    QtCore.QTimer.singleShot(50, lambda: answer(False))
    assert dialogs.ask_text("Name", "Which?", "Dr. A") is None
    shown: list[str] = []

    def type_a_secret() -> None:
        edit = application._qt.activeModalWidget().findChild(QtWidgets.QLineEdit)
        edit.setText("4711")
        shown.append(edit.displayText())
        answer(True)

    QtCore.QTimer.singleShot(50, type_a_secret)
    assert dialogs.ask_text("Key", "Which?", secret=True) == "4711"
    assert shown and "4711" not in shown[0]
    QtCore.QTimer.singleShot(50, lambda: answer(True))
    assert dialogs.ask_choice("Choose", "Which?", ["one", "two"]) == "one"
    QtCore.QTimer.singleShot(50, lambda: answer(True))
    dialogs.tell("Said", ["A sentence.", "Another."])


def _overlay_colors() -> set[tuple[float, ...]]:
    """Colours of the segments in segmentations hidden from lists."""
    import slicer
    import vtk

    colors = set()
    for node in _nodes(slicer.mrmlScene):
        if node.IsA("vtkMRMLSegmentationNode") and node.GetHideFromEditors():
            names = vtk.vtkStringArray()
            node.GetSegmentation().GetSegmentIDs(names)
            for n in range(names.GetNumberOfValues()):
                color = node.GetNthDisplayNode(0).GetSegmentColor(names.GetValue(n))
                colors.add(tuple(round(color[channel], 2) for channel in range(3)))
    return colors


def _nodes(scene: Any) -> list[Any]:
    found = scene.GetNodes()
    return [found.GetItemAsObject(n) for n in range(found.GetNumberOfItems())]


@pytest.mark.parametrize("name", ["inputsSection", "advancedSection"])
def test_a_closed_section_takes_only_the_room_of_its_title(user: Any, name: str) -> None:
    section = getattr(user.ui, name)
    section.collapsed = True
    assert section.collapsedHeight == 0


def test_small_views_have_our_titles_and_not_the_data_probes_texts(user: Any, application: Any) -> None:
    from SPASegmentLib.mrml.layout import LARGE, SMALL

    manager = application.layoutManager()

    def corners(name: str) -> Any:
        return manager.sliceWidget(name).sliceView().cornerAnnotation()

    def titles(name: str) -> int:
        renderers = manager.sliceWidget(name).sliceView().renderWindow().GetRenderers()
        return int(renderers.GetFirstRenderer().GetViewProps().GetNumberOfItems())

    if not user.panel.views.own_layout:
        user.click("layoutButton")
    user.seed(user.ras)
    assert [titles(name) for name in (LARGE, *SMALL)] == [0] + [1] * 4
    assert [bool(corners(name).GetVisibility()) for name in (LARGE, *SMALL)] == [True] + [False] * 4
    small = [corners(name) for name in SMALL]
    user.panel.views.close()
    assert all(one.GetVisibility() for one in small)
    assert not any(map(titles, SMALL))
