"""Volumes sent by the browser: size-limited, in a private folder, deleted at exit."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from SPASegmentLib.errors import InputError, SPASegmentError
from SPASegmentLib.viewer.options import MEGABYTE

PREFIX = "spasegment-viewer-"
MOST_FILES = 5000
"""Of one upload, as of a DICOM series."""
_UPLOAD_ID = re.compile(r"[0-9a-f]{8,32}")

Opened = Callable[[Path, str], Awaitable[None]]
"""Called with the volume's path and what the user calls it."""


class Uploads:
    """Receives files and hands each complete upload to `opened`, which raises InputError to refuse it."""

    def __init__(self, max_bytes: int, opened: Opened) -> None:
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self._max, self._opened = max_bytes, opened

    def close(self) -> None:
        """Delete everything that was sent."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def receive(self, request: web.Request) -> web.Response:
        """PUT /api/upload/ID/NAME: one file, its bytes as the body."""
        try:
            folder = self._folder_of(request)
            await self._store(request, folder / _safe(request.match_info["name"]), folder)
        except SPASegmentError as error:
            return web.json_response({"problem": str(error)}, status=413)
        return web.json_response({})

    async def finish(self, request: web.Request) -> web.Response:
        """POST /api/upload/ID?title=NAME: all files are here; open what they hold."""
        folder: Path | None = None
        try:
            folder = self._folder_of(request)
            path = _what_was_sent(folder)
            title = _safe(request.query.get("title", "")) if path.is_dir() else path.name
            await self._opened(path, title)
        except SPASegmentError as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            return web.json_response({"problem": str(error)}, status=422)
        return web.json_response({})

    def _folder_of(self, request: web.Request) -> Path:
        name = request.match_info["id"]
        if not _UPLOAD_ID.fullmatch(name):
            raise InputError("This upload has no proper name; choose the file again.")
        return self.folder / name

    async def _store(self, request: web.Request, path: Path, folder: Path) -> None:
        """Write the body to a file; nothing is left of it where it is too large or breaks off."""
        folder.mkdir(mode=0o700, exist_ok=True)
        there = [entry.stat().st_size for entry in folder.iterdir()]
        room = self._max - sum(there)
        if len(there) >= MOST_FILES:
            shutil.rmtree(folder, ignore_errors=True)
            raise InputError(f"More than {MOST_FILES} files were sent; choose one volume or one series.")
        if (request.content_length or 0) > room:
            shutil.rmtree(folder, ignore_errors=True)
            raise self._too_large()
        try:
            with path.open("wb") as file:
                async for chunk in request.content.iter_chunked(MEGABYTE):
                    room -= len(chunk)
                    if room < 0:
                        raise self._too_large()
                    file.write(chunk)
        except OSError as error:
            raise InputError("The upload could not be stored; make room on this computer's disk.") from error
        finally:
            if room < 0:
                shutil.rmtree(folder, ignore_errors=True)

    def _too_large(self) -> InputError:
        return InputError(
            f"The upload is larger than {self._max // MEGABYTE} MB; crop the volume, or start the viewer "
            "with the file's path or a larger --max-upload-mb."
        )


def _safe(name: str) -> str:
    """The last part of a name, without anything a file system could take for a path."""
    name = re.sub(r"[^\w.()+ -]", "_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .")
    stem, dot, suffix = name.partition(".")
    return f"{stem[:80]}{dot}{suffix[-40:]}" or "upload"


def _what_was_sent(folder: Path) -> Path:
    """The volume among the files of an upload: the one file, the header of a pair, else the whole folder."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    if not files:
        raise InputError("Nothing was sent; choose a file.")
    headers = [path for path in files if path.suffix.lower() in (".mhd", ".nhdr")]
    return files[0] if len(files) == 1 else headers[0] if len(headers) == 1 else folder


def sweep() -> None:
    """Delete what viewers that were killed have left behind (where a process can be asked for: POSIX)."""
    if os.name != "posix":
        return
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        found = re.match(rf"{PREFIX}(\d+)-", left.name)
        if found and not _is_alive(int(found[1])):
            with contextlib.suppress(OSError):
                if left.stat().st_uid == os.getuid():
                    shutil.rmtree(left, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
