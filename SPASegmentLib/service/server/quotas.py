"""How much each user may ask for: requests and bytes per minute, and requests at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from SPASegmentLib.service.server.keys import User
from SPASegmentLib.service.server.refusals import RefusedError
from SPASegmentLib.service.wire import MEGABYTE


class TokenBucket:
    """So much per minute, as much at once."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._most, self._clock = per_minute, clock
        self._left, self._at = per_minute, clock()

    def take(self, amount: float) -> float:
        """Take an amount, or nothing. Returns the seconds until there is enough; 0 where it was taken.

        More than there ever is goes when the bucket is full, and takes it all.
        """
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._most / 60)
        self._at = now
        amount = min(amount, self._most)
        if amount > self._left:
            return (amount - self._left) * 60 / self._most
        self._left -= amount
        return 0.0


class Quotas:
    """What every user has used."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self._buckets: dict[tuple[str, str, int], TokenBucket] = {}

    @contextlib.contextmanager
    def request(self, user: User) -> Iterator[None]:
        """One request of a user while it runs. Raises RefusedError (429) where it is one too many."""
        self._take(user, "requests", user.requests_per_minute, 1)
        with self._lock:
            running = self._running.get(user.name, 0)
            if running >= user.concurrent:
                raise RefusedError(
                    429, f"{user.concurrent} requests at once are all that this key has.", retry_after=0.2
                )
            self._running[user.name] = running + 1
        try:
            yield
        finally:
            with self._lock:
                self._running[user.name] -= 1
                if not self._running[user.name]:
                    del self._running[user.name]

    def body(self, user: User, size: int) -> None:
        """Count the bytes of a request. Raises RefusedError (429) where they are too many."""
        self._take(user, "megabytes", user.megabytes_per_minute, size / MEGABYTE)

    def _take(self, user: User, what: str, per_minute: int, amount: float) -> None:
        with self._lock:
            name = (user.name, what, per_minute)
            if name not in self._buckets:
                self._buckets[name] = TokenBucket(per_minute, self._clock)
            wait = self._buckets[name].take(amount)
        if wait:
            raise RefusedError(
                429, f"{per_minute} {what} a minute are all that this key has.", retry_after=wait
            )
