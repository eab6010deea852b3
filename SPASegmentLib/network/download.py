"""Downloads of known models: after consent, resumable, checked by SHA-256, in place whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import http.client
import logging
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from SPASegmentLib import __version__
from SPASegmentLib.errors import Cancelled, CheckpointError, ConsentError, InputError
from SPASegmentLib.network.registry import KnownModel, file_sha256, get_model, model_path, part_path

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
_CHUNK = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte


class DownloadCancelToken(Protocol):
    """Asked between pieces; `threading.Event` fits."""

    def is_set(self) -> bool:
        """Whether the user cancelled."""


def download_notice(model: str | KnownModel) -> str:
    """What the user is asked to agree to: what, how much, from whom, under which licence, and where to."""
    model = get_model(model) if isinstance(model, str) else model
    host = urllib.parse.urlsplit(model.url).hostname
    return (
        f"{model.name}: {model.description}. {model.size / 1e6:.0f} MB from {host}, licence {model.licence},"
        f" SHA-256 {model.sha256[:12]}..., to be stored in {model_path(model).parent}. Nothing about your"
        " images is sent."
    )


def download_model(
    model: str | KnownModel,
    *,
    consent: bool,
    progress: Progress | None = None,
    cancel: DownloadCancelToken | None = None,
    timeout: float = _TIMEOUT,
) -> Path:
    """Fetch a known model's file, or continue an interrupted download; returns its path.

    progress(done, total) is called with bytes. timeout: seconds without a byte. A whole file that is already
    there is kept; nothing is fetched then.
    Raises ConsentError without consent, Cancelled when `cancel` is set (what came so far is kept), InputError
    for a shipped model, and CheckpointError where the network, the disk or the SHA-256 fails.
    """
    model = get_model(model) if isinstance(model, str) else model
    if not model.url:
        origin = "was made on this computer" if model.own else "comes with SPASegment"
        raise InputError(f"The model {model.name} {origin}: there is nothing to download.")
    path, part = model_path(model), part_path(model)
    if path.is_file() and file_sha256(path) == model.sha256:
        return path
    if not consent:
        raise ConsentError(
            f"The model {model.name} is downloaded ({model.size / 1e6:.0f} MB) only after you agree: say yes"
            " when asked, or add --yes."
        )
    with _disk_errors(model, path):
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("a+b") as file, _only_one(file, model):
            _check_room(model, part.parent, file.seek(0, os.SEEK_END))
            _fetch(model, file, progress, cancel, timeout)
            file.flush()
            os.fsync(file.fileno())
        if file_sha256(part) != model.sha256:
            part.unlink()
            raise CheckpointError(
                f"What was downloaded for {model.name} is not the official file (its SHA-256 differs) and was"
                " deleted: run the download again."
            )
        part.replace(path)
    logger.info("model %s downloaded and verified", model.name)
    return path


def _fetch(
    model: KnownModel,
    file: BinaryIO,
    progress: Progress | None,
    cancel: DownloadCancelToken | None,
    timeout: float,
) -> None:
    """Bring `file` to the model's full size, going on from what it holds."""
    start = file.seek(0, os.SEEK_END)
    if start > model.size:
        start = file.truncate(0)
    if start == model.size:
        return
    with _network_errors(model, file):
        response = _open(model, start, timeout)
    with contextlib.closing(response):
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = file.truncate(0)
        _check_answer(model, response, start)
        _copy(model, response, file, start, progress, cancel)
    if file.seek(0, os.SEEK_END) != model.size:
        raise _interrupted(model, file)


