"""The web server of the viewer: page, sockets, uploads and downloads behind one guard."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import unicodedata
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SPASegmentLib.errors import InputError, SPASegmentError
from SPASegmentLib.viewer.options import EVERYWHERE, USUAL_PORT, ViewerOptions

if TYPE_CHECKING:
    from SPASegmentLib.viewer.app import Viewer

logger = logging.getLogger(__name__)

Say = Callable[[str], None]

KINDS = {
    "seg.nrrd": "application/octet-stream",
    "nii.gz": "application/gzip",
    "dcm": "application/dicom",
}
"""What the segmentation is downloaded as."""


def prepare() -> None:
    """What must be set before VTK is imported: drawing without a display."""
    if sys.platform.startswith("linux"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    os.environ["WSLINK_READY_MSG"] = ""


class Service:
    """One running viewer. `start` returns once the page can be opened; `stop` deletes what was uploaded."""

    def __init__(self, options: ViewerOptions, *, keep: bool = True) -> None:
        """keep: whether the interaction is kept for a restart."""
        self.options, self._keep = options, keep
        self.address = ""
        self._finished: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Bind, show the first volume, answer. Raises InputError where the address cannot be had."""
        from trame_server import Server

        from SPASegmentLib.viewer import page
        from SPASegmentLib.viewer.app import Viewer
        from SPASegmentLib.viewer.protocol import restrict
        from SPASegmentLib.viewer.resume import Memory, page_key
        from SPASegmentLib.viewer.security import Guard
        from SPASegmentLib.viewer.triggers import bind_triggers
        from SPASegmentLib.viewer.uploads import Uploads

        port = free_port(self.options)
        # A page outlives a restart on this computer only; elsewhere a restart shuts out whoever was in.
        key = page_key() if self._keep and self.options.is_local else None
        self.guard = Guard(self.options, port=port, key=key)
        self.trame = Server(f"spasegment-{port}")
        self.trame.client_type = "vue3"
        page.install(self.trame)
        self.viewer: Viewer = Viewer(
            self.trame,
            self.options,
            memory=Memory(self.options) if self._keep and self.options.study is None else None,
        )
        self.uploads = Uploads(
            self.options.max_upload,
            self.viewer.open_upload,
            self.viewer.spare_upload,
            self.viewer.opening.upload_begins,
        )
        bind_triggers(self.trame, self.viewer)
        restrict(self.trame, self.viewer.messages.pages_changed)
        self.trame.controller.on_server_bind.add(self._add_routes)
        with _no_arguments():
            running = self.trame.start(
                port=port,
                host=self.options.host,
                exec_mode="coroutine",
                open_browser=False,
                show_connection_info=False,
                disable_logging=True,
                timeout=0,
                backend="aiohttp",
                thread=True,  # leaves the signals to us: uploads must be deleted
            )
        self._finished = asyncio.ensure_future(running)
        ready = asyncio.ensure_future(asyncio.shield(self.trame.ready))
        await asyncio.wait({ready, self._finished}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise InputError(
                f"The viewer could not listen at {self.options.host}:{port}; choose another --port."
            )
        host = address_for_others(self.options.host)
        host = f"[{host}]" if ":" in host else host
        self.address = f"http://{host}:{port}/index.html?token={self.guard.token}"
        await self.viewer.start()

    async def stop(self) -> None:
        """Keep the interaction, delete uploads, close sockets."""
        if hasattr(self, "viewer"):
            await self.viewer.close()
        if hasattr(self, "uploads"):
            self.uploads.close()
        if self._finished is not None and not self._finished.done():
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self.trame.stop(), 5)
            self._finished.cancel()
            await asyncio.gather(self._finished, return_exceptions=True)

    def _add_routes(self, bound: Any) -> None:
        bound.app.middlewares.append(self.guard.middleware())
        bound.app.router.add_get("/api/alive", self._alive)
        bound.app.router.add_post("/paraview/", self._where)
        bound.app.router.add_put("/api/upload/{id}/{folder}/{name:[^/]+}", self.uploads.receive)
        bound.app.router.add_post("/api/upload/{id}", self.uploads.finish)
        bound.app.router.add_get("/api/segmentation.{kind}", self._download)

    async def _alive(self, _request: Any) -> Any:
        from aiohttp import web

        return web.json_response({"viewer": "SPASegment"})

    async def _where(self, request: Any) -> Any:
        """POST /paraview/: the page asks where its socket is."""
        from aiohttp import web

        scheme = "wss" if request.headers.get("X-Forwarded-Proto", request.scheme) == "https" else "ws"
        return web.json_response({"sessionURL": f"{scheme}://{request.host}/ws", "secret": "wslink-secret"})

    async def _download(self, request: Any) -> Any:
        """GET /api/segmentation.KIND: the segmentation as a file."""
        from aiohttp import web

        kind = request.match_info["kind"]
        if kind not in KINDS:
            raise web.HTTPNotFound
        try:
            content = await self.written(kind)
        except SPASegmentError as error:
            return web.json_response({"problem": str(error)}, status=409)
        name = f"{file_stem(self.viewer)}.{kind}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=content, content_type=KINDS[kind], headers=headers)

    async def written(self, kind: str) -> bytes:
        """The file's bytes."""
        from SPASegmentLib.imaging.masks import write_labels
        from SPASegmentLib.imaging.types import Volume
        from SPASegmentLib.mrml.labels import has_voxels, labels_of
        from SPASegmentLib.mrml.segmentation_files import dicom_writer, write_slicer_segmentation
        from SPASegmentLib.mrml.volumes import ijk_to_ras_of

        viewer = self.viewer
        if viewer.segmentation is None or not has_voxels(viewer.segmentation):
            raise InputError("Nothing is approved yet; approve a mask first.")
        with (
            viewer.messages.job("Writing the segmentation…"),
            tempfile.TemporaryDirectory(dir=self.uploads.folder) as folder,
        ):
            path = Path(folder) / f"segmentation.{kind}"
            await asyncio.sleep(0.02)
            if kind == "seg.nrrd":
                write_slicer_segmentation(viewer.segmentation, path)
            elif kind == "dcm":
                frames = viewer.shown.frames if viewer.shown is not None else ()
                write = dicom_writer(viewer.segmentation, viewer.volume, lambda _: frames, Path(folder))
                try:
                    await asyncio.to_thread(write, path)
                except ModuleNotFoundError as error:
                    raise InputError(
                        f"DICOM SEG needs the package {error.name} where the viewer runs; run there: "
                        'pip install "spasegment[dicom]"'
                    ) from error
            else:
                labels = labels_of(viewer.segmentation, viewer.volume)
                grid = Volume(labels, ijk_to_ras_of(viewer.volume))
                await asyncio.to_thread(write_labels, path, labels, grid, {})
            return await asyncio.to_thread(path.read_bytes)


