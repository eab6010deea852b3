"""SPASegment inside the Segment Editor: the panel's controller, on what the editor has chosen."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _

from .cards import CANDIDATES, Cards
from .screen_view import BUTTONS, ScreenView
from .shortcuts import Shortcuts
from .slice_marks import SliceMarks

KEYS = {
    **{f"pick:{k}": f"Alt+{k + 1}" for k in range(CANDIDATES)},
    **{f"take:{k}": f"Alt+Shift+{k + 1}" for k in range(CANDIDATES)},
    "none_of_these": "Alt+0",
    "keep": "K",
    "approve": "Return",
    "undo": "Backspace",
    "redo": "Shift+Backspace",
    "next_slice": "Alt+Up",
    "previous_slice": "Alt+Down",
    "whole_object": "Shift+F",
    "continue_segment": "C",
    "next_doubtful": "N",
    "first_anchor": "Home",
}
"""The editor has digits, q w z y i, Space and Esc for itself, slice views b f g r t v and arrows."""
FURTHER = {"approve": ("Enter",)}
IN_WORDS = (
    ("press 1-", "press Alt+1-"),
    ("press 1 ", "press Alt+1 "),
    (", 0 for", ", Alt+0 for"),
    ("Up carries", "Alt+Up carries"),
    ("(Space goes", "(N goes"),
)
"""The controller's sentences name the keys of the module."""
TOLD_MS = 6000
SECTIONS = ("installFrame", "inputsSection", "advancedSection")
SHOWN = (
    *BUTTONS,
    "approveButton",
    "noneButton",
    "keepButton",
    "marksButton",
    *(f"takeButton{k + 1}" for k in range(CANDIDATES)),
    *(f"cardPicture{k}" for k in range(CANDIDATES + 1)),
)
"""Of the module's buttons those that make sense here: the editor has volume and segment, clicks are seeds."""


class EditorFace:
    """The options of one effect, and the way from its editor's node to the controller.

    The panel of the module lends its controller while the effect is active, so model, profile and settings
    are those of the module, and what was begun here goes on there.
    """

    def __init__(self, effect) -> None:
        """effect: the qSlicerSegmentEditorScriptedEffect."""
        self._effect = effect
        folder = Path(slicer.modules.spasegment.path).parent
        widget = slicer.util.loadUI(str(folder / "Resources" / "UI" / "SPASegment.ui"))
        self.ui = ui = slicer.util.childWidgetVariables(widget)
        for name, one in vars(ui).items():
            is_button = hasattr(one, "inherits") and one.inherits("QAbstractButton")
            if name in SECTIONS or (is_button and name not in SHOWN):
                one.visible = False
        effect.addOptionsWidget(widget)
        self._panel = None
        self._node = None
        self._tag: int | None = None
        self._chosen: tuple | None = None
        self._view = None
        self._unsubscribe = None
        self._view_of_screen = ScreenView(ui, Cards(ui, self.act))
        self._shortcuts = Shortcuts(self.act)
        self._marks = SliceMarks(ui.marksButton, lambda: (self._chosen and self._chosen[0], self._view))
        for name, action in BUTTONS.items():
            getattr(ui, name).connect("clicked()", self._presser(action))

    def _presser(self, action: str):
        def pressed() -> None:
            self.act(action)

        return pressed

    @property
    def is_open(self) -> bool:
        """Whether the controller is ours."""
        return self._panel is not None and self._panel.controller is not None

    def open(self) -> None:
        """The effect was chosen: take the controller to the editor's volume and segment."""
        self.close()
        panel = slicer.modules.spasegment.widgetRepresentation().self().panel
        if panel is None or not panel.join():
            text = _("SPASegment is not set up yet: open the module SPASegment, it says what is missing.")
            self._view_of_screen.set_text("statusLabel", text)
            return
        self._panel, self._node = panel, self._effect.parameterSetNode()
        panel.scene.lend(self._node, self._effect.saveStateForUndo)
        self._unsubscribe = panel.controller.subscribe(self.render)
        self._tag = self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_node)
        self._shortcuts.install({action: (key, *FURTHER.get(action, ())) for action, key in KEYS.items()})
        self._choose()

    def close(self) -> None:
        """Give the controller back. What was approved stays; what is open stays on its slice, unseen."""
        panel, self._panel = self._panel, None
        self._shortcuts.remove()
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
            self._node = self._tag = None
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if panel is None or panel.controller is None:
            return
        controller = panel.controller
        was_open = controller.screen.recommendation is not None
        for _step in range(2):  # first the step that waits, then what is computed
            if controller.screen.busy:
                controller.cancel()
        controller.set_views(None, ())
        panel.scene.lend(None, None)
        panel.leave()
        if was_open:
            text = _("SPASegment: this slice was not approved; choose the effect again to go on there.")
            slicer.util.showStatusMessage(text, TOLD_MS)

    def click(self, ras: tuple, positive: bool, slice_node) -> None:
        """A point was placed."""
        if not self.is_open:
            self.open()  # the module was reloaded, or set up meanwhile
        if not self.is_open:
            return
        self._look(slice_node)
        self._panel.on_placed(ras, positive, slice_node)

    def act(self, action: str) -> None:
        """A key or a button."""
        if self.is_open:
            self._panel.act(action)

    def render(self, screen) -> None:
        """Show the screen."""
        self._view_of_screen.render(screen, _sentence(screen), KEYS)
        self._marks.render(screen)

    def _on_node(self, caller=None, event=None) -> None:
        if self.is_open and not slicer.mrmlScene.IsClosing() and self._chosen != self._choices():
            self._choose()

    def _choices(self) -> tuple:
        node = self._node
        return node.GetSourceVolumeNode(), node.GetSegmentationNode(), node.GetSelectedSegmentID() or ""

    def _choose(self) -> None:
        """Work on what the editor has chosen. What was open was meant for the segment before."""
        before, self._chosen = self._chosen, self._choices()
        controller = self._panel.controller
        self._panel.scene.choose(*self._chosen)
        self._look(self._view or slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode"))
        if before is not None and before[1:] != self._chosen[1:]:
            controller.take_back_open()
        self.render(controller.screen)

    def _look(self, slice_node) -> None:
        """The view that was clicked in shows the recommendation."""
        self._view = slice_node
        self._panel.controller.set_views(slice_node, ())


def _sentence(screen) -> str:
    """What to do next, with the keys of the editor."""
    if screen.tone == "hint" and screen.recommendation is None and not screen.busy and screen.enabled:
        return _("Click on the object in a slice view.")
    text = screen.status
    for there, here in IN_WORDS:
        text = text.replace(there, here)
    return text
