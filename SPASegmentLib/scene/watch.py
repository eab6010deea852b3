"""Observers of nodes and of the scene that go when they are told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk


class Watch:
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
