"""SPASegment as an effect of the Segment Editor: what the editor calls. The work is SPASegmentWidgets' own.

The folder is not the module's: Slicer loads an effect's file under its folder's name.
"""

from pathlib import Path

import qt
import vtk
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _


class SegmentEditorSPAEffect(AbstractScriptedSegmentEditorEffect):
    """Click, pick and approve on the editor's source volume, into its selected segment."""

    def __init__(self, scriptedEffect) -> None:
        scriptedEffect.name = "SPASegment"  # by which scripts find it: not translated
        scriptedEffect.title = _("SPASegment")
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.face = None

    def clone(self):
        """Another one of this file, for an editor."""
        from qSlicerSegmentationsEditorEffectsPythonQt import qSlicerSegmentEditorScriptedEffect

        cloned = qSlicerSegmentEditorScriptedEffect(None)
        cloned.setPythonSource(__file__.replace("\\", "/"))
        return cloned

    def icon(self):
        """The module's."""
        return qt.QIcon(str(Path(__file__).parents[1] / "Resources" / "Icons" / "SPASegment.png"))

    def helpText(self) -> str:
        """Shown under the options."""
        return "<html>" + _(
            "One click, one recommended mask and four alternatives.<br><ul style='margin: 0'>"
            "<li><b>Left-click:</b> the object; once more: what belongs to it, too."
            "<li><b>Ctrl+left-click:</b> what does not belong to it."
            "<li><b>Alt+1 to Alt+4:</b> pick an alternative; <b>Alt+0:</b> none of these."
            "<li><b>Enter:</b> approve: the mask is what the selected segment has there on this slice; other"
            " parts of the segment stay, and masking holds. <b>Backspace:</b> undo.</ul>"
        )

    def setupOptionsFrame(self) -> None:
        """Build the options."""
        from SPASegmentWidgets.editor_face import EditorFace

        self.face = EditorFace(self.scriptedEffect)

    def activate(self) -> None:
        """The effect was chosen."""
        if self.face is not None:
            self.face.open()

    def deactivate(self) -> None:
        """Another effect was chosen, or none."""
        if self.face is not None:
            self.face.close()

    def cleanup(self) -> None:
        """The effect is deleted."""
        self.deactivate()
        self.face = None

    def createCursor(self, widget):
        """A cross: a point will be placed."""
        return qt.QCursor(qt.Qt.CrossCursor)

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget) -> bool:
        """A click in a slice view is a point; clicks with Shift or Alt stay Slicer's own."""
        if eventId != vtk.vtkCommand.LeftButtonPressEvent or viewWidget.className() != "qMRMLSliceWidget":
            return False
        if self.face is None or callerInteractor.GetShiftKey() or callerInteractor.GetAltKey():
            return False
        if self.scriptedEffect.confirmCurrentSegmentVisible():
            node = viewWidget.mrmlSliceNode()
            x, y = callerInteractor.GetEventPosition()
            ras = node.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))[:3]
            self.face.click(ras, not callerInteractor.GetControlKey(), node)
        return True
