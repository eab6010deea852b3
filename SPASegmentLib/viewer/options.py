"""What the viewer is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from SPASegmentLib.imaging.choice import ANY, Wanted
from SPASegmentLib.inference.config import DEFAULT_MODEL
from SPASegmentLib.service.addresses import is_loopback
from SPASegmentLib.service.choice import ServerChoice

USUAL_PORT = 8765
LOCAL = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")
"""Hosts that mean all addresses of this computer, and are none."""
MEGABYTE = 2**20


@dataclass(frozen=True)
class ViewerOptions:
    """Arguments of `spasegment view`.

    volumes: files or DICOM folders; none means the built-in sample. host: address to listen at. port: None
    for the usual one, or a free one where it is taken. browser: open the page. max_upload: bytes one upload
    may have. window: intensities (low, high) that are black and white, on the screen and for the model.
    server: what computes instead of this computer, or None. wanted: which series and time of the volumes.
    continued: file of segments to go on from, on the first volume's voxels, or None. keep_approved: folder
    that approved objects are kept in, or None. study: the plan of a study to run instead of showing volumes,
    and user: the code of who takes part, or None.
    """

    volumes: tuple[Path, ...] = ()
    profile: str | None = None
    model: str = DEFAULT_MODEL
    device: str = "auto"
    host: str = LOCAL
    port: int | None = None
    browser: bool = True
    max_upload: int = 1024 * MEGABYTE
    window: tuple[float, float] | None = None
    server: ServerChoice | None = None
    wanted: Wanted = ANY
    continued: Path | None = None
    keep_approved: Path | None = None
    study: Path | None = None
    user: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this computer can reach the page."""
        return is_loopback(self.host)
