"""A user in a script: does everything through the panel's widgets, here and in the application."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import slicer
import vtk

WAIT_SECONDS = 180.0


class Answers:
    """Answers the panel's questions, in the order they will come, and keeps what it was told."""

    def __init__(self, answers: Iterable[object] = ()) -> None:
        self.answers = list(answers)
        self.told: list[tuple[str, ...]] = []

    def _next(self):
        return self.answers.pop(0) if self.answers else None

    def ask_text(self, title: str, question: str, text: str = "", *, secret: bool = False) -> str | None:
        """The next answer."""
        return self._next()

    def ask_choice(self, title: str, question: str, choices) -> str | None:
        """The next answer, which must be one of the choices."""
        answer = self._next()
        assert answer is None or answer in choices, f"{answer} is not among {choices}"
        return answer

    def ask_file(self, title: str, pattern: str, *, save_as: str = "") -> Path | None:
        """The next answer."""
        return self._next()

    def ask_folder(self, title: str) -> Path | None:
        """The next answer."""
        return self._next()

    def confirm(self, title: str, question: str) -> bool:
        """The next answer; yes where there is none."""
        answer = self._next()
        return True if answer is None else bool(answer)

    def tell(self, title: str, sentences, picture: bytes = b"") -> None:
        """Keep it."""
        self.told.append(tuple(sentences))


class Clinician:
    """Works at the panel that is open."""

    def __init__(self, widget) -> None:
        """widget: the SPASegmentWidget."""
        self.widget, self.ui, self.panel = widget, widget.ui, widget.panel
        self.answers = Answers()
        panel = self.panel
        parts = (panel, panel.profiles, panel.advanced, panel.server, panel.study, panel.export)
        for part in (*parts, panel.opening, panel.install_page):
            for name in ("dialogs", "_dialogs"):
                if hasattr(part, name):
                    setattr(part, name, self.answers)

    # What is seen

    @property
    def screen(self):
        """What the panel shows."""
        return self.panel.controller.screen

    @property
    def status(self) -> str:
        """The sentence in the status line."""
        return str(self.ui.statusLabel.text)

    def voxels(self) -> np.ndarray:
        """(K, J, I) bool of the chosen segment on the volume's grid; all False where there is none."""
        volume = self.ui.volumeSelector.currentNode()
        segmentation = self.ui.segmentationSelector.currentNode()
        shape = slicer.util.arrayFromVolume(volume).shape[:3]
        segment = str(self.ui.segmentSelector.currentSegmentID() or "")
        if segmentation is None or not segment or segmentation.GetSegmentation().GetSegment(segment) is None:
            return np.zeros(shape, bool)
        return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume) > 0

    # What is done

    def wait(self, seconds: float = WAIT_SECONDS) -> None:
        """Until nothing is computed any more, with events going on as they do for a user."""
        self.until(lambda: not self.screen.busy and self.panel.controller.wait(0.0), seconds)

    def until(self, true: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Let events happen until something is the case."""
        end = time.monotonic() + seconds
        while True:
            slicer.app.processEvents()
            if true():
                return
            assert time.monotonic() < end, f"it did not happen in time; the panel says: {self.status}"
            time.sleep(0.005)

    def choose_volume(self, node) -> None:
        """In the selector."""
        self.ui.volumeSelector.setCurrentNode(node)
        slicer.app.processEvents()

    def look_at(self, ras: tuple, orientation: str = "Axial") -> None:
        """Turn the large view and go to a place."""
        large, small = self.panel.views.chosen()
        for node in (large, *small):
            node.SetOrientation(orientation)
            node.JumpSliceByCentering(*ras)
        slicer.app.processEvents()

    def click(self, name: str) -> None:
        """A button of the panel."""
        getattr(self.ui, name).click()
        slicer.app.processEvents()

    def seed(self, ras: tuple, *, positive: bool = True) -> None:
        """Press the button, click in the large view, wait for the proposal."""
        self.click("seedButton" if positive else "excludeButton")
        self.click_in_view(ras)
        slicer.app.processEvents()
        self.panel.queue.drain()
        self.wait()

    def click_in_view(self, ras: tuple) -> None:
        """What a click in a slice view does while placing goes on: a point, and placing ends."""
        identity = slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID()
        self._cursor_to(ras)
        slicer.mrmlScene.GetNodeByID(identity).AddControlPointWorld(vtk.vtkVector3d(*ras))
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def _cursor_to(self, ras: tuple) -> None:
        """Where the mouse is when it clicks in the large view."""
        large, _small = self.panel.views.chosen()
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if large is not None and crosshair is not None:
            to_view = vtk.vtkMatrix4x4()
            vtk.vtkMatrix4x4.Invert(large.GetXYToRAS(), to_view)
            crosshair.SetCursorPositionXYZ(list(to_view.MultiplyPoint((*ras, 1.0))[:3]), large)

    def press(self, name: str) -> None:
        """A button that asks for a proposal; waits for it."""
        self.click(name)
        self.wait()
