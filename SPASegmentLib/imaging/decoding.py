"""Decoding with ITK, without what its C libraries print. Nothing of this process's output is redirected.

libjpeg, libpng and libtiff print to standard error and offer no switch, so pictures are decoded in a process
of their own. What could print about a volume is checked in its header or its stream before it is decoded.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

_SCRIPT = Path(__file__).with_name("picture_process.py")
_DATA_FILE = re.compile(rb"(?im)^(data ?file:|ElementDataFile\s*[=:]).*$")
_LOCK = threading.Lock()
_quiet: list[bool] = []
"""One entry for each block that wants no warnings now: whether they were on before it."""


@dataclass(frozen=True)
class ImageLayout:
    """What ITK makes of a header: size (i, j, k), components per voxel, the pixel type in words, spacing."""

    size: tuple[int, ...]
    components: int
    pixel: str
    spacing: tuple[float, ...] = ()

    @classmethod
    def of(cls, reader: Any) -> ImageLayout:
        """The layout of a reader that has read the header."""
        pixel = sitk.GetPixelIDValueAsString(reader.GetPixelID())
        return cls(reader.GetSize(), reader.GetNumberOfComponents(), pixel, reader.GetSpacing())


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Switch ITK's own warnings off, which are one setting for all threads, until the last block ends."""
    with _LOCK:
        _quiet.append(_quiet[0] if _quiet else sitk.ProcessObject.GetGlobalWarningDisplay())
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        with _LOCK:
            before = _quiet.pop()
            if not _quiet:
                sitk.ProcessObject.SetGlobalWarningDisplay(before)


@contextlib.contextmanager
def decodable(path: Path, data: Sequence[Path] = ()) -> Iterator[Path]:
    """The path of a file under a name that ITK takes: links to it where its own is not UTF-8.

    data: files that hold its voxels; one whose name has a percent sign is not taken for a pattern.
    """
    is_pattern = len(data) == 1 and "%" in data[0].name
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        if not is_pattern:
            yield path
            return
    with tempfile.TemporaryDirectory(prefix="spasegment-") as folder:
        other = Path(folder) / f"image{path.suffix}"
        if is_pattern:
            _link(data[0], Path(folder) / "voxels")
            other.write_bytes(_DATA_FILE.sub(rb"\1 voxels", path.read_bytes()))
        else:
            _link(path, other)
            for one in data:
                place = Path(folder) / one.relative_to(path.parent)
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(one, place)
        yield other


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.resolve())
    except OSError:  # a system without links
        shutil.copyfile(source, target)


def decode_picture(path: Path, image_io: str, check: Callable[[ImageLayout], None]) -> tuple[np.ndarray, str]:
    """The pixels ([K,] J, I[, C]) of a PNG, JPEG or TIFF file, and what its decoder printed about it.

    check: sees the layout before anything of its size is allocated, and may raise.
    Raises RuntimeError with ITK's text where the file cannot be decoded.
    """
    with decodable(path) as readable, tempfile.TemporaryFile() as printed:
        command = [sys.executable, "-I", str(_SCRIPT), str(readable), image_io, json.dumps(sys.path)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            try:
                stated = _answer(process.stdout)
                check(ImageLayout(tuple(stated["size"]), stated["components"], stated["pixel"]))
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(b"go on\n")
                    process.stdin.flush()
                array = _array(process.stdout)
                process.wait()  # some of what is printed comes at its end
            finally:
                process.kill()
        printed.seek(0)
        return array, printed.read().decode(errors="replace")


def _answer(stream: IO[bytes]) -> dict[str, Any]:
    line = stream.readline()
    answer: dict[str, Any] = json.loads(line) if line else {"error": "the decoder ended"}
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


def _array(stream: IO[bytes]) -> np.ndarray:
    answer = _answer(stream)
    wanted = math.prod(answer["shape"]) * np.dtype(answer["dtype"]).itemsize
    data = stream.read(wanted)
    if len(data) < wanted:
        raise RuntimeError("the decoder ended")
    return np.frombuffer(bytearray(data), answer["dtype"]).reshape(answer["shape"])
