"""What Slicer would have written in red or yellow: VTK's lines, exceptions in observers, Python's errors."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import vtk

_HARMLESS = (
    "WindowResizeEvent will not be generated",  # VTK of trame-slicer's views
    "invalid orientation preset name: Reformat",  # Slicer of its own oblique views, when it reads a scene
)
"""Lines that are not about anything of ours."""


class ErrorLog(logging.Handler):
    """Collects errors from the moment it is opened; Slicer prints them and goes on, a test must not."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []
        self._hooks: tuple[Any, ...] = ()
        self._window: Any = None

    def open(self) -> None:
        """Take VTK's output window, the hooks for exceptions nobody catches, and Python's root logger."""
        self._window = vtk.vtkOutputWindow.GetInstance()
        window = vtk.vtkStringOutputWindow()  # keeps its text to itself
        for event in ("ErrorEvent", "WarningEvent"):  # Slicer tells many failures as warnings
            window.AddObserver(event, _keeper(self.errors))
        vtk.vtkOutputWindow.SetInstance(window)
        self._hooks = (sys.excepthook, sys.unraisablehook, threading.excepthook)
        sys.excepthook = lambda kind, value, trace: self._raised(value)
        sys.unraisablehook = lambda one: self._raised(one.exc_value)
        threading.excepthook = lambda one: self._raised(one.exc_value)
        logging.getLogger().addHandler(self)

    def close(self) -> None:
        """Give everything back."""
        vtk.vtkOutputWindow.SetInstance(self._window)
        sys.excepthook, sys.unraisablehook, threading.excepthook = self._hooks
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """A line of Python's logging at ERROR or above: red in Slicer's log too."""
        text = self.format(record)
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        self.errors.append(f"logging: {text}")

    @contextmanager
    def expected(self, *, containing: str = "") -> Iterator[list[str]]:
        """Errors logged inside are wanted: at least one, each with this text. Gives them to the test."""
        before = len(self.errors)
        found: list[str] = []
        yield found
        found.extend(self.errors[before:])
        del self.errors[before:]
        assert found, "an error was expected in Slicer's log, and none came"
        assert all(containing in text for text in found), found

    def check(self) -> None:
        """Fail on what was collected."""
        assert not self.errors, "Slicer's log has errors:\n" + "\n".join(self.errors)

    def _raised(self, value: BaseException | None) -> None:
        if value is not None:
            self.errors.append("".join(traceback.format_exception(type(value), value, value.__traceback__)))


def _keeper(kept: list[str]) -> Any:
    def keep(caller: object, event: str, text: str) -> None:
        if not any(known in text for known in _HARMLESS):
            kept.append(text)

    keep.CallDataType = vtk.VTK_STRING  # type: ignore[attr-defined]
    return keep
