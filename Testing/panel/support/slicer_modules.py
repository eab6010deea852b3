"""Slicer's Python modules that are not in slicer-core, with the documented behaviour; as small as can be."""

from __future__ import annotations

import sys
import types
import typing
import unittest
from pathlib import Path
from typing import Any

import slicer
import vtk


class ScriptedLoadableModule:
    """Holds what Slicer shows of a module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    """A module's panel: a parent widget with a layout."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        if parent is None:
            import qt

            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        else:
            self.parent = parent
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """Nothing is added outside developer mode."""

    def cleanup(self) -> None:
        """Nothing to clean."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """A module's logic with its parameter node in the scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
            node = slicer.mrmlScene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's self-test."""

    messageDelay = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def delayDisplay(self, message: str, requestedDelay: Any = None, msec: Any = None) -> None:
        """Nobody watches here."""

    def setUp(self) -> None:
        """Nothing."""

    def runTest(self) -> None:
        """Nothing."""


# parameterNodeWrapper


def _default(kind: Any) -> Any:
    return None if _is_node(kind) else kind()


def _is_node(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def _property(name: str, kind: Any, default: Any) -> property:
    def read(self: Any) -> Any:
        if _is_node(kind):
            return self._nodes[name]  # as Slicer does: what it was when the parameter node last changed
        text = self.parameterNode.GetParameter(name)
        if kind is bool:
            return text == "True"
        return kind(text) if text or kind is str else default

    def write(self: Any, value: Any) -> None:
        if _is_node(kind):
            if value is not None and not isinstance(value, kind):
                raise ValueError(f"{name} takes a {kind.__name__}")
            was = self.parameterNode.StartModify()
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
            self._nodes[name] = self.parameterNode.GetNodeReference(name)
            self.parameterNode.EndModify(was)
            return
        if not isinstance(value, kind):
            raise ValueError(f"{name} takes a {kind.__name__}")
        self.parameterNode.SetParameter(name, str(value))

    return property(read, write)


def parameterNodeWrapper(cls: type) -> type:
    """Typed access to a parameter node, and to widgets bound by SlicerParameterName."""
    kinds = typing.get_type_hints(cls)

    def __init__(self: Any, node: Any, prefix: str | None = None) -> None:
        self.parameterNode = node
        self._guis: dict[int, dict[str, Any]] = {}
        self._updating = False
        self._nodes = {name: node.GetNodeReference(name) for name, kind in kinds.items() if _is_node(kind)}
        for name, kind in kinds.items():
            if not _is_node(kind) and not node.GetParameter(name):
                setattr(self, name, getattr(cls, f"_default_{name}"))
        node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: _refresh(self))

    for name, kind in kinds.items():
        default = getattr(cls, name, _default(kind))
        setattr(cls, f"_default_{name}", default)
        setattr(cls, name, _property(name, kind, default))
    cls.__init__ = __init__
    cls.connectGui = _connect_gui
    cls.disconnectGui = _disconnect_gui
    cls.AddObserver = lambda self, event, call, priority=0.0: self.parameterNode.AddObserver(
        event, call, priority
    )
    cls.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    cls.StartModify = lambda self: self.parameterNode.StartModify()
    cls.EndModify = lambda self, was: self.parameterNode.EndModify(was)
    cls.Modified = lambda self: self.parameterNode.Modified()
    return cls


def _refresh(wrapper: Any) -> None:
    for name in wrapper._nodes:
        wrapper._nodes[name] = wrapper.parameterNode.GetNodeReference(name)
    if wrapper._updating:
        return
    wrapper._updating = True
    try:
        for gui in wrapper._guis.values():
            for name, (widget, _) in gui.items():
                widget.setCurrentNode(getattr(wrapper, name))
    finally:
        wrapper._updating = False


def _connect_gui(self: Any, gui: Any) -> int:
    bound: dict[str, Any] = {}
    for widget in vars(gui).values():
        name = widget.property("SlicerParameterName")
        if name:
            if not widget.inherits("qMRMLNodeComboBox"):
                raise RuntimeError(f"the stand-in binds node selectors only, not {widget.className()}")
            bound[name] = widget
    tag = max(self._guis, default=-1) + 1
    self._guis[tag] = {}
    for name, widget in bound.items():
        widget.setCurrentNode(getattr(self, name))

        def changed(node: Any = None, name: str = name, widget: Any = widget) -> None:
            if not self._updating:
                setattr(self, name, widget.currentNode())

        slot = _one_argument(changed)
        widget.connect("currentNodeChanged(vtkMRMLNode*)", slot)
        self._guis[tag][name] = (widget, slot)
    return tag


def _one_argument(function: Any) -> Any:
    def slot() -> None:
        function()

    return slot


def _disconnect_gui(self: Any, tag: int) -> None:
    for widget, slot in self._guis.pop(tag, {}).values():
        widget.disconnect("currentNodeChanged(vtkMRMLNode*)", slot)


def make_modules() -> dict[str, types.ModuleType]:
    """The modules by name, ready for sys.modules."""
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    for cls in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(scripted, cls.__name__, cls)
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper = parameterNodeWrapper  # type: ignore[attr-defined]
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text: text  # type: ignore[attr-defined]
    i18n.translate = lambda context, text: text  # type: ignore[attr-defined]
    return {one.__name__: one for one in (scripted, wrapper, i18n)}


def forget(prefixes: tuple[str, ...]) -> None:
    """Drop loaded modules, as a new start of Slicer does."""
    for name in [n for n in sys.modules if n.split(".")[0] in prefixes]:
        del sys.modules[name]
