"""The slice views: the layout with one large and four small ones, and placing points in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.util import VTKObservationMixin

from .titles import Titles

if TYPE_CHECKING:
    from SPASegmentLib.mrml.drawing import Drawing, Shape
    from SPASegmentLib.mrml.layout import ViewLink
    from SPASegmentLib.mrml.seeds import SeedPoints

SLICE_NODE = "vtkMRMLSliceNode"
ROOM = 3.0
"""A view that is brought to an object shows this many times its extent."""
TOO_SMALL = 0.12
"""An object that takes less than this of a view's shorter side cannot be judged in a small view."""
NEAR_PIXELS = 3.0
"""A point and the cursor are at one place where they lie closer than this."""


class Views(VTKObservationMixin):
    """Finds the large view and the small ones, and turns clicks into points."""

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], None],
        placed: Callable[[tuple, bool, object], None],
        mode_changed: Callable[[], None],
        layout_changed: Callable[[], None],
        drawn: Callable[[str, list, bool, object], None],
    ) -> None:
        """soon: runs a function after the present event. mode_changed: placing or drawing began or ended.

        placed: a point was placed (ras, positive, slice node or None). layout_changed: other views are shown.
        drawn: a box or a scribble was drawn (which, places, positive, slice node).
        """
        super().__init__()
        self._soon, self._placed, self._drawn = soon, placed, drawn
        self._mode_changed, self._layout_changed = mode_changed, layout_changed
        self._arrangement: int | None = None
        self._positive = True
        self._showing = False
        self._seeds: SeedPoints | None = None
        self._watched: tuple[object, Callable[[], None]] | None = None
        self._link: ViewLink | None = None
        self._large = self._shown = None
        self._object_at: tuple | None = None
        self._layout_before: int | None = None
        self._titles = Titles()
        self._drawing: Drawing | None = None

    # The layout

    def show_titles(self, titles: Sequence[str]) -> None:
        """What is written over the small views, in their order."""
        self._titles.show(titles)

    @property
    def own_layout(self) -> bool:
        """Whether the five views are shown."""
        manager = slicer.app.layoutManager()
        if manager is None:
            return False
        from SPASegmentLib.mrml.layout import LAYOUT_ID

        return manager.layoutLogic().GetLayoutNode().GetViewArrangement() == LAYOUT_ID

    def show_own_layout(self, show: bool) -> None:
        """Show the five views, or what was shown before them."""
        from SPASegmentLib.mrml import layout

        manager = slicer.app.layoutManager()
        if manager is None or show == self.own_layout:
            return
        node = manager.layoutLogic().GetLayoutNode()
        if show:
            self._layout_before = node.GetViewArrangement()
            manager.setLayout(layout.register_layout(node))
        else:
            self._unlink()
            manager.setLayout(self._layout_before or node.SlicerLayoutFourUpView)

    def hand_over(self, volume) -> None:
        """Show the views of before at the place and zoom of the large one, each in its own orientation."""
        if not self.own_layout:
            return
        large, manager = self._large, slicer.app.layoutManager()
        self.show_own_layout(False)
        if large is None or large.GetScene() is None or volume is None:
            return
        centre = [large.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        across = min(large.GetFieldOfView()[:2])
        for name in manager.sliceViewNames():
            logic = manager.sliceWidget(name).sliceLogic()
            if logic.GetSliceCompositeNode().GetBackgroundVolumeID() is None:
                logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
            node = logic.GetSliceNode()
            width, height, depth = node.GetFieldOfView()
            scale = across / max(min(width, height), 1e-6)
            node.SetFieldOfView(width * scale, height * scale, depth)
            node.JumpSliceByCentering(*centre)

    def chosen(self) -> tuple[object, list]:
        """The large slice node and the small ones; outside the own layout the first view that is shown."""
        from SPASegmentLib.mrml import layout

        scene = slicer.mrmlScene
        self._unlink()
        if not self.own_layout:
            self._shown = scene.GetSingletonNode("Red", SLICE_NODE)
            return self._shown, []
        self._shown = self._large = large = scene.GetSingletonNode(layout.LARGE, SLICE_NODE)
        found = [scene.GetSingletonNode(tag, SLICE_NODE) for tag in layout.SMALL]
        small = [node for node in found if node is not None]
        if large is not None:
            self._link = layout.link_views(scene, large.GetID(), [node.GetID() for node in small])
            self._link.focus(self._object_at)
        self._titles.put_up()
        return large, small

    def show_volume(self, volume) -> None:
        """Put a volume behind every view that is shown and fit it."""
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        identity = volume.GetID() if volume is not None else None
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            logic = widget.sliceLogic() if widget is not None else None
            composite = logic.GetSliceCompositeNode() if logic is not None else None
            if composite is None or composite.GetBackgroundVolumeID() == identity:
                continue
            composite.SetBackgroundVolumeID(identity)
            if volume is not None:
                logic.FitSliceToAll()
                # Else the first picture lies between two slices of the volume.
                logic.SnapSliceOffsetToIJK()
        if self._link is not None:
            self._link.update()

    def show_object(self, ras: tuple, area_mm2: float, *, always: bool = False) -> None:
        """Zoom the large view to an object, where it would be too small to judge.

        ras: a place in it. area_mm2: its area on the slice.
        """
        node = self._large
        if self._link is None or node is None or area_mm2 <= 0:
            return
        extent, view = 2 * math.sqrt(area_mm2 / math.pi), node.GetFieldOfView()
        if not always and extent > TOO_SMALL * min(view[0], view[1]):
            return
        scale = ROOM * extent / min(view[0], view[1])
        node.JumpSliceByCentering(*ras)
        node.SetFieldOfView(view[0] * scale, view[1] * scale, view[2])

    def show_in_small(self, object_at: tuple | None) -> None:
        """Zoom the small views to what they are about. object_at: as `Screen.object_at`."""
        self._object_at = object_at
        if self._link is not None:
            self._link.focus(object_at)

    @property
    def large(self):
        """The slice node that was last chosen as the large view's, or None."""
        return self._shown if self._shown is not None and self._shown.GetScene() is not None else None

    # Placing points

    @property
    def placing(self) -> bool | None:
        """True: the next click is a seed. False: it is a point to exclude. None: clicks are Slicer's own."""
        node = self._interaction()
        if self._watched is None or node is None or node.GetCurrentInteractionMode() != node.Place:
            return None
        selection = slicer.app.applicationLogic().GetSelectionNode()
        return self._positive if selection.GetActivePlaceNodeID() == self._watched[0].GetID() else None

    def place(self, positive: bool) -> None:
        """Let the next click in a slice view place a point."""
        self.stop_placing()
        self._positive = positive
        self._watch()
        self._seeds.place(positive=positive)

    @property
    def drawing(self) -> Shape | None:
        """What the next drag in a slice view draws; None: drags are Slicer's own."""
        return self._drawing.shape if self._drawing is not None else None

    def draw(self, shape: Shape) -> None:
        """Let the next drag in a slice view draw a box or a line."""
        from SPASegmentLib.mrml.drawing import Drawing

        self.stop_placing()
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        if self._drawing is None:
            self._drawing = Drawing(self._on_drawn, self._mode_changed)
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            view = widget.sliceView()
            self._drawing.watch(view.interactor(), widget.mrmlSliceNode(), view.scheduleRender)
        self._drawing.begin(shape)

    def _on_drawn(self, shape: Shape, places: list, positive: bool, slice_node) -> None:
        self._soon(lambda: self._drawn(shape, places, positive, slice_node))

    def stop_placing(self) -> None:
        """Give clicks and drags back to Slicer."""
        if self._drawing is not None:
            self._drawing.stop()
        if self.placing is not None:
            self._seeds.stop_placing()

    def show_points(self, points) -> None:
        """Show these points and no others: (ras, positive) each; a click that was refused goes away."""
        if not points and self._watched is None:
            return
        from SPASegmentLib.mrml.seeds import Seed

        self._watch()
        self._showing = True
        try:
            self._seeds.show([Seed(tuple(ras), positive) for ras, positive in points])
        finally:
            self._showing = False

    def follow(self) -> None:
        """Watch whether placing goes on (a click, Esc and other tools end it), and what the layout is."""
        interaction = self._interaction()
        event = interaction.InteractionModeChangedEvent
        if not self.hasObserver(interaction, event, self._on_mode):
            self.addObserver(interaction, event, self._on_mode)
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        node = manager.layoutLogic().GetLayoutNode()
        self._arrangement = node.GetViewArrangement()
        if not self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_layout):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_layout)

    def forget(self) -> None:
        """The scene is closed: the node that took clicks is gone with it."""
        self._unlink()
        self._unwatch()

    def close(self) -> None:
        """Leave nothing behind: no observer, no node, no mode."""
        self._titles.take_down()
        self.stop_placing()
        if self._drawing is not None:
            self._drawing.close()
        self.removeObservers()
        watched = self._watched
        self.forget()
        if watched is not None and watched[0].GetScene() is not None:
            slicer.mrmlScene.RemoveNode(watched[0])

    def _interaction(self):
        return slicer.app.applicationLogic().GetInteractionNode()

    def _watch(self) -> None:
        """Hear of every point that is put into the list of seeds of the present scene."""
        from SPASegmentLib.mrml.seeds import SeedPoints

        if self._watched is not None and self._watched[0].GetScene() is not None:
            return
        self._unwatch()
        self._seeds = SeedPoints(slicer.mrmlScene)
        node = self._seeds.node
        node.SetHideFromEditors(True)
        self._watched = (node, self._seeds.observe(self._on_point))

    def _on_point(self, seed) -> None:
        if self._showing:
            return
        view = self._view_under_cursor(seed.ras)
        # Not within the event: Slicer is not done with the point yet.
        self._soon(lambda: self._placed(seed.ras, seed.positive, view))

    def _view_under_cursor(self, ras: tuple):
        """The slice node that was clicked in, as the crosshair knows it; None where it does not.

        ras: the point. Where the cursor is elsewhere, a script or a list placed it, and no click.
        """
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        node = crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0]) if crosshair is not None else None
        at = [0.0, 0.0, 0.0]
        if node is None or not crosshair.GetCursorPositionRAS(at):
            return None
        pixel = node.GetFieldOfView()[0] / max(node.GetDimensions()[0], 1)
        return node if math.dist(at, ras) < NEAR_PIXELS * pixel else None

    def _on_mode(self, caller, event) -> None:
        self._mode_changed()

    def _on_layout(self, caller, event) -> None:
        if caller.GetViewArrangement() != self._arrangement:
            self._arrangement = caller.GetViewArrangement()
            self._soon(self._layout_changed)

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._watched[1]()
        self._watched = self._seeds = None

    def _unlink(self) -> None:
        if self._link is not None:
            self._link.unlink()
            self._link = None
