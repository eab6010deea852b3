"""The application around the panel: main window, layout manager and module loading."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pythonqt
import segment_editor
import slicer
import slicer_modules
import vtk
from mrml_widgets import WIDGETS
from PySide6 import QtCore, QtWidgets
from slicer_stand_in import StandIn

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / "SPASegment" / "SPASegment.py"
FOUR_UP = 3


class PanelApplication(StandIn):
    """The stand-in with windows."""

    def __init__(self, log: Any, folder: Path) -> None:
        self._qt = pythonqt.application()
        pythonqt.problems.clear()
        pythonqt.CUSTOM.update(WIDGETS)
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        QtCore.QSettings.setPath(
            QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, str(folder / "settings")
        )
        self._qt.setOrganizationName("SPASegment tests")
        self._qt.setApplicationName("Slicer")
        self._kept = {
            name: sys.modules.get(name)
            for name, module in {
                **pythonqt.make_modules(),
                **slicer_modules.make_modules(),
                **segment_editor.make_modules(),
            }.items()
            if sys.modules.__setitem__(name, module) is None
        }
        super().__init__(log)
        self._window = MainWindow(self)
        self._window.setObjectName("qSlicerMainWindow")
        self._window.resize(1280, 800)
        self._layouts = LayoutManager(self)
        for name, cls in WIDGETS.items():
            if name.startswith("qMRML"):
                setattr(slicer, name, pythonqt.QtClass(cls))
        slicer.modules.sampleDataSources = {}
        self.widget: Any = None
        self.module: Any = None
        self._managers = SimpleNamespace(connect=lambda *_: True, disconnect=lambda *_: True)

    # What scripts call.

    applicationName = "Slicer"
    restarts = 0

    def layoutManager(self) -> LayoutManager:
        return self._layouts

    def moduleManager(self) -> Any:
        return self._managers

    def topLevelWidgets(self) -> list[Any]:
        return [pythonqt.wrap(self._window)]

    def connect(self, signature: str, function: Callable) -> bool:
        return pythonqt.connect(self._qt, signature, function)

    def disconnect(self, signature: str, function: Callable) -> bool:
        return pythonqt.disconnect(self._qt, signature, function)

    def focusWidget(self) -> Any:
        return pythonqt.wrap(self._qt.focusWidget())

    def processEvents(self) -> None:
        self._qt.processEvents()

    def restart(self) -> None:
        """Asked for by a script; nothing restarts here."""
        self.restarts += 1

    def translate(self, context: str, text: str) -> str:
        return text

    # What tests do.

    def load_module(self) -> Any:
        """Import SPASegment.py as Slicer does, and give it its place in `slicer.modules`."""
        slicer_modules.forget(("SPASegmentWidgets", "SPASegment", "SPASegmentEffect"))
        if str(MODULE.parent) not in sys.path:
            sys.path.insert(0, str(MODULE.parent))
        spec = importlib.util.spec_from_file_location("SPASegment", MODULE)
        self.module = importlib.util.module_from_spec(spec)
        sys.modules["SPASegment"] = self.module
        spec.loader.exec_module(self.module)
        self.about = SimpleNamespace(name="SPASegment", path=str(MODULE))
        self.module.SPASegment(self.about)
        slicer.modules.spasegment = SimpleNamespace(
            path=str(MODULE), widgetRepresentation=lambda: SimpleNamespace(self=lambda: self.widget)
        )
        return self.module

    def open_panel(self, width: int = 460) -> Any:
        """Select the module: the panel is built on the left of the main window and entered."""
        module = self.load_module()
        parent = slicer.qMRMLWidget()
        parent.setLayout(pythonqt.wrap(QtWidgets.QVBoxLayout()))
        parent.setMRMLScene(slicer.mrmlScene)
        scroll = QtWidgets.QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(pythonqt.unwrap(parent))
        scroll.setMinimumWidth(width)
        self._window.setCentralWidget(scroll)
        self._parent = parent
        self.widget = module.SPASegmentWidget(parent)
        self.widget.setup()
        self._window.show()
        self.widget.enter()
        return self.widget

    def close_panel(self) -> None:
        """Leave the module and unload it."""
        if self.widget is not None:
            self.widget.exit()
            self.widget.cleanup()
            self.widget = None
            slicer.modules.spasegment = None
            for selector in self._window.findChildren(QtWidgets.QWidget):
                if isinstance(selector, tuple(WIDGETS.values())) and hasattr(selector, "setMRMLScene"):
                    selector.setMRMLScene(None)
            self._window.takeCentralWidget().deleteLater()
            self._parent = None
            self._qt.processEvents()

    def reload_module(self) -> Any:
        """What the button Reload does."""
        self.close_panel()
        return self.open_panel()

    def until(self, true: Callable[[], bool], seconds: float = 30.0) -> None:
        """Let events happen until something is the case."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not happen in time"
            self._qt.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, 20)
            time.sleep(0.002)

    def press(self, key: QtCore.Qt.Key, modifiers: Any = QtCore.Qt.KeyboardModifier.NoModifier) -> None:
        """A key on the main window."""
        from PySide6.QtTest import QTest

        QTest.keyClick(self._window.focusWidget() or self._window, key, modifiers)
        self._qt.processEvents()

    def check(self) -> None:
        """Fail on what PythonQt would only have printed."""
        assert not pythonqt.problems, "\n".join(pythonqt.problems)

    def close(self) -> None:
        try:
            self.close_panel()
            self._window.close()
            self._window.deleteLater()
            self._qt.processEvents()
        finally:
            for name, module in self._kept.items():
                if module is None:
                    sys.modules.pop(name, None)
                else:
                    sys.modules[name] = module
            slicer_modules.forget(("SPASegmentWidgets", "SPASegment", "SPASegmentEffect"))
            self._layouts.close()
            super().close()


