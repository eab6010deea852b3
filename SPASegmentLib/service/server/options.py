"""What a server is started with, and what it refuses to be started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from SPASegmentLib.errors import InputError
from SPASegmentLib.inference.config import DEFAULT_MODEL
from SPASegmentLib.service.addresses import USUAL_PORT, is_loopback
from SPASegmentLib.service.wire import LARGEST_BODY, MEGABYTE


@dataclass(frozen=True)
class ServeOptions:
    """Arguments of `spasegment serve`.

    models: names or paths. keys: the keys file. certificate, private_key: for TLS. insecure: plain http is
    allowed from other computers. image_bytes: of all slices in memory. idle_seconds: a slice is kept unused.
    largest_body: bytes of a body, decompressed; compressed it may be a quarter of that. waiting: requests.
    """

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    device: str = "auto"
    host: str = "127.0.0.1"
    port: int = USUAL_PORT
    keys: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    insecure: bool = False
    image_bytes: int = 2048 * MEGABYTE
    idle_seconds: float = 600.0
    largest_body: int = LARGEST_BODY
    waiting: int = 512

    @property
    def largest_sent(self) -> int:
        """Bytes of a body as it is sent."""
        return self.largest_body // 4

    @property
    def scheme(self) -> str:
        """http or https."""
        return "http" if self.certificate is None else "https"

    def check(self) -> None:
        """Raise InputError for a server that others could listen to, or that would let anybody in."""
        if (self.certificate is None) != (self.private_key is None):
            raise InputError("TLS needs both --tls-certificate and --tls-key; give the two or none.")
        for path in (self.certificate, self.private_key):
            if path is not None and not path.is_file():
                raise InputError(f"There is no file {path}; check the path.")
        if is_loopback(self.host):
            return
        if self.keys is None:
            raise InputError(
                f"A server at {self.host} can be reached from other computers and needs --keys FILE; make "
                "keys with --new-key NAME."
            )
        if self.certificate is None and not self.insecure:
            raise InputError(
                f"A server at {self.host} can be overheard without TLS: give --tls-certificate and "
                "--tls-key, or listen at 127.0.0.1 behind a proxy that has them; --insecure starts it all "
                "the same."
            )
