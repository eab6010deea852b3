"""What a server counts, in the form that Prometheus reads. No user, no image."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Measures:
    """Requests by path and status, seconds, bytes, and what is held."""

    def __init__(
        self, waiting: Callable[[], int], images: Callable[[], int], image_bytes: Callable[[], int]
    ) -> None:
        """waiting: proposals that wait. images, image_bytes: slices in memory."""
        self._registry = CollectorRegistry()
        here = self._registry
        self._requests = Counter(
            "spasegment_requests", "Requests answered", ["path", "status"], registry=here
        )
        self._seconds = Histogram(
            "spasegment_request_seconds", "Time of a request", ["path"], buckets=_SECONDS, registry=here
        )
        self._bytes = Counter("spasegment_received_bytes", "Bytes of bodies received", registry=here)
        self._computing = Histogram(
            "spasegment_proposal_seconds",
            "Time of a proposal and its waiting",
            buckets=_SECONDS,
            registry=here,
        )
        for name, text, value in (
            ("spasegment_waiting", "Proposals that wait", waiting),
            ("spasegment_images", "Slices in memory", images),
            ("spasegment_image_bytes", "Bytes of the slices in memory", image_bytes),
        ):
            Gauge(name, text, registry=here).set_function(value)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def received(self, size: int) -> None:
        """Count the bytes of a body."""
        self._bytes.inc(size)

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Measure a proposal."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._computing.observe(time.perf_counter() - started)

    def text(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self._registry)
