"""Questions to the user, in windows of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from .pictures import pixmap_of


class Dialogs:
    """Asks in windows of their own, over the application's main window."""

    def ask_text(self, title: str, question: str, text: str = "", *, secret: bool = False) -> str | None:
        """A line of text, or None where the user cancelled. secret: it is not shown."""
        edit = qt.QLineEdit()
        if secret:
            edit.setEchoMode(qt.QLineEdit.Password)
        edit.text = text
        edit.selectAll()
        return str(edit.text).strip() or None if self._asked(title, question, edit) else None

    def ask_choice(self, title: str, question: str, choices: Sequence[str]) -> str | None:
        """One of several, or None where the user cancelled."""
        box = qt.QComboBox()
        for choice in choices:
            box.addItem(choice)
        return str(box.currentText) if self._asked(title, question, box) else None

    def ask_folder(self, title: str) -> Path | None:
        """A folder, or None where the user cancelled."""
        name = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, "")
        return Path(str(name)) if name else None

    def ask_file(self, title: str, pattern: str, *, save_as: str = "") -> Path | None:
        """A file to open, or, with save_as as its proposed name, to write; None where the user cancelled."""
        window = slicer.util.mainWindow()
        if save_as:
            name = qt.QFileDialog.getSaveFileName(window, title, save_as, pattern)
        else:
            name = qt.QFileDialog.getOpenFileName(window, title, "", pattern)
        return Path(str(name)) if name else None

    def confirm(self, title: str, question: str) -> bool:
        """Whether the user agrees."""
        return bool(slicer.util.confirmOkCancelDisplay(question, windowTitle=title))

    def tell(self, title: str, sentences: Sequence[str], picture: bytes = b"") -> None:
        """Show sentences, and a picture under them."""
        dialog, layout = self._dialog(title)
        words = qt.QLabel("\n\n".join(sentences))
        words.wordWrap = True
        words.setMinimumWidth(420)
        layout.addWidget(words)
        if picture:
            shown = qt.QLabel()
            pixmap = pixmap_of(picture)
            shown.setPixmap(pixmap.scaledToWidth(min(900, pixmap.width()), qt.Qt.SmoothTransformation))
            layout.addWidget(shown)
        buttons = qt.QDialogButtonBox()
        buttons.setStandardButtons(qt.QDialogButtonBox.Ok)
        buttons.connect("accepted()", dialog.accept)
        layout.addWidget(buttons)
        dialog.exec_()
        dialog.deleteLater()

    def _asked(self, title: str, question: str, field) -> bool:
        dialog, layout = self._dialog(title)
        words = qt.QLabel(question)
        words.wordWrap = True
        layout.addWidget(words)
        layout.addWidget(field)
        buttons = qt.QDialogButtonBox()
        buttons.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        buttons.connect("accepted()", dialog.accept)
        buttons.connect("rejected()", dialog.reject)
        layout.addWidget(buttons)
        field.setFocus()
        agreed = dialog.exec_() == qt.QDialog.Accepted
        # The field must outlive the dialog: its text is read after this.
        field.setParent(None)
        dialog.deleteLater()
        return agreed

    def _dialog(self, title: str):
        dialog = qt.QDialog(slicer.util.mainWindow())
        dialog.windowTitle = title or _("SPASegment")
        return dialog, qt.QVBoxLayout(dialog)
