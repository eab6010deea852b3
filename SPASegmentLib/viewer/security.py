"""Who may talk to the viewer: this computer only, or who holds the token."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from SPASegmentLib.viewer.options import ViewerOptions

COOKIE = "spasegment-viewer"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' {sockets}; font-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""The browser itself refuses whatever would leave for another place. Vue compiles its page in the browser."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Middleware of the web server: refuses foreign pages, strange host names and requests without the token.

    token: what a visitor must bring, or None where only this computer can reach the page.
    """

    def __init__(self, options: ViewerOptions, token: str | None = None) -> None:
        self._is_local = options.is_local
        self.token = token if token is not None or options.is_local else secrets.token_urlsafe(24)

    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """For the web application's list of middlewares."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.answer(request, handler)

        return guarded

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request, or refuse it with 403."""
        if refusal := self._refusal(request):
            return web.Response(status=403, text=refusal)
        given = request.query.get("token")
        if self.token is not None and given is not None and _equal(given, self.token):
            return self._welcome(request)
        response = await handler(request)
        if not response.prepared:
            _protect(request, response)
        return response

    def _refusal(self, request: web.Request) -> str:
        """Why a request is not answered, or nothing."""
        host = _name_of(f"//{request.host}")
        if self._is_local and host not in LOCAL_NAMES and not host.startswith("127."):
            return "This viewer answers only to its own computer; open it at the address it printed."
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return "This request came from another page; open the viewer at the address it printed."
        if self.token is None:
            return ""
        brought = request.query.get("token") or request.cookies.get(COOKIE, "")
        if not _equal(brought, self.token):
            return "A token is needed; open the viewer at the whole address it printed, token included."
        return ""

    def _welcome(self, request: web.Request) -> web.StreamResponse:
        """Keep the token in a cookie and take it out of the address."""
        rest = request.rel_url.without_query_params("token")
        response = web.Response(status=302, headers={"Location": str(rest)})
        response.set_cookie(COOKIE, self.token or "", httponly=True, samesite="Strict", path="/")
        _protect(request, response)
        return response


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _name_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
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