def _open(model: KnownModel, start: int, timeout: float) -> http.client.HTTPResponse:
    """Ask the server for the file from byte `start` on."""
    headers = {"User-Agent": f"spasegment/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    if urllib.parse.urlsplit(model.url).scheme not in ("https", "http"):
        raise CheckpointError(f"The address of {model.name} is not a web address: choose another model.")
    return urllib.request.urlopen(urllib.request.Request(model.url, headers=headers), timeout=timeout)


def _check_answer(model: KnownModel, response: http.client.HTTPResponse, start: int) -> None:
    """Refuse an answer that is plainly another file, such as the page of a network's login."""
    length = response.headers.get("Content-Length", "")
    span = response.headers.get("Content-Range", f"bytes {start}-")
    is_other_size = length.isdecimal() and int(length) != model.size - start
    is_page = response.headers.get_content_type() == "text/html"
    if is_other_size or is_page or not span.startswith(f"bytes {start}-"):
        raise CheckpointError(
            f"The server answered with something else than {model.name}: check that this network lets you"
            f" reach {urllib.parse.urlsplit(model.url).hostname}, or ask for a proxy."
        )


def _copy(
    model: KnownModel,
    response: http.client.HTTPResponse,
    file: BinaryIO,
    done: int,
    progress: Progress | None,
    cancel: DownloadCancelToken | None,
) -> None:
    """Append the answer to the file, never more than the model's size."""
    while done < model.size:
        if cancel is not None and cancel.is_set():
            raise Cancelled(
                f"The download of {model.name} was cancelled at {done / 1e6:.0f} of {model.size / 1e6:.0f}"
                " MB; it continues from there next time."
            )
        with _network_errors(model, file):
            chunk = response.read(min(_CHUNK, model.size - done))
        if not chunk:
            break
        file.write(chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, model.size)


def _check_room(model: KnownModel, folder: Path, have: int) -> None:
    """Raise CheckpointError before anything is fetched where the disk has no room for the rest."""
    need = model.size - have
    free = shutil.disk_usage(folder).free
    if need > free:
        raise _disk_full(model, folder, need - free)


def _disk_full(model: KnownModel, folder: Path, more: int) -> CheckpointError:
    """The sentence for a disk without room. more: bytes it lacks."""
    return CheckpointError(
        f"The disk of {folder} is full, so {model.name} was not downloaded: free {more / 1e6:.0f} MB, or"
        " choose another folder with the variable SPASEGMENT_MODELS."
    )


def _interrupted(model: KnownModel, file: BinaryIO) -> CheckpointError:
    """The sentence for a connection that broke."""
    done = file.seek(0, os.SEEK_END)
    return CheckpointError(
        f"The connection broke after {done / 1e6:.0f} of {model.size / 1e6:.0f} MB of {model.name}: run the"
        " same command again, it continues from there."
    )


@contextlib.contextmanager
def _network_errors(model: KnownModel, file: BinaryIO) -> Iterator[None]:
    """Turn what a network can do into one sentence."""
    host = urllib.parse.urlsplit(model.url).hostname
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            file.truncate(0)
        raise CheckpointError(
            f"The server {host} refused the download of {model.name} (HTTP {error.code}): try again later."
        ) from error
    except urllib.error.URLError as error:
        raise CheckpointError(
            f"The server {host} could not be reached ({error.reason}): check the network or its proxy, or"
            f" copy {model.file} by hand to {model_path(model).parent}."
        ) from error
    except (http.client.HTTPException, OSError) as error:
        raise _interrupted(model, file) from error


@contextlib.contextmanager
def _disk_errors(model: KnownModel, path: Path) -> Iterator[None]:
    """Turn what a disk can do into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(model, path.parent, model.size) from error
        raise CheckpointError(
            f"{model.name} could not be stored in {path.parent} ({error.strerror or error}): choose a folder"
            " you may write to with the variable SPASEGMENT_MODELS."
        ) from error


@contextlib.contextmanager
def _only_one(file: BinaryIO, model: KnownModel) -> Iterator[None]:
    """Hold the unfinished file against a second download of it, where the system can lock files."""
    try:
        import fcntl
    except ImportError:  # Windows: a mixed-up file is caught by its SHA-256
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CheckpointError(
            f"The model {model.name} is being downloaded by another program: wait until that has finished."
        ) from error
    yield
