"""A proposal over the slice views: the recommendation, and in each small view what one candidate changes.

Everything lives in one segmentation node of our own, hidden from lists and not saved with the scene: never
in the user's. Its labelmaps lie in the slice's plane, one slice thick and finer than the pixels, so that
patterns can be drawn; the views of one proposal have a display node each.

A node hidden from lists has no item in the subject hierarchy, and Slicer writes an error line whenever the
segments or the display of such a segmentation change. So the node comes into the scene complete, its display
nodes change in silence, and the views are told once by the node's own ModifiedEvent: one redraw for all five.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtk.util.numpy_support import numpy_to_vtk

from SPASegmentLib.imaging.view_slices import ViewSlice
from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.mrml.volumes import matrix_of
from SPASegmentLib.reporting.overlay import ADDED, RECOMMENDED, REMOVED, Look

SMALL_VIEWS = 4
_CELLS = 200_000
"""A picture's patterns are drawn on about this many cells at most."""
_FINEST = 8
"""Cells per pixel of the slice, along each axis."""
_UNITS = 46
"""The pattern's unit is the object's extent divided by this."""
_MARK = "SPASegment.overlays"


@dataclass(frozen=True)
class OverlayColors:
    """How the three roles are drawn (see `reporting.overlay.Look`); line: width of outlines in pixels."""

    recommendation: Look = RECOMMENDED
    added: Look = ADDED
    removed: Look = REMOVED
    line: int = 2


@dataclass(frozen=True)
class _Part:
    """A segment of ours. role: whose colours. tone: which of them. fill, outline: what is drawn of it."""

    name: str
    role: str
    tone: str
    fill: bool = False
    outline: bool = False


@dataclass
class _Layer:
    """One labelmap, the segments on it (label n + 1 is the n-th), and the display nodes that show them."""

    parts: tuple[_Part, ...]
    displays: tuple[int, ...]
    image: Any


def _make_layers() -> list[_Layer]:
    """The recommendation's layer; then two per candidate: outlines, and fill with its pattern's ink."""
    mask = _Part("recommendation", "recommendation", "fill", fill=True, outline=True)
    layers = [_Layer((mask,), tuple(range(1 + SMALL_VIEWS)), _empty_image())]
    for k in range(1, SMALL_VIEWS + 1):
        lines, fills = [], []
        for role in ("added", "removed"):
            lines.append(_Part(f"{k} {role}, outline", role, "line", outline=True))
            fills.append(_Part(f"{k} {role}", role, "fill", fill=True))
            fills.append(_Part(f"{k} {role}, pattern", role, "ink", fill=True))
        layers += [_Layer(tuple(fills), (k,), _empty_image()), _Layer(tuple(lines), (k,), _empty_image())]
    return layers


