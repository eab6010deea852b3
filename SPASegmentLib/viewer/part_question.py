"""Asks on the page which part of an entry is wanted: a series, a point in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from SPASegmentLib.viewer.volumes import Choice, Library, PartNeededError


class PartQuestion:
    """At most one question is open. To be called on the event loop."""

    def __init__(self, server: Any, library: Library, show: Callable[[Choice], Awaitable[bool]]) -> None:
        """show: brings an entry to the screen; whether it could be read."""
        self._server, self._library, self._show = server, library, show
        self._asked: tuple[Choice, tuple[str, ...]] | None = None

    def ask(self, choice: Choice, several: PartNeededError) -> None:
        """Let the page ask which part of an entry is wanted."""
        self._asked = choice, several.labels
        with self._server.state as state:
            state.question = {"what": several.what, "labels": list(several.labels)}

    async def answer(self, index: int) -> None:
        """The answer to what the page asks: number of the part, from 0; negative for none."""
        asked, self._asked = self._asked, None
        with self._server.state as state:
            state.question = None
        if asked is None or not 0 <= index < len(asked[1]):
            return
        part = self._library.add(asked[0].part(index, asked[1][index]))
        if not await self._show(part):
            del self._library.choices[part.key]
