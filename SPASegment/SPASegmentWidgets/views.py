"""The slice views: the layout with one large and four small ones, and placing points in them."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.util import VTKObservationMixin

SEED_NODE_NAME = "SPASegment seed"
SLICE_NODE = "vtkMRMLSliceNode"


class Views(VTKObservationMixin):
    """Finds the large view and the small ones, and turns clicks into points."""

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], None],
        placed: Callable[[tuple, bool, object], None],
        mode_changed: Callable[[], None],
    ) -> None:
        """soon: runs a function after the present event. mode_changed: placing began or ended.

        placed: a point was placed (ras, positive, slice node or None).
        """
        super().__init__()
        self._soon, self._placed, self._mode_changed = soon, placed, mode_changed
        self._positive = True
        self._node = None
        self._layout_before: int | None = None

    # The layout

    @property
    def own_layout(self) -> bool:
        """Whether the five views are shown."""
        manager = slicer.app.layoutManager()
        if manager is None:
            return False
        from SPASegmentLib.scene.layout import LAYOUT_ID

        return manager.layoutLogic().GetLayoutNode().GetViewArrangement() == LAYOUT_ID

    def show_own_layout(self, show: bool) -> None:
        """Show the five views, or what was shown before them."""
        from SPASegmentLib.scene import layout

        manager = slicer.app.layoutManager()
        if manager is None or show == self.own_layout:
            return
        node = manager.layoutLogic().GetLayoutNode()
        if show:
            self._layout_before = node.GetViewArrangement()
            manager.setLayout(layout.register_layout(node))
        else:
            before = self._layout_before or slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
            manager.setLayout(before)

    def chosen(self) -> tuple[object, list]:
        """The large slice node and the small ones; outside the own layout the view the user looks at."""
        from SPASegmentLib.scene import layout

        scene = slicer.mrmlScene
        if self.own_layout:
            small = [scene.GetSingletonNode(tag, SLICE_NODE) for tag in layout.SMALL]
            return scene.GetSingletonNode(layout.LARGE, SLICE_NODE), [node for node in small if node]
        return scene.GetSingletonNode("Red", SLICE_NODE), []

    def show_volume(self, volume) -> None:
        """Put a volume behind every view that is shown and fit it."""
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            logic = widget.sliceLogic() if widget is not None else None
            composite = logic.GetSliceCompositeNode() if logic is not None else None
            if composite is None or composite.GetBackgroundVolumeID() == (volume.GetID() if volume else None):
                continue
            composite.SetBackgroundVolumeID(volume.GetID() if volume else None)
            if volume is not None:
                logic.FitSliceToAll()
                # Else the first picture lies between two slices of the volume.
                logic.SnapSliceOffsetToIJK()

    # Placing points

    @property
    def placing(self) -> bool | None:
        """True: the next click is a seed. False: it is a point to exclude. None: clicks are Slicer's own."""
        node = self._interaction()
        if self._node is None or node is None or node.GetCurrentInteractionMode() != node.Place:
            return None
        selection = slicer.app.applicationLogic().GetSelectionNode()
        return self._positive if selection.GetActivePlaceNodeID() == self._node.GetID() else None

    def place(self, positive: bool) -> None:
        """Let the next click in a slice view place a point."""
        node = self._seed_node()
        self._positive = positive
        color = (0.35, 0.85, 0.35) if positive else (1.0, 0.45, 0.1)
        node.GetDisplayNode().SetSelectedColor(*color)
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        selection.SetActivePlaceNodeID(node.GetID())
        interaction = self._interaction()
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)

    def stop_placing(self) -> None:
        """Give clicks back to Slicer."""
        if self.placing is not None:
            interaction = self._interaction()
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def follow(self) -> None:
        """Watch whether placing goes on; it ends by a click, by Esc, and by other tools."""
        interaction = self._interaction()
        event = interaction.InteractionModeChangedEvent
        if not self.hasObserver(interaction, event, self._on_mode):
            self.addObserver(interaction, event, self._on_mode)

    def close(self) -> None:
        """Leave nothing behind: no observer, no node, no mode."""
        self.stop_placing()
        self.removeObservers()
        if self._node is not None and self._node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(self._node)
        self._node = None

    def forget(self) -> None:
        """The scene was closed: the node that took clicks is gone with it."""
        if self._node is not None and self._node.GetScene() is None:
            self.removeObserver(self._node, self._node.PointPositionDefinedEvent, self._on_point)
            self._node = None

    def _interaction(self):
        return slicer.app.applicationLogic().GetInteractionNode()

    def _seed_node(self):
        """The node that a click adds its point to; the point is taken from it at once."""
        if self._node is None or self._node.GetScene() is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
            node.UnRegister(None)
            node.SetName(SEED_NODE_NAME)
            node.SetHideFromEditors(True)
            node.SetSaveWithScene(False)
            self._node = slicer.mrmlScene.AddNode(node)
            self._node.CreateDefaultDisplayNodes()
            self._node.GetDisplayNode().SetSaveWithScene(False)
            self._node.SetControlPointLabelFormat("")
            self.addObserver(self._node, self._node.PointPositionDefinedEvent, self._on_point)
        return self._node

    def _on_point(self, caller, event) -> None:
        at = caller.GetNumberOfControlPoints() - 1
        if at < 0:
            return
        ras = [0.0, 0.0, 0.0]
        caller.GetNthControlPointPositionWorld(at, ras)
        positive, view = self._positive, self._view_under_cursor()

        def take() -> None:
            # Not within the event: Slicer is not done with the point yet.
            if caller.GetScene() is not None:
                caller.RemoveAllControlPoints()
            self._placed(tuple(ras), positive, view)

        self._soon(take)

    def _view_under_cursor(self):
        """The slice node that was clicked in, as the crosshair knows it; None where it does not."""
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        return crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0]) if crosshair is not None else None

    def _on_mode(self, caller, event) -> None:
        self._mode_changed()
