"""What the page says: what takes a while, what went wrong, who else looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class PageMessages:
    """The sentences of one server's pages. To be called on the event loop."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._jobs: dict[object, str] = {}

    @contextmanager
    def job(self, words: str) -> Iterator[None]:
        """Say that something takes a while; of several jobs the one begun last is named."""
        own = object()
        self._jobs[own] = words
        with self._server.state as state:
            state.job, state.job_share, state.problem = words, None, ""
        try:
            yield
        finally:
            self.end_job(own)

    def end_job(self, which: object) -> None:
        """A job is over; the one begun before it is named again."""
        self._jobs.pop(which, None)
        with self._server.state as state:
            state.job, state.job_share = next(reversed(self._jobs.values()), ""), None

    def uploading(self, name: str, share: float) -> None:
        """Show how much of an upload has arrived. share: in [0, 1]."""
        words = self._jobs["upload"] = f"Sending {name}…"
        with self._server.state as state:
            state.job, state.job_share, state.problem = words, min(max(share, 0.0), 1.0), ""

    def upload_failed(self, sentence: str) -> None:
        """An upload has ended without a volume, or with something to say about it."""
        self.end_job("upload")
        self.complain(sentence)

    def pages_changed(self, count: int) -> None:
        """Say on every page that others show and change the same."""
        others = "Another page has" if count == 2 else f"{count - 1} other pages have"
        with self._server.state as state:
            state.company = (
                f"{others} this session open: all show the same, and what one does changes the others."
                if count > 1
                else ""
            )

    def complain(self, sentence: str) -> None:
        """Say what went wrong, in one sentence, until it is dismissed."""
        with self._server.state as state:
            state.problem = sentence
