"""What survives the server: the interaction and the approved voxels, in the user's own state folder.

One folder for each set of arguments, so that the same command finds it again. Uploads are never kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.imaging.own_folders import own_folder
from SPASegmentLib.viewer.options import ViewerOptions

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "SPASEGMENT_STATE"
VERSION = 1
_STATE = "state.json"
_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Kept:
    """Where somebody stopped.

    volume: key of the library's entry on the screen. others: keys of the further ones that were worked on.
    workbench: `Controller.to_state`. offset: of the slice in mm.
    """

    volume: str
    workbench: str
    others: tuple[str, ...] = ()
    orientation: str = "Axial"
    offset: float = 0.0


class Memory:
    """The state of one set of arguments on disk."""

    def __init__(self, options: ViewerOptions, folder: Path | None = None) -> None:
        """folder: of all states; SPASEGMENT_STATE or the user's own state folder where None."""
        try:
            self.folder = (folder or default_folder()) / _name_of(options)
        except InputError:  # an account without a home folder: nothing is found or can be kept
            self.folder = Path(os.devnull) / _name_of(options)

    def masks(self, name: str) -> Path:
        """Where the approved voxels of a volume are kept."""
        return self.folder / f"{name}.seg.nrrd"

    def write(self, kept: Kept, masks: dict[str, Callable[[Path], None]] | None = None) -> bool:
        """Keep this; whether it could be, which a full disk prevents. masks: writes a volume's voxels."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, write in (masks or {}).items():
                write(self.masks(name))
            with atomic_file(self.folder / _STATE) as file:
                file.write(json.dumps({"version": VERSION, **asdict(kept)}).encode())
        except (OSError, InputError):
            return False
        return True

    def read(self) -> Kept | None:
        """What was kept, or None where there is nothing that can be read."""
        path = self.folder / _STATE
        try:
            if path.stat().st_size > _MAX_BYTES:
                return None
            found: Any = json.loads(path.read_bytes())
            if found.pop("version") != VERSION:
                return None
            return Kept(**{**found, "others": tuple(found.get("others", ()))})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            logger.warning("What was kept of the last interaction cannot be read; starting anew.")
            return None

    def forget(self) -> None:
        """Delete what was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)


def default_folder() -> Path:
    """The folder SPASEGMENT_STATE names, else the user's own state folder.

    Raises InputError where the account has no home folder.
    """
    return own_folder(
        FOLDER_VARIABLE, lambda: platformdirs.user_state_path("SPASegment", appauthor=False) / "viewer"
    )


def what_is_lost(*, written: bool, on_upload: bool, unanswered: bool) -> tuple[str, str]:
    """What to do about work that ends with the server, and why it does; two empty texts where none would.

    written: whether the disk took the work. on_upload: whether something is approved on an upload.
    unanswered: whether something was done while earlier work was still on offer.
    """
    if not written:
        reason = "the disk is full or cannot be written"
        return f"Your work cannot be kept for a restart, as {reason}: download the segmentation.", reason
    if on_upload:
        reason = "masks on files sent from the page are deleted with them"
        return "What is approved on a file sent from the page is deleted at exit: download it.", reason
    if unanswered:
        reason = "the question whether to resume was not answered"
        return "Nothing is kept for a restart before you choose Resume or Start anew.", reason
    return "", ""


def page_key(folder: Path | None = None) -> str:
    """What a page's cookie holds: the same at every start, so that a page that is open finds its way back.

    Readable by this account only; a new one where it cannot be kept. folder: as for `Memory`.
    """
    key = secrets.token_urlsafe(24)
    try:
        path = (folder or default_folder()) / "key"
    except InputError:
        return key
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.stat().st_mode & 0o077 == 0 or os.name != "posix":
            kept = path.read_text(encoding="ascii").strip()
            if len(kept) >= 32:
                return kept
        path.unlink()
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(key)
    return key


def _name_of(options: ViewerOptions) -> str:
    """The same for the same volumes, profile and model."""
    named = []
    for path in options.volumes:
        with contextlib.suppress(OSError):
            path = path.resolve()
        named.append(str(path))
    text = json.dumps([named, options.profile, options.model])
    return hashlib.sha256(text.encode()).hexdigest()[:20]