class ProposalOverlays:
    """Draws proposals; one per scene. Nodes are made when first shown, and anew after a closed scene."""

    def __init__(self, scene: Any, colors: OverlayColors | None = None) -> None:
        self._scene = scene
        self._colors = colors or OverlayColors()
        self._node: Any = None
        self._displays: list[Any] = []
        self._layers: list[_Layer] = []

    @property
    def node(self) -> Any:
        """The segmentation node, or None before the first proposal and after the scene was closed."""
        return self._node if self._node is not None and self._node.GetScene() is self._scene else None

    def show(
        self, view_slice: ViewSlice, proposal: Proposal, *, large: Sequence[str], small: Sequence[str]
    ) -> None:
        """Draw a proposal over its slice.

        large: IDs of the slice nodes that show the recommendation; small: of those that show the candidates,
        in their order. Views without a candidate show nothing.
        """
        if self.node is None:
            self._make_nodes()
        candidates = [one.mask for one in proposal.candidates[:SMALL_VIEWS]]
        recommended = proposal.recommendation
        picture = _Picture.around(view_slice, [recommended, *candidates])
        if picture is None:
            self.clear()
            return
        fine = picture.fine(recommended)
        picture.put(self._layers[0].image, fine)
        inks = picture.pattern(self._colors.added), picture.pattern(self._colors.removed)
        for k, mask in enumerate(candidates):
            added, removed = picture.fine(mask & ~recommended), picture.fine(recommended & ~mask)
            # Labels in the order of the layer's parts: added, its ink, removed, its ink.
            picture.put(self._layers[1 + 2 * k].image, added * (1 + inks[0]) + removed * (3 + inks[1]))
            picture.put(self._layers[2 + 2 * k].image, added + 2 * removed)
        self._show_in(0, large)
        for k in range(SMALL_VIEWS):
            self._show_in(1 + k, small[k : k + 1] if k < len(candidates) else ())
        self._node.Modified()

    def clear(self) -> None:
        """Show nothing; the nodes stay for the next proposal."""
        if self.node is not None:
            for n in range(len(self._displays)):
                self._show_in(n, ())
            self._node.Modified()

    def remove(self) -> None:
        """Take the nodes out of the scene."""
        if self.node is not None:
            self._scene.RemoveNode(self._node)
            for display in self._displays:
                _take_away(self._scene, display)
        self._node, self._displays, self._layers = None, [], []

    def set_colors(self, colors: OverlayColors) -> None:
        """Draw in other colours from now on."""
        self._colors = colors
        if self.node is not None:
            self._dress()
            self._node.Modified()

    def _show_in(self, display: int, views: Sequence[str]) -> None:
        node = self._displays[display]
        with _silent(node):
            if tuple(node.GetViewNodeIDs()) != tuple(views):
                node.SetViewNodeIDs(list(views))
            node.SetVisibility(bool(views))  # without a view of its own a display node would show in all

    def _make_nodes(self) -> None:
        """One node with all segments on shared labelmaps, and a display node per view."""
        self.remove()
        _sweep(self._scene)
        self._node = _own(self._scene, "vtkMRMLSegmentationNode", "SPASegment proposal")
        self._layers = _make_layers()
        kind = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        for layer in self._layers:
            for label, part in enumerate(layer.parts, start=1):
                segment = slicer.vtkSegment()
                segment.SetName(part.name)
                segment.SetLabelValue(label)
                segment.SetColor(*self._color(part))  # without one Slicer gives it one, and says so
                segment.AddRepresentation(kind, layer.image)
                self._node.GetSegmentation().AddSegment(segment, part.name)
        self._displays = []
        self._node.SetScene(self._scene)  # finds its display nodes now, before anybody listens
        for n in range(1 + SMALL_VIEWS):
            display = _own(self._scene, "vtkMRMLSegmentationDisplayNode", f"SPASegment proposal {n}")
            display.SetVisibility(False)
            display.SetVisibility3D(False)
            for setter in (display.SetOpacity, display.SetOpacity2DFill, display.SetOpacity2DOutline):
                setter(1.0)  # what is translucent is so by its own segment's opacity
            self._scene.AddNode(display)
            self._node.AddAndObserveDisplayNodeID(display.GetID())
            self._displays.append(display)
        self._scene.AddNode(self._node)
        self._dress()

    def _color(self, part: _Part) -> tuple[float, ...]:
        tone = getattr(getattr(self._colors, part.role), part.tone)
        return tuple(value / 255 for value in tone)

    def _dress(self) -> None:
        """Colours, opacities, and which segments each display node shows."""
        for n, display in enumerate(self._displays):
            with _silent(display):
                display.SetSliceIntersectionThickness(self._colors.line)
                for layer in self._layers:
                    for part in layer.parts:
                        self._dress_part(display, part, shown=n in layer.displays, large=n == 0)

    def _dress_part(self, display: Any, part: _Part, *, shown: bool, large: bool) -> None:
        look = getattr(self._colors, part.role)
        display.SetSegmentOverrideColor(part.name, *self._color(part))
        fill = part.fill and (large or part.role != "recommendation")
        display.SetSegmentVisibility(part.name, shown)
        display.SetSegmentVisibility3D(part.name, False)
        display.SetSegmentVisibility2DFill(part.name, fill)
        display.SetSegmentVisibility2DOutline(part.name, part.outline)
        display.SetSegmentOpacity2DFill(part.name, 0.9 if part.tone == "ink" else look.opacity)
        display.SetSegmentOpacity2DOutline(part.name, 1.0)


