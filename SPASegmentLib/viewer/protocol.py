"""What a page may ask of the server beside our triggers, and how many pages there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trame_server.protocol import CoreServer
from wslink import register

PAGE_MAY_SET: frozenset[str] = frozenset()
"""Shared state a page may set by itself: none, as all it wants goes through a trigger that checks it."""


class PageProtocol(CoreServer):
    """trame's protocol without what would let one page change what all pages show, or end the server."""

    pages_changed: Callable[[int], None] | None = None
    """Told how many pages are connected whenever that changes."""

    def onConnect(self, request: Any, client_id: str) -> None:  # noqa: N802
        """wslink: a page has connected."""
        self._pages().add(client_id)
        self._tell()

    def onClose(self, client_id: str) -> None:  # noqa: N802
        """wslink: a page has gone."""
        self._pages().discard(client_id)
        self._tell()

    def _pages(self) -> set[str]:
        return self.__dict__.setdefault("_connected_pages", set())

    def _tell(self) -> None:
        if self.pages_changed is not None:
            self.pages_changed(len(self._pages()))

    @register("trame.state.update")
    def update_state(self, changes: Any) -> None:
        """Take what a page may set; give back the true values of all else."""
        given = {change["key"]: change.get("value") for change in changes if isinstance(change, dict)}
        allowed = {key: value for key, value in given.items() if key in PAGE_MAY_SET}
        if allowed:
            super().update_state([{"key": key, "value": value} for key, value in allowed.items()])
        refused = [key for key in given if key not in PAGE_MAY_SET and self.server.state.has(key)]
        if refused:
            self.force_push_state(*refused)

    def force_push_state(self, *keys: str) -> None:
        """No longer a page's to ask for: it would fail on names that are not there."""
        super().force_push_state(*keys)

    def exit(self) -> None:
        """No longer a page's to ask for."""

    def exitLater(self, secondsLater: float = 60) -> None:  # noqa: N802
        """No longer a page's to ask for."""


def restrict(server: Any, pages_changed: Callable[[int], None]) -> None:
    """Give the server this protocol in place of trame's own, before it is started."""

    def configure(protocol: Any) -> None:
        protocol.__class__ = PageProtocol
        protocol.pages_changed = pages_changed

    server.add_protocol_to_configure(configure)
