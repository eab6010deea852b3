"""Requests to a server that survive its restarts: retried, watched while they wait, cancelled at any time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from SPASegmentLib.errors import Cancelled, ServerError
from SPASegmentLib.inference.messages import CancelToken
from SPASegmentLib.service.addresses import is_loopback

CONNECT_SECONDS = 3.0
WATCH_SECONDS = 2.0
"""How often a server is asked for a sign of life while it computes."""
SIGN_SECONDS = 5.0
"""How long a sign of life may take."""
ANSWER_SECONDS = 120.0
"""How long an answer may take before it is asked for again."""
LONGEST_PAUSE = 1.0
_CANCEL_SECONDS = 0.02
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
Found = TypeVar("Found")


class ServerLostError(ServerError):
    """A server that gave no sign of life for as long as one waits."""


@dataclass(frozen=True)
class Reached:
    """What a server answered."""

    status: int
    content: bytes
    headers: httpx.Headers


@dataclass
class _Sign:
    """When a server last showed life."""

    at: float = field(default_factory=time.monotonic)


class Transport:
    """Requests to one server. Any thread may ask; each waits for its own."""

    def __init__(self, address: str, key: str | None, patience: float, authority: str | None = None) -> None:
        """address: as `server_address` gives it. key: None where the server asks for none.

        patience: seconds without a sign of life before `ServerLostError`. authority: file of the certificate
        authority, or None for the system's.
        """
        self.address, self.patience = address, patience
        self._key, self._authority = key, authority
        self._clients: dict[int, httpx.AsyncClient] = {}
        self._has_answered = False

    def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        cancel: CancelToken | None = None,
        patience: float | None = None,
    ) -> Reached:
        """The server's answer, be it yes or no; again and again until there is one.

        Whatever is asked must have the same answer when it is asked twice. Raises Cancelled when `cancel` is
        set, ServerLostError where there is no sign of life.
        """
        waits = self.patience if patience is None else patience
        return _result(self._insist(method, path, content, headers or {}, waits), cancel)

    def close(self) -> None:
        """Hang up."""
        for client in self._clients.values():
            with contextlib.suppress(Exception):
                asyncio.run_coroutine_threadsafe(client.aclose(), _loop()).result(2)
        self._clients.clear()

    async def once(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = None,
    ) -> Reached:
        """One try, of so many seconds at most. Raises httpx.TransportError, which says what went wrong."""
        more: dict[str, Any] = {} if seconds is None else {"timeout": seconds}
        headers = headers or {}
        if self._key:
            headers = {**headers, "authorization": f"Bearer {self._key}"}
        response = await self._client().request(method, path, content=content, headers=headers, **more)
        return Reached(response.status_code, response.content, response.headers)

    async def _insist(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str], patience: float
    ) -> Reached:
        sign, pause, last = _Sign(), 0.05, ""
        while True:
            try:
                reached = await self._watched(method, path, content, headers, sign)
            except httpx.TransportError as error:
                last = reason(error)
            else:
                if reached.status not in _TRANSIENT and not self._is_away(reached):
                    self._has_answered |= reached.status < 300
                    return reached
                last = f"it answers with status {reached.status}"
                if reached.status == 429:  # it is there, and wants us to wait
                    sign.at = time.monotonic()
                    pause = max(pause, min(_seconds(reached.headers.get("retry-after")), 10.0))
            if time.monotonic() - sign.at >= patience:
                raise ServerLostError(
                    f"The server {self.address} has not answered for {patience:.0f} s ({last}); try again, or"
                    " ask who runs it."
                )
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _is_away(self, reached: Reached) -> bool:
        """Whether a proxy stands there without the server that was behind it before.

        Ray's does so while the server is stopped and started; the server's own 404 is JSON.
        """
        own = "json" in reached.headers.get("content-type", "")
        return self._has_answered and reached.status == 404 and not own

    async def _watched(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str], sign: _Sign
    ) -> Reached:
        """One try, given up when the server shows no life meanwhile: a cut line says nothing by itself."""
        asked = asyncio.ensure_future(self.once(method, path, content, headers))
        watch = asyncio.ensure_future(self._watch(sign))
        try:
            await asyncio.wait({asked, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                watch.result()  # raises
            return asked.result()
        finally:
            for each in (asked, watch):
                each.cancel()
            await asyncio.gather(asked, watch, return_exceptions=True)

    async def _watch(self, sign: _Sign) -> None:
        """Note signs of life. Raises httpx.TransportError when there is none."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            answer = await self._client().get("/healthz", timeout=SIGN_SECONDS)
            if answer.status_code >= 500:
                raise httpx.RemoteProtocolError(f"status {answer.status_code}")
            sign.at = time.monotonic()

    def _client(self) -> httpx.AsyncClient:
        """This process's connections."""
        found = self._clients.get(os.getpid())
        if found is None:
            host = httpx.URL(self.address).host
            context = ssl.create_default_context(cafile=self._authority) if self._authority else True
            found = self._clients[os.getpid()] = httpx.AsyncClient(
                base_url=self.address,
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                limits=httpx.Limits(keepalive_expiry=3.0),
                trust_env=not is_loopback(host),
                verify=context,
            )
        return found


def reason(error: httpx.TransportError) -> str:
    """Why a server could not be reached, in a few words."""
    text = " ".join(_causes(error)).lower()
    if "certificate" in text or "ssl" in text:
        return "its certificate is not trusted"
    if "name or service" in text or "getaddrinfo" in text or "nodename" in text or "name resolution" in text:
        return "there is no computer of that name"
    if "refused" in text or "all connection attempts failed" in text:
        return "nothing listens there"
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer"
    return "the connection broke"


def _causes(error: BaseException | None) -> list[str]:
    found: list[str] = []
    while error is not None and len(found) < 10:
        found.append(str(error))
        error = error.__cause__ or error.__context__
    return found


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


_loops: dict[int, asyncio.AbstractEventLoop] = {}
_loops_lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """This process's loop for requests, on a thread of its own."""
    with _loops_lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="SPASegment requests", daemon=True).start()
        return loop


def run(work: Coroutine[Any, Any, Found], cancel: CancelToken | None = None) -> Found:
    """The result of work on this process's loop.

    Raises Cancelled when `cancel` is set, and the work's own errors.
    """
    return _result(work, cancel)


def _result(work: Coroutine[Any, Any, Found], cancel: CancelToken | None) -> Found:
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        while True:
            if cancel is not None and cancel.is_set():
                raise Cancelled("Cancelled; nothing was changed.")
            try:
                return future.result(None if cancel is None else _CANCEL_SECONDS)
            except FutureTimeout:
                if future.done():  # the work's own error
                    raise
    except FutureCancelled as error:
        raise Cancelled("Cancelled; nothing was changed.") from error
    finally:
        future.cancel()
