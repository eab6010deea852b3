"""What a request is refused with: a status and one sentence, never anything of an image."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is not answered. kind: what the client makes of it. retry_after: s, or None."""

    def __init__(
        self, status: int, sentence: str, kind: str = "ServerError", retry_after: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.kind, self.retry_after = status, sentence, kind, retry_after
