"""The Segment Editor around scripted effects: its own node, masking and undo are the real ones.

What is stood in for is Qt: the editor's widget, the effect's C++ half and the factory, with the semantics of
qMRMLSegmentEditorWidget and qSlicerSegmentEditorScriptedEffect, as small as can be.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pythonqt
import slicer
import vtk
from PySide6 import QtGui, QtWidgets

OWN_KEYS = (
    *"1234567890",
    *(f"Shift+{n}" for n in range(10)),
    *("Esc", "Space", "Z", "Ctrl+Z", "Y", "Ctrl+Y", "Q", "W", "/", "*", ",", ".", ">", "<", "I"),
)
"""installKeyboardShortcuts puts them on the main window; only `activated` is listened to."""


class AbstractScriptedSegmentEditorEffect:
    """The Python half that effects extend."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        EffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None:
        """Nothing."""


class ScriptedEffect:
    """The C++ half: Qt properties, what the editor gives, and calls to the Python half where it has them."""

    PROPERTIES = ("name", "title", "perSegment", "requireSegments", "showEffectCursorInSliceView")

    def __init__(self, parent: None = None) -> None:
        self.__dict__.update(name="", title="", perSegment=True, requireSegments=True)
        self.__dict__.update(_self=None, _editor=None, _active=False, _frame=QtWidgets.QFrame())
        QtWidgets.QFormLayout(self._frame)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.PROPERTIES:
            raise AttributeError(f"PythonQt refuses new attributes: {name}")
        self.__dict__[name] = value

    def setPythonSource(self, path: str) -> bool:
        """As Slicer does: the module has the folder's name, the class the file's."""
        folder, kind = Path(path).parent.name, Path(path).stem
        kind += "" if kind.endswith("Effect") else "Effect"
        module = sys.modules.get(folder)
        if module is None or not hasattr(module, kind):
            spec = importlib.util.spec_from_file_location(folder, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[folder] = module
            spec.loader.exec_module(module)
        self.__dict__["_self"] = getattr(module, kind)(self)
        return True

    def self(self) -> Any:
        return self._self

    def call(self, name: str, *args: Any) -> Any:
        """A method of the Python half; None where it has none."""
        method = getattr(self._self, name, None)
        return method(*args) if method is not None else None

    def active(self) -> bool:
        return self._active

    def parameterSetNode(self) -> Any:
        return self._editor.node

    def addOptionsWidget(self, widget: Any) -> None:
        self._frame.layout().addRow(pythonqt.unwrap(widget))

    def saveStateForUndo(self) -> None:
        self._editor.logic.SaveStateForUndo()

    def selectEffect(self, name: str) -> None:
        self._editor.setActiveEffectByName(name)

    def confirmCurrentSegmentVisible(self) -> int:
        return 1


class EffectFactory:
    """Holds one of each effect; editors copy them."""

    effects: list[ScriptedEffect] = []  # noqa: RUF012

    @classmethod
    def instance(cls) -> type[EffectFactory]:
        return cls

    @classmethod
    def registerEffect(cls, effect: ScriptedEffect) -> bool:
        if any(one.name == effect.name for one in cls.effects):
            return False
        cls.effects.append(effect)
        return True


class SegmentEditor:
    """The module Segment Editor, open in the main window."""

    def __init__(self, application: Any) -> None:
        self._application = application
        scene = slicer.mrmlScene
        node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag("SegmentEditor")
        self.node = scene.AddNode(node)
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(scene)
        self.logic.SetSegmentEditorNode(self.node)
        self.logic.SetMaximumNumberOfUndoStates(10)
        self.widget = QtWidgets.QWidget()
        QtWidgets.QVBoxLayout(self.widget)
        self._active: ScriptedEffect | None = None
        self.effects = [one.call("clone") for one in EffectFactory.effects]
        for effect in self.effects:
            effect.__dict__["_editor"] = self
            effect.call("setupOptionsFrame")
            effect._frame.setVisible(False)
            self.widget.layout().addWidget(effect._frame)
        self.keys_pressed: list[str] = []
        self._observed: list[tuple[Any, int]] = []
        for name in application.layoutManager().sliceViewNames():
            self._observe(application.layoutManager().sliceWidget(name))
        self._tag = self.node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())
        self._closing = scene.AddObserver(scene.StartCloseEvent, lambda *_: self._scene_closes())
        for key in OWN_KEYS:
            shortcut = QtGui.QShortcut(QtGui.QKeySequence(key), application._window)
            shortcut.activated.connect(lambda key=key: self.keys_pressed.append(key))

    def activeEffect(self) -> ScriptedEffect | None:
        return self._active

    def setActiveEffectByName(self, name: str) -> None:
        self.node.SetActiveEffectName(name)

    def setSegmentationNode(self, node: Any) -> None:
        self.logic.SetSegmentationNode(node)
        self.setActiveEffectByName("")

    def segmentationNode(self) -> Any:
        return self.node.GetSegmentationNode()

    def saveStateForUndo(self) -> None:
        self.logic.SaveStateForUndo()

    def setSourceVolumeNode(self, node: Any) -> None:
        self.logic.SetSourceVolumeNode(node)

    def setCurrentSegmentID(self, identity: str) -> None:
        self.node.SetSelectedSegmentID(identity)

    def mrmlSegmentEditorNode(self) -> Any:
        return self.node

    def undo(self) -> None:
        self.logic.Undo()

    def redo(self) -> None:
        self.logic.Redo()

    def close(self) -> None:
        """Leave the module."""
        self.setActiveEffectByName("")
        for effect in self.effects:
            effect.call("cleanup")
        for interactor, tag in self._observed:
            interactor.RemoveObserver(tag)
        self.node.RemoveObserver(self._tag)
        slicer.mrmlScene.RemoveObserver(self._closing)
        self.logic.SetMRMLScene(None)
        for shortcut in self._application._window.findChildren(QtGui.QShortcut):
            if shortcut.key().toString() in OWN_KEYS:
                shortcut.setParent(None)
        EffectFactory.effects.clear()

    def _observe(self, widget: Any) -> None:
        """The active effect gets what happens in a view; where it takes it, nobody else does."""
        interactor = widget.sliceView().interactor()

        def pressed(caller: Any, event: str) -> None:
            number = vtk.vtkCommand.GetEventIdFromString(event)
            if self._active is not None:
                took = self._active.call("processInteractionEvents", caller, number, widget)
                assert isinstance(took, bool), "the C++ half accepts nothing else"
                interactor.GetCommand(tag).SetAbortFlag(took)

        tag = interactor.AddObserver("LeftButtonPressEvent", pressed, 1.0)
        self._observed.append((interactor, tag))

    def _scene_closes(self) -> None:
        self.setSegmentationNode(None)

    def _update(self) -> None:
        """updateEffectsSectionFromMRML."""
        name = self.node.GetActiveEffectName()
        wanted = next((one for one in self.effects if one.name == name), None)
        if wanted is self._active:
            return
        if self._active is not None:
            self._active._frame.setVisible(False)
            self._active.__dict__["_active"] = False
            self._active.call("deactivate")
        self._active = wanted
        if wanted is not None:
            wanted._frame.setVisible(True)
            wanted.__dict__["_active"] = True
            wanted.call("activate")


def make_modules() -> dict[str, types.ModuleType]:
    """The modules that effects import, ready for sys.modules."""
    effects = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    effects.qSlicerSegmentEditorScriptedEffect = ScriptedEffect  # type: ignore[attr-defined]
    package = types.ModuleType("SegmentEditorEffects")
    package.AbstractScriptedSegmentEditorEffect = AbstractScriptedSegmentEditorEffect  # type: ignore[attr-defined]
    return {one.__name__: one for one in (effects, package)}


def open_editor(application: Any) -> SegmentEditor:
    """Leave the panel's module for the Segment Editor; effects were registered at the application's start."""
    application._qt.startupCompleted.emit()
    application.widget.exit()
    editor = SegmentEditor(application)
    slicer.modules.SegmentEditorWidget = SimpleNamespace(editor=editor)
    return editor