class MainWindow(QtWidgets.QMainWindow):
    """Slicer's main window, as far as scripts ask it for the module selector."""

    def __init__(self, app: PanelApplication) -> None:
        super().__init__()
        self._app = app

    def moduleSelector(self) -> MainWindow:
        return self

    def selectModule(self, name: str) -> None:
        """Leave the open module and enter another; only one is there."""
        if self._app.widget is not None:
            self._app.widget.exit()
            if name == "SPASegment":
                self._app.widget.enter()


class LayoutManager:
    """Makes the slice nodes that a layout names, as the real one does."""

    def __init__(self, app: PanelApplication) -> None:
        self._app = app
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(app.scene)
        self._views: dict[str, Any] = {}
        self._windows: dict[str, Any] = {}
        self.setLayout(FOUR_UP)

    def close(self) -> None:
        """Let go of the scene before it goes."""
        for logic in self._views.values():
            logic.SetMRMLScene(None)
        self._views.clear()
        self._logic.SetMRMLScene(None)

    def layoutLogic(self) -> Any:
        return self._logic

    @property
    def layout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, number: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(number)
        self._make_views()

    def sliceViewNames(self) -> list[str]:
        return list(self._make_views())

    def sliceWidget(self, name: str) -> Any:
        logic = self._make_views().get(name)
        if logic is None:
            return None
        return SimpleNamespace(
            className=lambda: "qMRMLSliceWidget",
            sliceLogic=lambda: logic,
            mrmlSliceNode=lambda: logic.GetSliceNode(),
            sliceController=lambda: SimpleNamespace(setVisible=lambda visible: None),
            sliceView=lambda: self._view(name),
            objectName=name,
        )

    def _view(self, name: str) -> Any:
        """A slice view, as far as scripts put their own actors in it or hear its mouse; it draws nothing.

        (A window that could takes a graphics driver some ten milliseconds to make.)
        """
        if name not in self._windows:
            window, interactor = vtk.vtkGenericOpenGLRenderWindow(), vtk.vtkGenericRenderWindowInteractor()
            window.AddRenderer(vtk.vtkRenderer())
            window.SetInteractor(interactor)
            interactor.SetRenderWindow(window)
            interactor.SetInteractorStyle(None)  # Slicer has its own
            self._windows[name] = window, vtk.vtkCornerAnnotation()
        window, corners = self._windows[name]
        return SimpleNamespace(
            renderWindow=lambda: window,
            interactor=window.GetInteractor,
            scheduleRender=lambda: None,
            cornerAnnotation=lambda: corners,
        )

    def _make_views(self) -> dict[str, Any]:
        views = self._logic.GetViewNodes()
        found = {}
        logics = self._app.app_logic.GetSliceLogics()
        for n in range(views.GetNumberOfItems()):
            node = views.GetItemAsObject(n)
            if not node.IsA("vtkMRMLSliceNode"):
                continue
            logic = self._views.get(node.GetID())
            if logic is None or logic.GetSliceNode() is not node:
                logic = slicer.vtkMRMLSliceLogic()
                logic.SetMRMLApplicationLogic(self._app.app_logic)
                logic.SetMRMLScene(self._app.scene)
                logic.SetSliceNode(node)
                logics.AddItem(logic)
                logic.ResizeSliceNode(400, 300)
                self._views[node.GetID()] = logic
            found[node.GetLayoutName()] = logic
        return found
