"""The nodes a face has chosen, watched: any of them may change or be deleted, and the scene may be closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
import vtk

from SPASegmentLib.errors import InputError, StepError
from SPASegmentLib.mrml.target import is_alive

Later = Callable[[Callable[[], None]], None]


class SceneSelection:
    """Volume and views. What happens to them is told later, once per burst of events."""

    def __init__(self, scene: Any, later: Later) -> None:
        """later: runs a function soon, outside of the event that asks for it."""
        self.scene = scene
        self._later = later
        self._observers = NodeObservers()
        self._volume: Any = None
        self._large: Any = None
        self._small: tuple[Any, ...] = ()
        self._looked_at: set[str] = set()
        self._looked: Callable[[Any], None] = lambda node: None

    def listen(
        self,
        *,
        looked: Callable[[Any], None],
        removed: Callable[[Any], None],
        changed: Callable[[Any], None],
        closed: Callable[[], None],
    ) -> None:
        """Later: looked(slice node), changed(volume node). At once: removed(node), closed()."""
        self._looked, self._changed = looked, changed

        def gone(node: Any) -> None:
            self._forget(node)
            removed(node)

        def close(_: Any) -> None:
            self._forget_all()
            closed()

        self._observers.on("scene", self.scene, slicer.vtkMRMLScene.NodeRemovedEvent, gone)
        self._observers.on("scene", self.scene, slicer.vtkMRMLScene.StartCloseEvent, close)

    @property
    def volume(self) -> Any:
        """The volume node, or None."""
        return self._volume if is_alive(self._volume) else None

    @property
    def large(self) -> Any:
        """The slice node of the large view, or None."""
        return self._large if is_alive(self._large) else None

    @property
    def small(self) -> tuple[Any, ...]:
        """The slice nodes of the small views that are there."""
        return tuple(node for node in self._small if is_alive(node))

    def choose_volume(self, node: Any) -> None:
        """Raises InputError for what is no volume."""
        if node is not None and not (hasattr(node, "IsA") and node.IsA("vtkMRMLScalarVolumeNode")):
            raise InputError("This is no volume that can be segmented; choose another one.")
        if node is not None and not is_alive(node):
            raise InputError("This volume is not in the scene any more; choose another one.")
        if node is self._volume:
            return
        self._volume = node
        self._observers.off("volume")
        if node is None:
            return
        for event in (
            slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
        ):
            self._observers.on(
                "volume", node, event, lambda _: self._once(f"v{id(node)}", self._changed, node)
            )

    def choose_views(self, large: Any, small: Sequence[Any]) -> None:
        """Raises InputError for what is no slice view."""
        nodes = [node for node in (large, *(small or ())) if node is not None]
        if not all(hasattr(node, "IsA") and node.IsA("vtkMRMLSliceNode") for node in nodes):
            raise InputError("These are no slice views; choose a layout with slice views.")
        self._large, self._small = large, tuple(node for node in (small or ()) if node is not None)
        self._observers.off("views")
        if large is not None:
            self.follow(large)

    def follow(self, node: Any) -> None:
        """Tell when this view moves, too."""
        if id(node) not in self._followed():
            self._observers.on(
                "views",
                node,
                vtk.vtkCommand.ModifiedEvent,
                lambda _: self._once(f"s{id(node)}", self._looked, node),
            )

    def view(self, node: Any = None) -> Any:
        """A slice node: the one given, or else the large view's. Raises StepError where there is none."""
        if node is not None and not (hasattr(node, "IsA") and node.IsA("vtkMRMLSliceNode")):
            raise InputError("The seed was not placed in a slice view; place it in one.")
        node = node if is_alive(node) else self.large
        if node is None:
            raise StepError("There is no slice view; show the volume in one first.")
        return node

    def needed_volume(self) -> Any:
        """The volume node. Raises StepError where there is none."""
        if self.volume is None:
            raise StepError("Choose a volume to begin.")
        return self.volume

    def close(self) -> None:
        """Take the observers away."""
        self._observers.off()

    def _followed(self) -> set[int]:
        return {id(node) for node in self._observers.nodes("views")}

    def _once(self, name: str, call: Callable[[Any], None], node: Any) -> None:
        """A burst of events is one call."""
        if name in self._looked_at:
            return
        self._looked_at.add(name)

        def later() -> None:
            self._looked_at.discard(name)
            if is_alive(node):
                call(node)

        self._later(later)

    def _forget(self, node: Any) -> None:
        if node is self._volume:
            self._volume = None
            self._observers.off("volume")
        if node is self._large:
            self._large = None
        self._small = tuple(small for small in self._small if small is not node)

    def _forget_all(self) -> None:
        """The scene closes; views stay, they are singletons."""
        self._volume = None
        self._observers.off("volume")


class NodeObservers:
    """Keeps observers so that they can be taken away again; a node that is gone takes its own with it."""

    def __init__(self) -> None:
        self._kept: dict[str, list[tuple[Any, int]]] = {}

    def on(self, group: str, node: Any, event: int | str, call: Callable[[Any], None]) -> None:
        """Call `call` with the event's node (of scene events) or None. group: what `off` takes away."""

        def observer(caller: Any, name: str, data: Any = None) -> None:
            call(data)

        observer.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
        self._kept.setdefault(group, []).append((node, node.AddObserver(event, observer)))

    def off(self, group: str | None = None) -> None:
        """Take the observers of a group away; None: all."""
        for name in [group] if group is not None else list(self._kept):
            for node, tag in self._kept.pop(name, []):
                node.RemoveObserver(tag)

    def nodes(self, group: str) -> list[Any]:
        """The nodes that are observed in a group."""
        return [node for node, _ in self._kept.get(group, [])]
