"""Pictures in the panel: PNG bytes to what a Qt widget shows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import qt


def pixmap_of(png: bytes):
    """A QPixmap of an encoded picture; a null one where there is none."""
    pixmap = qt.QPixmap()
    if png and not pixmap.loadFromData(png):
        # Some versions of PythonQt do not pass bytes on; a file always works.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.png"
            path.write_bytes(png)
            pixmap = qt.QPixmap(str(path))
    return pixmap


def icon_of(png: bytes):
    """A QIcon of an encoded picture."""
    return qt.QIcon(pixmap_of(png))
