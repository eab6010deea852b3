"""Slices in memory, each usable by the key that sent it only, and forgotten when nobody uses it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from SPASegmentLib.imaging.types import SliceImage


class ImageStore:
    """Slices by owner and identity. Nothing is ever written to a disk."""

    def __init__(
        self, most_bytes: int, idle_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """most_bytes: of all slices; the one unused for longest makes room. idle_seconds: kept unused."""
        self._most, self._idle, self._clock = most_bytes, idle_seconds, clock
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], tuple[SliceImage, int, float]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes_held(self) -> int:
        """Bytes of all slices."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._held)

    def put(self, owner: str, identity: str, image: SliceImage) -> None:
        """Keep a slice. One that is larger than all there may be is not kept."""
        size = image.pixels.nbytes + sum(n.nbytes for n in image.neighbours if n is not None)
        with self._lock:
            self._forget((owner, identity))
            if size > self._most:
                return
            while self._held and self._bytes + size > self._most:
                self._forget(next(iter(self._held)))
            self._held[owner, identity] = (image, size, self._clock())
            self._bytes += size

    def get(self, owner: str, identity: str) -> SliceImage | None:
        """A slice that this owner has sent, if it is still here."""
        with self._lock:
            self._sweep()
            found = self._held.get((owner, identity))
            if found is None:
                return None
            self._held[owner, identity] = (found[0], found[1], self._clock())
            self._held.move_to_end((owner, identity))
            return found[0]

    def sweep(self) -> None:
        """Forget what nobody has used for too long."""
        with self._lock:
            self._sweep()

    def _sweep(self) -> None:
        now = self._clock()
        while self._held:
            key, (_, _, used) = next(iter(self._held.items()))
            if now - used < self._idle:
                return
            self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self._bytes -= found[1]
