"""The keys of the module: they live from enter() to exit() and keep silent while the user types."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import qt
import slicer

TYPING = ("QLineEdit", "QAbstractSpinBox", "QTextEdit", "QPlainTextEdit", "QComboBox", "QAbstractItemView")


class Shortcuts:
    """One QShortcut per key, on the main window."""

    def __init__(self, act: Callable[[str], None]) -> None:
        """act: is called with the name of the action whose key was pressed."""
        self._act = act
        self._installed: list = []
        self._following = False

    @property
    def live(self) -> bool:
        """Whether the keys are installed."""
        return bool(self._installed)

    def install(self, keys: Mapping[str, tuple[str, ...]], window=None) -> None:
        """keys: action -> its key sequences. window: whose keys; the application's main window by default."""
        self.remove()
        window = window or slicer.util.mainWindow()
        if window is None:
            return
        for action, sequences in keys.items():
            for sequence in sequences:
                shortcut = qt.QShortcut(qt.QKeySequence(sequence), window)
                shortcut.autoRepeat = action in ("next_slice", "previous_slice", "undo", "redo")
                pressed = self._presser(action)
                # Another part of Slicer may hold the same key: then Qt asks us in turn, and we answer.
                shortcut.connect("activated()", pressed)
                shortcut.connect("activatedAmbiguously()", pressed)
                self._installed.append(shortcut)
        if not self._following:
            slicer.app.connect("focusChanged(QWidget*,QWidget*)", self._on_focus)
            self._following = True

    def remove(self) -> None:
        """Take the keys away."""
        if self._following:
            slicer.app.disconnect("focusChanged(QWidget*,QWidget*)", self._on_focus)
            self._following = False
        for shortcut in self._installed:
            shortcut.enabled = False
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._installed = []

    def _presser(self, action: str) -> Callable[[], None]:
        def pressed() -> None:
            try:
                self._act(action)
            except Exception:
                logging.exception("SPASegment: the key for %s could not be handled", action)

        return pressed

    def _on_focus(self, old, new) -> None:
        """Digits and Enter belong to the field that is typed in."""
        typing = new is not None and any(new.inherits(name) for name in TYPING)
        for shortcut in self._installed:
            shortcut.enabled = not typing
