"""What a connection may take before it is a request: anybody can make one, with or without a key."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from uvicorn.protocols.http import auto
from uvicorn.protocols.http.h11_impl import H11Protocol


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 by h11, which refuses heads of more than 64 kB.

    httptools, which uvicorn takes where it is installed, copies a head of any size again with every piece of
    it: one without an end keeps the process from everything else.
    """

    head_seconds = 20.0
    """How long a request's head may take, counted from the connection or from the last answer."""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next head, or for the end of a body that was refused."""
        super().on_response_complete()
        self._wait_for_head()

    def _wait_for_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(self.head_seconds, self._hang_up)

    def _hang_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def guard_proxy() -> list[object]:
    """Guard what Ray's proxy listens with, which has no setting for that.

    Ray calls this in each proxy, as RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH says. Returns the middlewares
    that it asks for: none.
    """
    auto.AutoHTTPProtocol = GuardedProtocol
    return []


def allow_connections() -> None:
    """Let this process have as many connections as the system allows; the usual 1024 are soon taken."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
