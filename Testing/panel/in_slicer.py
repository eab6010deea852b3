"""Runs in the real application (`--python-script`): self-test, clinician, random user, screenshots.

Writes what came of it to the file that SPASEGMENT_RESULTS names, and quits Slicer.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import slicer
import vtk

HERE = Path(__file__).resolve().parent
RESULTS = Path(os.environ["SPASEGMENT_RESULTS"])
sys.path.insert(0, str(HERE / "support"))


def screenshot(name):
    """The main window as it is, at 1280x800, and each slice view by itself; returns the views' files.

    A grab leaves black what is drawn by OpenGL, so the views are read from their own windows.
    """
    import qt

    slicer.app.processEvents()
    slicer.util.forceRenderAllViews()
    slicer.app.processEvents()
    window, manager = slicer.util.mainWindow(), slicer.app.layoutManager()
    picture = window.grab()
    painter = qt.QPainter(picture)
    files = []
    for number, tag in enumerate(manager.sliceViewNames()):
        view = manager.sliceWidget(tag).sliceView()
        if not view.visible:
            continue
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(view.renderWindow())
        reader.ReadFrontBufferOff()
        reader.Update()
        writer = vtk.vtkPNGWriter()
        files.append(f"{name}-view{number}.png")
        writer.SetFileName(str(RESULTS.parent / files[-1]))
        writer.SetInputConnection(reader.GetOutputPort())
        writer.Write()
        at = view.mapTo(window, qt.QPoint(0, 0))
        drawn = qt.QPixmap(str(RESULTS.parent / files[-1]))
        painter.drawPixmap(at.x(), at.y(), view.width, view.height, drawn)
    painter.end()
    picture.save(str(RESULTS.parent / f"{name}.png"))
    return files


def main():
    """Every scenario; an exception is a result, too."""
    import scenarios
    from SPASegmentWidgets import selftest

    results = {"loading": None, "ran": [], "failed": {}}
    window = slicer.util.mainWindow()
    if window is not None:
        window.resize(1280, 800)
    began = time.perf_counter()
    slicer.util.selectModule("SPASegment")
    results["loading"] = time.perf_counter() - began
    actions = int(os.environ.get("SPASEGMENT_MASHER", "400"))

    def with_panel(run):
        def scenario():
            slicer.mrmlScene.Clear()
            with tempfile.TemporaryDirectory() as folder, selftest.settings_kept():
                user = selftest.open_panel(Path(folder))
                run(user, Path(folder))

        return scenario

    def picture(user, folder):
        node, ras = scenarios.rotated_volume()
        user.choose_volume(node)
        scenarios.look(user, "axial", ras)
        user.seed(ras)
        if not user.panel.views.own_layout:  # as the scenario before left it
            user.click("layoutButton")
            user.wait()
        results["views"] = {"own-layout": screenshot("own-layout")}
        results["width"] = slicer.util.mainWindow().width
        user.click("layoutButton")
        shown, _small = user.panel.views.chosen()
        shown.JumpSliceByOffsetting(*ras)
        user.wait()
        results["views"]["four-up"] = screenshot("four-up")
        user.click("layoutButton")

    def editors_undo(user, folder):
        """An approval is one step for the Segment Editor's undo, too."""
        node, ras = scenarios.rotated_volume()
        user.choose_volume(node)
        scenarios.look(user, "axial", ras)
        user.seed(ras)
        user.press("approveButton")
        first = user.voxels()
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.SegmentEditorWidget.editor
        editor.setSegmentationNode(user.ui.segmentationSelector.currentNode())
        editor.setSourceVolumeNode(node)
        slicer.util.selectModule("SPASegment")
        user.wait()
        user.press("nextSliceButton")
        user.press("approveButton")
        both = user.voxels()
        assert first.any() and both.sum() > first.sum()
        slicer.util.selectModule("SegmentEditor")
        editor.undo()
        assert (user.voxels() == first).all()
        editor.redo()
        assert (user.voxels() == both).all()
        slicer.util.selectModule("SPASegment")

    def effect(user, folder):
        slicer.util.selectModule("SegmentEditor")
        try:
            editor = slicer.modules.SegmentEditorWidget.editor
            scenarios.effect_of_the_segment_editor(user, folder, editor)
        finally:
            slicer.util.selectModule("SPASegment")

    def reload():
        slicer.util.reloadScriptedModule("SPASegment")

    def run_selftest():
        import SPASegment

        SPASegment.SPASegmentTest().runTest()

    planned = {
        "self-test": run_selftest,
        **{
            f"clinician, {plane}": with_panel(
                lambda user, folder, p=plane: scenarios.clinician(user, folder, p)
            )
            for plane in scenarios.PLANES
        },
        "whole object": with_panel(scenarios.whole_object),
        "two volumes": with_panel(scenarios.two_volumes),
        "random_user": with_panel(
            lambda user, folder: scenarios.random_user(user, folder, actions=actions, seed=7)
        ),
        "Segment Editor's undo": with_panel(editors_undo),
        "effect of the Segment Editor": with_panel(effect),
        "pictures": with_panel(picture),
        "reload": reload,
        "after the reload": with_panel(lambda user, folder: scenarios.clinician(user, folder, "axial")),
    }
    chosen = os.environ.get("SPASEGMENT_SCENARIOS", "")  # those whose names hold this text
    for name, run in planned.items():
        if chosen not in name:
            continue
        try:
            run()
        except BaseException:
            results["failed"][name] = traceback.format_exc()
        results["ran"].append(name)
        RESULTS.write_text(json.dumps(results), encoding="utf-8")


try:
    main()
except BaseException:
    RESULTS.write_text(
        json.dumps({"loading": None, "ran": [], "failed": {"start": traceback.format_exc()}}),
        encoding="utf-8",
    )
slicer.util.exit(0)
