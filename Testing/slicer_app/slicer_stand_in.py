"""A small stand-in of the Slicer application around the real MRML, logics and displayable managers.

It gives scripts what they find in Slicer: `slicer.mrmlScene`, `slicer.app`, `slicer.modules.<name>.logic()`,
so that the array and file functions of slicer.util work. Windows and widgets are not its business.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
import vtk
from slicer_log import ErrorLog

_FILE_TYPES = {
    ".mrml": "SceneFile",
    ".mrb": "SceneFile",
    ".seg.nrrd": "SegmentationFile",
    ".mrk.json": "MarkupsFile",
}
_STORED = {
    "VolumeFile": ("vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode"),
    "SegmentationFile": ("vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode"),
    "MarkupsFile": ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsJsonStorageNode"),
}


_COMPLAINED_ABOUT = {
    "SegmentAdded": slicer.vtkSegmentation.SegmentAdded,
    "SegmentRemoved": slicer.vtkSegmentation.SegmentRemoved,
    "SegmentModified": slicer.vtkSegmentation.SegmentModified,
    "SegmentsOrderModified": slicer.vtkSegmentation.SegmentsOrderModified,
    "DisplayModifiedEvent": slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent,
}
"""The subject hierarchy writes an error line at each of these of a segmentation that has no item in it."""


class StandIn:
    """The application: one scene with undo, its logics, readers and writers.

    scene: vtkMRMLScene. log: what went wrong so far. logics: module name in lower case -> its logic.
    """

    def __init__(self, log: ErrorLog) -> None:
        self.log = log
        self._folder = tempfile.TemporaryDirectory(prefix="stand-in-")
        self.scene = slicer.vtkMRMLScene()
        self.scene.SetUndoOn()
        self.scene.SetMaximumNumberOfSavedUndoStates(20)
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self.app_logic = slicer.vtkSlicerApplicationLogic()
        self.app_logic.SetMRMLScene(self.scene)
        self.app_logic.GetColorLogic().SetMRMLScene(self.scene)
        self.app_logic.GetColorLogic().AddDefaultColorNodes()
        self.app_logic.SetSliceLogics(vtk.vtkCollection())
        self.app_logic.SetViewLogics(vtk.vtkCollection())
        self.app_logic.SetModuleLogic("Colors", self.app_logic.GetColorLogic())
        self.logics: dict[str, Any] = {"colors": self.app_logic.GetColorLogic()}
        for name, logic in (
            ("Volumes", slicer.vtkSlicerVolumesLogic()),
            ("Terminologies", slicer.vtkSlicerTerminologiesModuleLogic()),
            ("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic()),
            ("SubjectHierarchy", slicer.vtkSlicerSubjectHierarchyModuleLogic()),
            ("Markups", slicer.vtkSlicerMarkupsLogic()),
            ("Models", slicer.vtkSlicerModelsLogic()),
            ("Transforms", slicer.vtkSlicerTransformLogic()),
        ):
            self._add_logic(name, logic)
        self._remote = slicer.vtkMRMLRemoteIOLogic()
        self._remote.SetMRMLScene(self.scene)
        self._remote.SetMRMLApplicationLogic(self.app_logic)
        self._remote.GetCacheManager().SetRemoteCacheDirectory(self._folder.name)
        self._data_io = slicer.vtkDataIOManagerLogic()
        self._data_io.SetMRMLScene(self.scene)
        self._data_io.SetMRMLApplicationLogic(self.app_logic)
        self._data_io.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self._remote.AddDataIOToScene()
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self._saved: dict[str, Any] = {}
        self._publish()
        self._on_added.__func__.CallDataType = vtk.VTK_OBJECT
        self.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._on_added)

    # What the real application offers under the same names.

    def applicationLogic(self) -> Any:  # noqa: N802
        """vtkSlicerApplicationLogic."""
        return self.app_logic

    def mrmlScene(self) -> Any:  # noqa: N802
        """The scene."""
        return self.scene

    def coreIOManager(self) -> StandIn:  # noqa: N802
        """Readers and writers: this object has them."""
        return self

    ioManager = coreIOManager  # noqa: N815

    def fileType(self, path: str) -> str:  # noqa: N802
        """Which reader takes a file."""
        return next((kind for end, kind in _FILE_TYPES.items() if str(path).endswith(end)), "VolumeFile")

    def fileWriterFileType(self, node: Any) -> str:  # noqa: N802
        """Which writer takes a node."""
        for kind in ("SegmentationFile", "MarkupsFile"):
            if node.IsA(_STORED[kind][0].replace("Fiducial", "")):
                return kind
        return "VolumeFile"

    def loadNodes(self, kind: str, properties: dict, loaded: Any = None, messages: Any = None) -> bool:  # noqa: N802
        """Read a file into the scene."""
        path = Path(properties["fileName"])
        if kind == "SceneFile":
            self.load_scene(path)
            return True
        node_class, storage_class = _STORED[kind]
        if kind == "VolumeFile" and properties.get("labelmap"):
            node_class = "vtkMRMLLabelMapVolumeNode"
        node = self.scene.AddNewNodeByClass(node_class, path.name.split(".")[0])
        storage = self.scene.AddNewNodeByClass(storage_class)
        storage.SetFileName(str(path))
        node.SetAndObserveStorageNodeID(storage.GetID())
        if storage.ReadData(node) != 1:
            self.scene.RemoveNode(storage)
            self.scene.RemoveNode(node)
            return False
        node.CreateDefaultDisplayNodes()
        if loaded is not None:
            loaded.AddItem(node)
        return True

    def saveNodes(self, kind: str, properties: dict, messages: Any = None) -> bool:  # noqa: N802
        """Write a node, or the scene, to a file."""
        if kind == "SceneFile":
            self.save_scene(Path(properties["fileName"]))
            return True
        node = self.scene.GetNodeByID(properties["nodeID"])
        storage = self.scene.CreateNodeByClass(_STORED[kind][1])
        storage.UnRegister(None)
        storage.SetFileName(str(properties["fileName"]))
        return bool(storage.WriteData(node))

    def processEvents(self) -> None:  # noqa: N802
        """Nothing waits here."""

    def pauseRender(self) -> None:  # noqa: N802
        """No view is ours to pause."""

    def resumeRender(self) -> None:  # noqa: N802
        """No view is ours to resume."""

    def testingEnabled(self) -> bool:  # noqa: N802
        """Message boxes stay closed."""
        return True

    @property
    def temporaryPath(self) -> str:  # noqa: N802
        """A folder that lives as long as the application."""
        return self._folder.name

    # What tests need beside it.

    def save_scene(self, path: Path) -> None:
        """Write the scene as .mrb (with its data) or .mrml."""
        path = path.resolve()
        self.scene.SetURL(str(path))
        self.scene.SetRootDirectory(str(path.parent))
        written = self.scene.WriteToMRB(str(path)) if path.suffix == ".mrb" else self.scene.Commit()
        assert written, f"the scene was not written to {path}"

    def load_scene(self, path: Path, *, clear: bool = True) -> None:
        """Close the scene and open another, as File > Open does."""
        path = path.resolve()
        if clear:
            self.scene.Clear(False)
        if path.suffix == ".mrb":
            read = self.scene.ReadFromMRB(str(path), False)
        else:
            self.scene.SetURL(str(path))
            read = self.scene.Import(None)
        assert read, f"the scene was not read from {path}"

    def add_slice_view(self, tag: str, orientation: str = "Axial", size: tuple[int, int] = (400, 300)) -> Any:
        """A slice node with its logic and composite node, as the application makes for a slice view.

        The logic is the one in `applicationLogic().GetSliceLogic(node)`; nothing is drawn.
        """
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self.app_logic)
        logic.SetMRMLScene(self.scene)
        node = logic.AddSliceNode(tag)
        self.app_logic.GetSliceLogics().AddItem(logic)
        node.SetOrientation(orientation)
        logic.ResizeSliceNode(*size)
        return node

    def show_volume(self, volume: Any, slice_nodes: list[Any] | None = None) -> None:
        """Put a volume in the background of slice views (of all where none is named) and fit it."""
        logics = self.app_logic.GetSliceLogics()
        for n in range(logics.GetNumberOfItems()):
            logic = logics.GetItemAsObject(n)
            if slice_nodes is None or logic.GetSliceNode() in slice_nodes:
                logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
                logic.FitSliceToAll()
                logic.SnapSliceOffsetToIJK()

    def close(self) -> None:
        """Close the scene and take the application away again."""
        logics = self.app_logic.GetSliceLogics()
        for n in range(logics.GetNumberOfItems()):
            logics.GetItemAsObject(n).SetMRMLScene(None)
        logics.RemoveAllItems()
        self.scene.Clear(True)
        for name, value in self._saved.items():
            delattr(slicer, name) if value is None else setattr(slicer, name, value)
        self._folder.cleanup()

    def _on_added(self, caller: Any, event: str, node: Any) -> None:
        """Complain as the application does of segmentations that the subject hierarchy does not know."""
        if node.IsA("vtkMRMLSegmentationNode") and node.GetHideFromEditors():
            for name, number in _COMPLAINED_ABOUT.items():
                node.AddObserver(number, self._complainer(name))

    def _complainer(self, name: str) -> Callable[..., None]:
        def complain(caller: Any, event: str) -> None:
            line = f"{name}: Unable to find subject hierarchy item for segmentation node {caller.GetName()}"
            self.log.errors.append(line)

        return complain

    def _add_logic(self, name: str, logic: Any) -> None:
        share = _share_folder(name.lower())
        if share is not None and hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(str(share))
        logic.SetMRMLScene(self.scene)
        logic.SetMRMLApplicationLogic(self.app_logic)
        self.app_logic.SetModuleLogic(name, logic)
        self.logics[name.lower()] = logic

    def _publish(self) -> None:
        modules = SimpleNamespace(
            **{name: SimpleNamespace(logic=_giver(logic)) for name, logic in self.logics.items()}
        )
        for name, value in (("mrmlScene", self.scene), ("app", self), ("modules", modules)):
            self._saved[name] = getattr(slicer, name, None)
            setattr(slicer, name, value)


def _giver(value: Any) -> Callable[[], Any]:
    return lambda: value


def _share_folder(name: str) -> Path | None:
    """Where a module's shipped files lie: trame_slicer brings the terminologies."""
    if name != "terminologies":
        return None
    try:
        from trame_slicer.resources import resources_path
    except ImportError:
        return None
    return Path(resources_path()) / "terminologies"