def file_stem(viewer: Viewer) -> str:
    """What a download is called: after the volume and, where there is but one, the structure."""
    names = [viewer.choice.label.removeprefix("Sample: ").split(".")[0]] if viewer.choice is not None else []
    if len(viewer.server.state.segments) == 1:
        names += viewer.server.state.segments
    words = re.findall(r"[A-Za-z0-9]+", unicodedata.normalize("NFKD", " ".join(names)))
    return "-".join(words)[:100] or "segmentation"


async def serve(options: ViewerOptions, say: Say) -> None:
    """Run the viewer until it is interrupted. say: prints one line for the user."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unless_gone)
    for name in ("wslink.protocol", "aiohttp.server"):
        logging.getLogger(name).addFilter(_is_of_interest)
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    service = Service(options)
    try:
        await service.start()
    except BaseException:
        await service.stop()
        raise
    say(f"SPASegment viewer: {service.address}")
    if not options.is_local:
        say(
            "Whoever has this address, token included, can see the images. Without https it can be overheard."
        )
    say("Press Ctrl+C to stop; uploads are then deleted, and the same command offers to go on.")
    if options.browser and _has_screen():
        await asyncio.to_thread(webbrowser.open, service.address)
    await stopped.wait()
    await service.stop()


def _has_screen() -> bool:
    """Whether a browser can show itself; without one Python would start a text browser in the terminal."""
    return not sys.platform.startswith("linux") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _unless_gone(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A page that was closed while a picture was on its way is no error."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


def _is_of_interest(record: logging.LogRecord) -> bool:
    """The same where wslink (in three records; the middle one says what it was) or aiohttp logs it."""
    if record.exc_info and isinstance(record.exc_info[1], ConnectionError):
        return False
    said = record.getMessage()
    return said != "Exception raised" and "closing transport" not in said


@contextlib.contextmanager
def _no_arguments() -> Any:
    """trame reads the command line itself; ours is not meant for it."""
    before, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = before


def address_for_others(host: str) -> str:
    """What others type to reach a server that listens at `host`; of all addresses the one it goes out by."""
    if host not in EVERYWHERE:
        return host
    family, elsewhere = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((elsewhere, 9))  # sends nothing; says by which address one would leave this computer
        own = str(probe.getsockname()[0])
        if not ipaddress.ip_address(own).is_unspecified:
            return own
    return socket.gethostname().lower()


def free_port(options: ViewerOptions) -> int:
    """The port asked for, else the usual one, else any free one. Raises InputError where it is taken."""
    wanted = [options.port] if options.port is not None else [USUAL_PORT, 0]
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    problem: OSError | None = None
    for port in wanted:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host, port))
                return int(probe.getsockname()[1])
            except OSError as error:
                problem = error
    reason = problem.strerror if problem is not None and problem.strerror else "refused"
    raise InputError(
        f"The viewer cannot listen at {options.host}:{wanted[0]} ({reason}); choose another --port or --host."
    ) from problem
