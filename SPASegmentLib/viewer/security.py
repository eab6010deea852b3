"""Who may talk to the viewer: a browser at one of its own addresses, with the token or its cookie."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from SPASegmentLib.service.addresses import is_loopback
from SPASegmentLib.viewer.options import EVERYWHERE, ViewerOptions

COOKIE = "spasegment-viewer"
PAGES = ("/", "/index.html")
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' {sockets}; font-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""The browser itself refuses whatever would leave for another place. Vue compiles its page in the browser."""

_HOST = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>\d{0,5}))?", re.ASCII
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Middleware of the web server: refuses foreign pages, foreign host names and requests without the token.

    Loopback asks for the token, too: every account of a computer reaches its loopback addresses.
    token: what a visitor must bring once. key: what the cookie holds from then on.
    """

    def __init__(
        self, options: ViewerOptions, token: str | None = None, *, port: int = 0, key: str | None = None
    ) -> None:
        """token, key: None for new ones. port: keeps apart the cookies of several viewers."""
        self.token = token or secrets.token_urlsafe(24)
        self._key = key or secrets.token_urlsafe(24)
        self._cookie = f"{COOKIE}-{port}"
        self._names = {options.host.lower()}
        self._everywhere = options.host in EVERYWHERE
        if self._everywhere:
            self._names.add(socket.gethostname().lower())

    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """For the web application's list of middlewares."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.answer(request, handler)

        return guarded

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request, or refuse it with 403."""
        if refusal := self._refusal(request):
            return web.Response(status=403, text=refusal, headers={"X-Content-Type-Options": "nosniff"})
        if request.path in PAGES and "token" in request.query:
            return self._welcome(request)
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            _protect(request, answer)
            raise
        if not response.prepared:
            _protect(request, response)
        return response

    def _refusal(self, request: web.Request) -> str:
        """Why a request is not answered, or nothing."""
        if not self._is_own(request.host):
            return "This viewer does not answer to that host name; open it at the address it printed."
        origin = request.headers.get("Origin")
        if origin is not None and _netloc(origin) != request.host.lower():
            return "This request came from another page; open the viewer at the address it printed."
        if "token" in request.query:
            is_known = _equal(request.query["token"], self.token)
        else:
            is_known = _equal(request.cookies.get(self._cookie, ""), self._key)
        if is_known:
            return ""
        return "A token is needed; open the viewer at the whole address it printed, token included."

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this server; no page elsewhere can take one of these names.

        A server that listens everywhere has addresses it cannot know: to it any address is its own.
        """
        name = _host_name(host)
        return is_loopback(name) or name in self._names or (self._everywhere and _is_address(name))

    def _welcome(self, request: web.Request) -> web.StreamResponse:
        """Keep a cookie in place of the token and take the token out of the address."""
        response = web.Response(status=302, headers={"Location": "/index.html"})
        response.set_cookie(self._cookie, self._key, httponly=True, samesite="Strict", path="/")
        _protect(request, response)
        return response


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _host_name(host: str) -> str:
    """The name in a Host header, in lower case; nothing where it is anything else than NAME[:PORT]."""
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > 65535:
        return ""
    return (found["six"] or found["name"]).lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _protect(request: web.Request, response: web.StreamResponse) -> None:
    sockets = f"ws://{request.host} wss://{request.host}"
    response.headers.setdefault("Content-Security-Policy", POLICY.format(sockets=sockets))
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault(
        "Cache-Control", "no-store" if request.path.startswith("/api") else "no-cache"
    )