@dataclass(frozen=True, eq=False)
class _Picture:
    """The box of the slice that is drawn, and how finely.

    start, shape: (row, col) pixels of the slice. cells: per pixel, (row, col). unit: of patterns, in cells.
    """

    view_slice: ViewSlice
    start: tuple[int, int]
    shape: tuple[int, int]
    cells: tuple[int, int]
    unit: float

    @classmethod
    def around(cls, view_slice: ViewSlice, masks: list[np.ndarray]) -> _Picture | None:
        """The box around all masks; None where all are empty."""
        together = np.logical_or.reduce(masks)
        rows, cols = np.flatnonzero(together.any(axis=1)), np.flatnonzero(together.any(axis=0))
        if not len(rows):
            return None
        start = int(rows[0]), int(cols[0])
        shape = int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1
        finest = int(np.clip(np.sqrt(_CELLS / (shape[0] * shape[1])), 1, _FINEST))
        spacing = view_slice.image.spacing
        # Square cells, so that patterns look alike in both directions of anisotropic slices.
        row_cells = int(np.clip(round(finest * spacing[0] / min(spacing)), 1, 4 * _FINEST))
        col_cells = int(np.clip(round(finest * spacing[1] / min(spacing)), 1, 4 * _FINEST))
        extent = max(shape[0] * row_cells, shape[1] * col_cells)
        return cls(view_slice, start, shape, (row_cells, col_cells), max(extent / _UNITS, 1.0))

    def fine(self, mask: np.ndarray) -> np.ndarray:
        """(h, w) uint8: the mask in the box, each pixel as its cells."""
        (row, col), (height, width) = self.start, self.shape
        part = mask[row : row + height, col : col + width].astype(np.uint8)
        return part.repeat(self.cells[0], axis=0).repeat(self.cells[1], axis=1)

    def pattern(self, look: Look) -> np.ndarray:
        """(h, w) uint8: where a pattern has ink."""
        height, width = (n * c for n, c in zip(self.shape, self.cells, strict=True))
        if look.pattern is None:
            return np.zeros((height, width), dtype=np.uint8)
        rows, cols = np.ogrid[:height, :width]
        ink = look.pattern(rows.astype(np.float32), cols.astype(np.float32), self.unit)
        return ink.astype(np.uint8)

    def put(self, image: Any, values: np.ndarray) -> None:
        """Give a labelmap these cells, in the plane, one slice thick."""
        matrix = self.view_slice.pixel_to_world.copy()
        row_cells, col_cells = self.cells
        normal = np.cross(matrix[:3, 0], matrix[:3, 1])
        # The first cell's centre lies this far from the first pixel's.
        at = (
            self.start[1] + (0.5 / col_cells - 0.5),
            self.start[0] + (0.5 / row_cells - 0.5),
        )
        matrix[:3, 3] = matrix[:3] @ np.array([*at, 0.0, 1.0])
        matrix[:3, 2] = normal / np.linalg.norm(normal) * self.view_slice.step_mm
        matrix[:3, 0] /= col_cells
        matrix[:3, 1] /= row_cells
        height, width = values.shape
        image.SetExtent(0, width - 1, 0, height - 1, 0, 0)
        image.SetImageToWorldMatrix(matrix_of(matrix))
        image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values).ravel(), deep=True))
        image.Modified()


def _own(scene: Any, kind: str, name: str) -> Any:
    """A node of ours, not yet in the scene: in no list, in no file, in no undo."""
    node = scene.CreateNodeByClass(kind)
    node.UnRegister(None)
    node.SetName(name)
    node.SetAttribute(_MARK, "1")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetSelectable(False)
    node.SetUndoEnabled(False)
    return node


@contextmanager
def _silent(node: Any) -> Iterator[None]:
    """Changes to a node that nobody hears of."""
    was = node.GetDisableModifiedEvent()
    node.SetDisableModifiedEvent(True)
    try:
        yield
    finally:
        node.SetDisableModifiedEvent(was)


def _sweep(scene: Any) -> None:
    """Take away nodes that an earlier run (a reloaded module) left behind."""
    for kind in ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationDisplayNode"):
        found = scene.GetNodesByClass(kind)
        found.UnRegister(None)
        for node in [found.GetItemAsObject(n) for n in range(found.GetNumberOfItems())]:
            if node.GetAttribute(_MARK):
                _take_away(scene, node)


def _take_away(scene: Any, node: Any) -> None:
    """Remove a node; Slicer takes some display nodes away with their segmentation."""
    if node.GetScene() is scene:
        scene.RemoveNode(node)


def _empty_image() -> Any:
    image = slicer.vtkOrientedImageData()
    image.SetExtent(0, 0, 0, 0, 0, 0)
    image.GetPointData().SetScalars(numpy_to_vtk(np.zeros(1, np.uint8), deep=True))
    return image
