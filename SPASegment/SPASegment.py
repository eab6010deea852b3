"""The SPASegment module of 3D Slicer: what Slicer needs to know of it. The panel is in SPASegmentWidgets.

Loads with nothing of its own installed. No `from __future__ import annotations` here: the parameter node's
annotations are types.
"""

import logging
import sys
from pathlib import Path

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class SPASegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent) -> None:
        super().__init__(parent)
        self.parent.title = "SPASegment"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations"]
        self.parent.contributors = ["The SPASegment contributors"]
        self.parent.helpText = _(
            "Click once on a slice and get one recommended mask and four alternatives, each drawn as a"
            " difference from the recommendation. Picking one teaches the system what you include and leave"
            " out. Not a medical device: for research only."
        )
        self.parent.acknowledgementText = _(
            "The method is SPA: Jiayuan Zhu, Junde Wu, Cheng Ouyang, Konstantinos Kamnitsas and J. Alison"
            " Noble, ICCV 2025. The shipped model was trained on LIDC-IDRI (CC BY 3.0)."
        )
        if hasattr(slicer.app, "connect"):
            slicer.app.connect("startupCompleted()", register_sample_data)
            slicer.app.connect("startupCompleted()", register_effect)


def register_sample_data() -> None:
    """Offer the made-up volumes in the module Sample Data."""
    from SPASegmentWidgets.sample_data import register

    register()


def register_effect() -> None:
    """Offer SPASegment among the effects of the Segment Editor."""
    try:
        from qSlicerSegmentationsEditorEffectsPythonQt import qSlicerSegmentEditorScriptedEffect
    except ImportError:
        logging.info("SPASegment: there is no Segment Editor to add an effect to")
        return
    effect = qSlicerSegmentEditorScriptedEffect(None)
    path = Path(__file__).parent / "SPASegmentEffect" / "SegmentEditorSPAEffect.py"
    effect.setPythonSource(path.as_posix())
    effect.self().register()


@parameterNodeWrapper
class SPASegmentParameterNode:
    """What is saved with the scene.

    volume, segmentation, segment: what is worked on. profile: name of the preference profile. state: the
    controller's own account of seeds, steps and views, as JSON.
    """

    volume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    segment: str = ""
    profile: str = ""
    state: str = ""


class SPASegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Puts the panel up and passes on what Slicer tells it."""

    def __init__(self, parent=None) -> None:
        VTKObservationMixin.__init__(self)
        self.panel = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        """Build the panel. Nothing is installed here."""
        super().setup()
        from SPASegmentWidgets.panel import Panel

        ui_widget = slicer.util.loadUI(self.resourcePath("UI/SPASegment.ui"))
        self.layout.addWidget(ui_widget)
        self.ui = slicer.util.childWidgetVariables(ui_widget)
        self.logic = SPASegmentLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        # Before the selectors hear of it: they choose another node by themselves.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved, priority=100.0)
        if getattr(self.parent, "isEntered", False):
            self.enter()  # reloaded while it is open: Slicer does not say so again

    def enter(self) -> None:
        """The module was opened."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        """Another module was opened."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """The module is unloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
            self.panel = None

    def onReload(self) -> None:
        """Load the parts of the panel and the library anew, too."""
        self.cleanup()
        for name in [
            name for name in sys.modules if name.split(".")[0] in ("SPASegmentWidgets", "SPASegmentLib")
        ]:
            del sys.modules[name]
        super().onReload()

    def onSceneStartClose(self, caller, event) -> None:
        """The scene is about to be closed."""
        if self.panel is not None:
            self.panel.scene_closing()

    def onSceneEndClose(self, caller, event) -> None:
        """The scene is empty now."""
        if self.panel is not None:
            self.panel.scene_closed()

    def onSceneEndImport(self, caller, event) -> None:
        """A scene was read, after closing the one before or in addition to it."""
        if self.panel is not None:
            self.panel.scene_read()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, caller, event, node) -> None:
        """A node was added; of a volume there may be but the one."""
        if self.panel is not None and node is not None and node.IsA("vtkMRMLScalarVolumeNode"):
            self.panel.volume_added()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller, event, node) -> None:
        """A node is about to be removed."""
        if self.panel is not None:
            self.panel.scene.node_leaves(node)

    def onNodeRemoved(self, caller, event) -> None:
        """A node was removed."""
        if self.panel is not None:
            self.panel.scene.node_left()


class SPASegmentLogic(ScriptedLoadableModuleLogic):
    """Gives the parameter node and the controller; no widget in it.

    store: where profiles are kept; None for the user's own folder.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = None
        self._typed = []

    def getParameterNode(self) -> SPASegmentParameterNode:
        """What is saved with the scene, typed.

        One object per node, kept: it observes its node, and must not be collected while that is in use.
        """
        node = super().getParameterNode()
        for typed in self._typed:
            if typed.parameterNode is node:
                return typed
        self._typed.append(SPASegmentParameterNode(node))
        return self._typed[-1]

    def start_controller(self, settings, post):
        """The controller on Slicer's scene. post(f): runs f soon on the main thread."""
        from SPASegmentLib.mrml.controller import Controller

        return Controller(
            slicer.mrmlScene,
            model=settings.model,
            device=settings.device,
            server=self.server(settings),
            store=self.store,
            post=post,
        )

    def server(self, settings):
        """The server that the user set, or None."""
        from SPASegmentLib.service.choice import ServerChoice

        return ServerChoice(settings.server, settings.server_key or None) if settings.server else None

    def shipped_colors(self) -> dict[str, str]:
        """Role -> "#rrggbb" of the overlays as shipped."""
        from SPASegmentLib.reporting.overlay import ADDED, RECOMMENDED, REMOVED

        looks = {"recommended": RECOMMENDED, "added": ADDED, "removed": REMOVED}
        return {role: "#{:02x}{:02x}{:02x}".format(*look.line) for role, look in looks.items()}

    def overlay_colors(self, chosen: dict[str, str]):
        """How overlays are drawn. chosen: role -> "#rrggbb" of the roles whose colour the user changed."""
        from dataclasses import replace

        from SPASegmentLib.mrml.overlays import OverlayColors

        colors = OverlayColors()
        for role, name in {"recommended": "recommendation", "added": "added", "removed": "removed"}.items():
            if role in chosen:
                rgb = tuple(int(chosen[role][n : n + 2], 16) for n in (1, 3, 5))
                colors = replace(colors, **{name: replace(getattr(colors, name), fill=rgb, line=rgb)})
        return colors


class SPASegmentTest(ScriptedLoadableModuleTest):
    """The self-test, run by Slicer's Reload and Test and by ctest."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test of this class."""
        from SPASegmentWidgets import selftest

        with selftest.settings_kept():
            for name, check in selftest.CHECKS.items():
                self.setUp()
                self.delayDisplay(f"SPASegment: {name}")
                check(self)
        self.delayDisplay("SPASegment: test passed")
