"""`spasegment segment --dicomweb`: a series from an archive, and the segmentation back to it."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from SPASegmentLib.service.dicomweb import DicomWebServer

AUTHORITY_VARIABLE = "SPASEGMENT_DICOMWEB_CA"
_PREFIX = "spasegment-"


@dataclass(frozen=True)
class ArchiveSeries:
    """One series of a DICOMweb server. stows: whether the segmentation goes back there."""

    server: DicomWebServer
    study: str
    series: str
    stows: bool

    def fetch(self, folder: Path) -> Path:
        """The series in a folder of its own below this one. Raises InputError and ServerError."""
        own = folder / "series"
        own.mkdir()
        self.server.fetch(self.study, self.series, own)
        return own

    def stow(self, write: Callable[[Path], None], kept: Path | None) -> None:
        """Store a segmentation in the study. write: writes it to a file. kept: where it is already, or None.

        Where the server does not take it, the file stays and the ServerError that is raised says where;
        where the server takes it and does not list it, a warning does.
        """
        import pydicom

        from SPASegmentLib.cli.shared import warn
        from SPASegmentLib.errors import ServerError

        path = kept
        if path is None:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX)) / "segmentation.dcm"
            write(path)
        try:
            instance = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID
            is_listed = self.server.store(path, self.study, str(instance))
        except ServerError as error:
            raise ServerError(f"{str(error).rstrip('.')}; the segmentation is in {path}.") from error
        if not is_listed:
            warn([f"The server took the segmentation but does not list it yet; it is also in {path}."])
        elif kept is None:
            path.unlink()
            path.parent.rmdir()


def archive_of(
    url: str | None,
    study: str | None,
    series: str | None,
    headers: Sequence[str],
    stow: bool,
    insecure: bool,
    volume: Path | None,
) -> ArchiveSeries | None:
    """What the options say; None for a volume of this computer.

    Raises BadParameter where they do not go together, InputError and ServerError as `DicomWebServer` does.
    """
    if url is None:
        named = {"--study": study, "--stow": stow, "--dicomweb-header": headers, "--insecure": insecure}
        for name, given in named.items():
            if given:
                raise typer.BadParameter(f"{name} belongs to a series of an archive; add --dicomweb URL.")
        if volume is None:
            raise typer.BadParameter("give VOLUME, or --dicomweb URL --study UID --series UID.")
        return None
    if volume is not None or study is None or series is None:
        raise typer.BadParameter("--dicomweb URL takes --study UID and --series UID, and no VOLUME.")
    import python_multipart  # noqa: F401  # the one package of the extra that is asked for first

    from SPASegmentLib.service.dicomweb import AUTH_VARIABLE, DicomWebServer

    sent: dict[str, str] = {}
    if os.environ.get(AUTH_VARIABLE):
        sent["Authorization"] = os.environ[AUTH_VARIABLE]
    for header in headers:
        name, _, value = header.partition(":")
        sent = {one: own for one, own in sent.items() if one.lower() != name.strip().lower()}
        sent[name.strip()] = value.strip()
    authority = os.environ.get(AUTHORITY_VARIABLE) or None
    server = DicomWebServer(url, sent, insecure=insecure, authority=authority)
    return ArchiveSeries(server, study, series, stow)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user can read and that is gone afterwards, also after SIGTERM."""

    def end(*_: Any) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)
