"""Seeds as markups: one point list of ours, positive and negative points told apart by colour and label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

NAME = "SPASegment seed"
_MARK = "SPASegment.seeds"
POSITIVE = (0.20, 0.85, 0.35)
NEGATIVE = (0.95, 0.25, 0.55)


@dataclass(frozen=True)
class Seed:
    """A point the user placed. ras: world RAS in mm."""

    ras: tuple[float, float, float]
    positive: bool = True


class SeedPoints:
    """The point list of a scene; found again in a scene that was saved with it."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._positive = True

    @property
    def node(self) -> Any:
        """The vtkMRMLMarkupsFiducialNode; made where there is none (any more)."""
        found = self._scene.GetNodesByClass("vtkMRMLMarkupsFiducialNode")
        found.UnRegister(None)
        for n in range(found.GetNumberOfItems()):
            if found.GetItemAsObject(n).GetAttribute(_MARK):
                return found.GetItemAsObject(n)
        node = self._scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", NAME)
        node.SetAttribute(_MARK, "1")
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        # A selected point has the one colour, any other the other.
        display.SetSelectedColor(*POSITIVE)
        display.SetColor(*NEGATIVE)
        display.SetActiveColor(1.0, 1.0, 1.0)
        display.SetGlyphTypeFromString("ThickCross2D")
        display.SetUseGlyphScale(True)
        display.SetGlyphScale(3.0)  # percent of the view: as large however far it is zoomed
        display.SetPointLabelsVisibility(False)
        display.SetVisibility3D(False)
        return node

    def add(self, ras: Sequence[float], *, positive: bool = True) -> None:
        """Put a point. ras: world RAS in mm."""
        node = self.node
        at = node.AddControlPointWorld(vtk.vtkVector3d(*(float(value) for value in ras)))
        self._sign(node, at, positive)

    def read(self) -> tuple[Seed, ...]:
        """All placed points, oldest first."""
        node = self.node
        seeds = []
        for n in range(node.GetNumberOfControlPoints()):
            if node.GetNthControlPointPositionStatus(n) == node.PositionDefined:
                ras = [0.0, 0.0, 0.0]
                node.GetNthControlPointPositionWorld(n, ras)
                positive = bool(node.GetNthControlPointSelected(n))
                seeds.append(Seed((ras[0], ras[1], ras[2]), positive))
        return tuple(seeds)

    def show(self, seeds: Sequence[Seed]) -> None:
        """Make the list these points."""
        if self.read() != tuple(seeds):
            self.clear()
            for seed in seeds:
                self.add(seed.ras, positive=seed.positive)

    def clear(self) -> None:
        """Take all points away."""
        self.node.RemoveAllControlPoints()

    def remove(self) -> None:
        """Take the point list out of the scene."""
        self._scene.RemoveNode(self.node)

    def place(self, *, positive: bool = True) -> None:
        """The user's next click in a view puts a point of that sign."""
        self._positive = positive
        selection = self._scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        interaction = self._scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        if selection is None or interaction is None:
            return
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        selection.SetActivePlaceNodeID(self.node.GetID())
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)

    def stop_placing(self) -> None:
        """Clicks do what they did before."""
        interaction = self._scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        if interaction is not None and interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def observe(self, placed: Callable[[Seed], object]) -> Callable[[], None]:
        """Call back with every point the user puts into a view; returns what ends it."""
        node = self.node

        def on_placed(caller: Any, event: str) -> None:
            seeds = self.read()
            if seeds:
                last = node.GetNumberOfControlPoints() - 1
                self._sign(node, last, self._positive)
                placed(Seed(seeds[-1].ras, self._positive))

        tag = node.AddObserver(slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, on_placed)

        def end() -> None:
            node.RemoveObserver(tag)

        return end

    @staticmethod
    def _sign(node: Any, at: int, positive: bool) -> None:
        node.SetNthControlPointSelected(at, positive)
        node.SetNthControlPointLabel(at, "+" if positive else "-")
