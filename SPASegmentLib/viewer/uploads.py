"""Volumes sent by the browser: size-limited, in a private folder, deleted at exit."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from SPASegmentLib.errors import InputError, SPASegmentError
from SPASegmentLib.imaging.headers import BESIDE, check_header, kind_of
from SPASegmentLib.viewer.options import MEGABYTE

PREFIX = "spasegment-viewer-"
MOST_FILES = 5000
"""Of one upload, as of a DICOM series."""
UPLOADS_KEPT = 4
"""All uploads of a session together may have as many bytes as so many of the largest."""
LONGEST_NAME = 255
"""Bytes of a file's name that file systems take."""
_NUMBER = re.compile(r"\d{1,4}")
_UNSAFE = re.compile(r"[\0-\x1f\x7f/\\]")
_UPLOAD_ID = re.compile(r"[0-9a-f]{8,32}")

Opened = Callable[[Path, str], Awaitable[None]]
"""Called with the volume's path and what the user calls it."""


class Uploads:
    """Receives files and hands each complete upload to `opened`, which raises InputError to refuse it."""

    def __init__(
        self,
        max_bytes: int,
        opened: Opened,
        spare: Callable[[], str | None] = lambda: None,
        begun: Callable[[str], None] = lambda name: None,
    ) -> None:
        """max_bytes: of one upload. spare: closes an upload nobody needs and returns its ID, or None.

        begun: told the ID of an upload whose first file arrives.
        """
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self._max, self._most = max_bytes, UPLOADS_KEPT * max_bytes
        self._opened, self._spare, self._begun = opened, spare, begun
        self._held: dict[str, int] = {}
        self._files: dict[str, int] = {}
        self._complete: set[str] = set()

    def close(self) -> None:
        """Delete everything that was sent."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def receive(self, request: web.Request) -> web.Response:
        """PUT /api/upload/ID/FOLDER/NAME: one file, its bytes as the body. FOLDER: a number."""
        try:
            name = self._id_of(request)
            part = request.match_info.get("folder", "0")
            if name in self._complete or not _NUMBER.fullmatch(part):
                raise InputError("This upload has no proper name; choose the file again.")
            await self._store(request, name, self.folder / name / part)
        except SPASegmentError as error:
            return web.json_response({"problem": str(error)}, status=413)
        return web.json_response({})

    async def finish(self, request: web.Request) -> web.Response:
        """POST /api/upload/ID?title=NAME: all files are here; open what they hold."""
        name = ""
        try:
            name = self._id_of(request)
            if name in self._complete:
                raise InputError("This upload was opened already; choose it in the list.")
            self._complete.add(name)
            path, unused = _what_was_sent(self.folder / name)
            title = _safe(request.query.get("title", "")) if path.is_dir() else path.name
            await self._opened(path, title)
        except SPASegmentError as error:
            self.forget(name)
            return web.json_response({"problem": str(error)}, status=422)
        return web.json_response({"note": _note(unused)} if unused else {})

    def forget(self, name: str) -> None:
        """Delete the files of one upload."""
        if self._held.pop(name, None) is not None:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _id_of(self, request: web.Request) -> str:
        name = request.match_info["id"]
        if not _UPLOAD_ID.fullmatch(name):
            raise InputError("This upload has no proper name; choose the file again.")
        return name

    async def _store(self, request: web.Request, name: str, folder: Path) -> None:
        """Write the body to a file; nothing is left of the upload where it is too large."""
        path = folder / _safe(request.match_info["name"])
        self._files[name] = self._files.get(name, 0) + 1
        if self._files[name] > MOST_FILES:
            self.forget(name)
            raise InputError(f"More than {MOST_FILES} files were sent; choose one volume or one series.")
        if name not in self._held:
            self._begun(name)
        self._held.setdefault(name, 0)
        whole = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.parent.chmod(0o700)
            with path.open("xb") as file:
                try:
                    self._check_room(name, request.content_length or 0)
                    async for chunk in request.content.iter_chunked(MEGABYTE):
                        self._check_room(name, len(chunk))
                        self._held[name] += len(chunk)
                        file.write(chunk)
                    whole = True
                finally:
                    if not whole:
                        path.unlink(missing_ok=True)
        except FileExistsError as error:
            raise InputError(f"Two files called {path.name} were sent from one folder; send one.") from error
        except OSError as error:
            raise InputError("The upload could not be stored; make room on this computer's disk.") from error

    def _check_room(self, name: str, count: int) -> None:
        """Whether so many more bytes may come. Raises InputError where not, and forgets the upload."""
        if self._held.get(name, self._max) + count > self._max:
            self.forget(name)
            raise InputError(
                f"The upload is larger than {self._max // MEGABYTE} MB; crop the volume, or start the viewer "
                "with the file's path or a larger --max-upload-mb."
            )
        while sum(self._held.values()) + count > self._most:
            spare = self._spare()
            if spare is None:
                self.forget(name)
                raise InputError(
                    f"The uploads of this session have reached {self._most // MEGABYTE} MB; download what is "
                    "approved and start the viewer again, or with a larger --max-upload-mb."
                )
            self.forget(spare)


def _safe(name: str) -> str:
    """The last part of a name, as it is wherever the file system takes it, so that headers find their data.

    What must be changed gets a mark of its own, so that two names never become one.
    """
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    safe = _UNSAFE.sub("_", name)
    if os.name == "nt":
        safe = re.sub(r'[<>:"|?*]', "_", safe).rstrip(" .")
    if safe == name and safe.strip(" .") and len(os.fsencode(safe)) <= LONGEST_NAME:
        return safe
    stem, suffix = safe[:60], "".join(Path(safe).suffixes)[-20:]
    return (
        f"{stem.strip(' .').removesuffix(suffix)}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{suffix}"
    )


def _what_was_sent(folder: Path) -> tuple[Path, list[Path]]:
    """The volume among the files of an upload, and files of no use to it.

    It is the one file, the header beside its data, else the whole folder.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise InputError("Nothing was sent; choose a file.")
    headers = files if len(files) == 1 else [f for f in files if f.suffix.lower() in (".mhd", ".nhdr")]
    if len(headers) != 1:
        return folder, []
    (header,) = headers
    used = {header, *check_header(header, kind_of(header), BESIDE).data} if len(files) > 1 else set(files)
    return header, [path for path in files if path not in used]


def _note(unused: list[Path]) -> str:
    names = ", ".join(path.name for path in unused[:3]) + (" …" if len(unused) > 3 else "")
    return f"{len(unused)} of the files sent are no part of the volume and were not used: {names}"


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
