"""Slicer's and CTK's widgets that the panel uses, with their documented properties, slots and signals."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows the scene."""

    SIGNALS: ClassVar[dict[str, str]] = {"mrmlSceneChanged(vtkMRMLScene*)": "sceneChanged"}
    sceneChanged = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.sceneChanged.emit(scene)


def _flag(name: str, default: bool) -> Any:
    key = f"_{name}"

    def read(self: Any) -> bool:
        return bool(self.__dict__.get(key, default))

    def write(self: Any, value: bool) -> None:
        self.__dict__[key] = value
        self.refresh()

    return Property(bool, read, write)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Lists the nodes of some classes; follows the scene."""

    SIGNALS: ClassVar[dict[str, str]] = {
        "currentNodeChanged(vtkMRMLNode*)": "nodeChanged",
        "currentNodeChanged(bool)": "validChanged",
        "currentNodeIDChanged(QString)": "idChanged",
        "nodeAddedByUserAction(vtkMRMLNode*)": "addedByUser",
    }
    nodeChanged = Signal(object)
    validChanged = Signal(bool)
    idChanged = Signal(str)
    addedByUser = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._scene: Any = None
        self._types: list[str] = []
        self._hidden_types: list[str] = []
        self._none, self._base = "None", ""
        self._nodes: list[Any] = []
        self._current: Any = None
        self._tags: list[int] = []
        self._box.activated.connect(self._on_activated)
        self.setEnabled(False)

    noneEnabled = _flag("noneEnabled", False)
    addEnabled = _flag("addEnabled", True)
    removeEnabled = _flag("removeEnabled", True)
    editEnabled = _flag("editEnabled", False)
    renameEnabled = _flag("renameEnabled", False)
    showHidden = _flag("showHidden", False)
    showChildNodeTypes = _flag("showChildNodeTypes", True)
    selectNodeUponCreation = _flag("selectNodeUponCreation", True)

    def _read_types(self) -> list[str]:
        return self._types

    def _write_types(self, names: list[str]) -> None:
        self._types = list(names)
        self.refresh()

    nodeTypes = Property("QStringList", _read_types, _write_types)

    def _read_hidden(self) -> list[str]:
        return self._hidden_types

    def _write_hidden(self, names: list[str]) -> None:
        self._hidden_types = list(names)
        self.refresh()

    hideChildNodeTypes = Property("QStringList", _read_hidden, _write_hidden)

    def _read_none(self) -> str:
        return self._none

    def _write_none(self, text: str) -> None:
        self._none = text
        self.refresh()

    noneDisplay = Property(str, _read_none, _write_none)

    def _read_base(self) -> str:
        return self._base

    def _write_base(self, text: str) -> None:
        self._base = text

    baseName = Property(str, _read_base, _write_base)

    def _read_id(self) -> str:
        return self._current.GetID() or "" if self._current else ""

    def setCurrentNodeID(self, identity: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(identity) if self._scene and identity else None)

    currentNodeID = Property(str, _read_id, setCurrentNodeID)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if self._scene is not None:
            for tag in self._tags:
                self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        self.setEnabled(scene is not None)
        if scene is not None:
            events = (
                scene.NodeAddedEvent,
                scene.NodeRemovedEvent,
                scene.EndCloseEvent,
                scene.EndImportEvent,
                scene.EndBatchProcessEvent,
            )
            self._tags = [scene.AddObserver(event, lambda *_: self.refresh()) for event in events]
        self.refresh()

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            self.setCurrentNodeID(node)
            return
        if node is not None and node not in self._nodes:
            node = None
        self._choose(node)

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def addNode(self, kind: str = "") -> Any:
        """What the menu's "Create new ..." does."""
        kind = kind or self._types[0]
        node = self._scene.AddNewNodeByClass(kind, self._base)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.addedByUser.emit(node)
        return node

    def refresh(self) -> None:
        """List what the scene holds now."""
        nodes: list[Any] = []
        if self._scene is not None and not self._scene.IsBatchProcessing():
            for kind in self._types:
                found = self._scene.GetNodesByClass(kind)
                found.UnRegister(None)
                for n in range(found.GetNumberOfItems()):
                    node = found.GetItemAsObject(n)
                    child = node.GetClassName() != kind and not self.showChildNodeTypes
                    hidden = node.GetHideFromEditors() and not self.showHidden
                    if not (child or hidden or any(node.IsA(name) for name in self._hidden_types)):
                        nodes.append(node)
        elif self._scene is not None:
            return
        self._nodes = nodes
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self._none)
        for node in nodes:
            self._box.addItem(node.GetName())
        wanted = self._current if self._current in nodes else None
        jumps = self._current is not None and bool(nodes)  # as the real one does
        if wanted is None and nodes and (jumps or not self.noneEnabled):
            wanted = nodes[0]
        if wanted or self.noneEnabled:  # else the real one goes on naming the segment that is gone
            self._choose(wanted)

    def _choose(self, node: Any) -> None:
        offset = 1 if self.noneEnabled else 0
        self._box.setCurrentIndex(self._nodes.index(node) + offset if node is not None else offset - 1)
        if node is self._current:
            return
        self._current = node
        self.nodeChanged.emit(node)
        self.validChanged.emit(node is not None)
        self.idChanged.emit(self._read_id())

    def _on_activated(self, index: int) -> None:
        at = index - (1 if self.noneEnabled else 0)
        self._choose(self._nodes[at] if at >= 0 else None)


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Chooses a segment of a segmentation."""

    SIGNALS: ClassVar[dict[str, str]] = {
        "currentNodeChanged(vtkMRMLNode*)": "nodeChanged",
        "currentSegmentChanged(QString)": "segmentChanged",
    }
    nodeChanged = Signal(object)
    segmentChanged = Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._node: Any = None
        self._segmentation: Any = None
        self._tags: list[int] = []
        self._ids: list[str] = []
        self._current = ""
        self._box.activated.connect(self._on_activated)

    noneEnabled = _flag("noneEnabled", False)
    editEnabled = _flag("editEnabled", False)
    segmentationNodeSelectorVisible = _flag("segmentationNodeSelectorVisible", True)
    multiSelection = _flag("multiSelection", False)
    horizontalLayout = _flag("horizontalLayout", False)
    selectNodeUponCreation = _flag("selectNodeUponCreation", True)

    def currentNode(self) -> Any:
        return self._node

    def currentNodeID(self) -> str:
        return self._node.GetID() if self._node else ""

    def currentSegmentID(self) -> str:
        return self._current

    def segmentIDs(self) -> list[str]:
        return self._ids

    def setCurrentNode(self, node: Any) -> None:
        if node is self._node:
            return
        if self._segmentation is not None:
            for tag in self._tags:
                self._segmentation.RemoveObserver(tag)
        self._node, self._tags = node, []
        self._segmentation = node.GetSegmentation() if node else None
        if self._segmentation is not None:
            events = (slicer.vtkSegmentation.SegmentAdded, slicer.vtkSegmentation.SegmentRemoved)
            events += (slicer.vtkSegmentation.SegmentModified,)
            self._tags = [self._segmentation.AddObserver(one, lambda *_: self.refresh()) for one in events]
        self.nodeChanged.emit(node)
        self.refresh()

    def setCurrentNodeID(self, identity: str) -> None:
        self.setCurrentNode(slicer.mrmlScene.GetNodeByID(identity) if identity else None)

    def setCurrentSegmentID(self, identity: str) -> None:
        if identity in self._ids:
            self._box.setCurrentIndex(self._ids.index(identity) + (1 if self.noneEnabled else 0))
            self._choose(identity)

    def refresh(self) -> None:
        """List the segments there are now."""
        ids: list[str] = []
        if self._segmentation is not None:
            names = vtk.vtkStringArray()
            self._segmentation.GetSegmentIDs(names)
            ids = [names.GetValue(n) for n in range(names.GetNumberOfValues())]
        self._ids = ids
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem("None")
        for identity in ids:
            self._box.addItem(self._segmentation.GetSegment(identity).GetName())
        wanted = self._current if self._current in ids else (ids[0] if ids and not self.noneEnabled else "")
        if wanted:
            self._box.setCurrentIndex(ids.index(wanted) + (1 if self.noneEnabled else 0))
        if wanted or self.noneEnabled:  # else the real one goes on naming the segment that is gone
            self._choose(wanted)

    def _choose(self, identity: str) -> None:
        if identity != self._current:
            self._current = identity
            self.segmentChanged.emit(identity)

    def _on_activated(self, index: int) -> None:
        at = index - (1 if self.noneEnabled else 0)
        self._choose(self._ids[at] if at >= 0 else "")


class ctkCollapsibleButton(QtWidgets.QWidget):
    """A titled part that folds away."""

    SIGNALS: ClassVar[dict[str, str]] = {"contentsCollapsed(bool)": "folded"}
    folded = Signal(bool)
    HEAD = 26

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed, self._collapsed_height = "", False, 10
        self.setContentsMargins(0, self.HEAD, 0, 0)

    def _read_text(self) -> str:
        return self._text

    def _write_text(self, text: str) -> None:
        self._text = text
        self.update()

    text = Property(str, _read_text, _write_text)

    def _read_collapsed(self) -> bool:
        return self._collapsed

    def _write_collapsed(self, value: bool) -> None:
        changed, self._collapsed = value != self._collapsed, value
        self._fold()
        if changed:
            self.folded.emit(value)

    collapsed = Property(bool, _read_collapsed, _write_collapsed)

    def _read_collapsed_height(self) -> int:
        return self._collapsed_height

    def _write_collapsed_height(self, value: int) -> None:
        self._collapsed_height = value
        self._fold()

    collapsedHeight = Property(int, _read_collapsed_height, _write_collapsed_height)

    def _fold(self) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            child.setVisible(not self._collapsed)
        self.setMaximumHeight(self.HEAD + self._collapsed_height if self._collapsed else 16777215)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        self._fold()

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.position().y() < self.HEAD:
            self._write_collapsed(not self._collapsed)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        head = QtCore.QRect(0, 0, self.width(), self.HEAD)
        painter.fillRect(head, self.palette().color(QtGui.QPalette.ColorRole.Button))
        painter.setPen(self.palette().color(QtGui.QPalette.ColorRole.ButtonText))
        arrow = "▸" if self._collapsed else "▾"
        painter.drawText(
            head.adjusted(8, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, f"{arrow}  {self._text}"
        )


class ctkColorPickerButton(QtWidgets.QPushButton):
    """A button that holds a colour."""

    colorChanged = Signal(QtGui.QColor)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._color = QtGui.QColor("black")
        self._named = True

    def _read(self) -> QtGui.QColor:
        return self._color

    def _write(self, color: QtGui.QColor) -> None:
        if color != self._color:
            self._color = color
            picture = QtGui.QPixmap(14, 14)
            picture.fill(color)
            self.setIcon(QtGui.QIcon(picture))
            self.colorChanged.emit(color)

    color = Property(QtGui.QColor, _read, _write)

    def _read_named(self) -> bool:
        return self._named

    def _write_named(self, value: bool) -> None:
        self._named = value

    displayColorName = Property(bool, _read_named, _write_named)


WIDGETS = {
    cls.__name__: cls
    for cls in (
        qMRMLWidget,
        qMRMLNodeComboBox,
        qMRMLSegmentSelectorWidget,
        ctkCollapsibleButton,
        ctkColorPickerButton,
    )
}
