"""The server's paths over HTTP (FastAPI). docs/service.md is their reference."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable
from dataclasses import asdict
from typing import Any, TypeVar

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from SPASegmentLib import __version__
from SPASegmentLib.errors import Cancelled, SPASegmentError
from SPASegmentLib.profiles.learning import HasMixture
from SPASegmentLib.service.codec import encode_mixture
from SPASegmentLib.service.server.core import ServerCore
from SPASegmentLib.service.server.keys import User
from SPASegmentLib.service.server.refusals import RefusedError
from SPASegmentLib.service.wire import MEDIA_TYPE, PROTOCOL, WireError, compress

logger = logging.getLogger(__name__)

BODY_SECONDS = 60.0
"""A body that takes longer to arrive is given up."""
CLIENT_GONE = 499
Found = TypeVar("Found")


def build_app(core: ServerCore) -> FastAPI:
    """The application of a server."""
    app = FastAPI(
        title="SPASegment",
        version=__version__,
        summary="Proposals for interactive segmentation.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(_Watch, core=core)
    _add_answers_of_errors(app)
    _add_state(app, core)
    _add_work(app, core)
    return app


def _add_state(app: FastAPI, core: ServerCore) -> None:
    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Whether the process answers."""
        return "alive\n"

    @app.get("/readyz", response_class=PlainTextResponse)
    async def readyz() -> str:
        """Whether proposals can be computed: the last few seconds' answers prove it, or a small one does."""
        await core.check(within=30.0)
        return "ready\n"

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """What Prometheus reads."""
        core.user(request.headers.get("authorization"))
        return Response(core.measures.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """The models there are."""
        core.user(request.headers.get("authorization"))
        return {
            "protocol": PROTOCOL,
            "version": __version__,
            "models": [asdict(engine.model) for engine in core.engines.values()],
        }

    @app.get("/v1/models/{model}/mixture")
    async def mixture(request: Request, model: str) -> Response:
        """The mixture of a model (hash) without image and interaction, which a new profile starts from."""
        user = core.user(request.headers.get("authorization"))
        engine = core.engine(model)
        if not isinstance(engine, HasMixture):
            raise RefusedError(404, "This model has no mixture.", "ModelError")
        found = await core.queue.run(user.name, lambda token: engine.base_mixture())
        return Response(compress(encode_mixture(found)), media_type=MEDIA_TYPE)


def _add_work(app: FastAPI, core: ServerCore) -> None:
    @app.put("/v1/images/{identity}", status_code=204)
    async def image(request: Request, identity: str) -> Response:
        """Send a slice ahead of the requests on it; identity: the SHA-256 of its bytes."""
        user = core.user(request.headers.get("authorization"))
        if not re.fullmatch("[0-9a-f]{64}", identity):
            raise RefusedError(400, "A slice is named by the SHA-256 of its bytes, 64 hexadecimal digits.")
        with core.quotas.request(user):
            body = await _body(request, core, user)
            await asyncio.to_thread(core.keep, user, identity, body)
        return Response(status_code=204)

    @app.post("/v1/propose")
    async def propose(request: Request) -> Response:
        """Answer a request with a proposal."""
        user = core.user(request.headers.get("authorization"))
        with core.quotas.request(user):
            body = await _body(request, core, user)
            prepared = await asyncio.to_thread(core.prepare, user, body)
            del body
            answer = await _unless_gone(request, core.answer(user, prepared))
        return Response(answer, media_type=MEDIA_TYPE)


async def _body(request: Request, core: ServerCore, user: User) -> bytes:
    """The body, within the limits. Raises RefusedError (408, 411, 413, 429)."""
    most = core.options.largest_sent
    stated = request.headers.get("content-length")
    if stated is not None and stated.isdecimal() and int(stated) > most:
        raise _too_large(most)
    parts = bytearray()
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for part in request.stream():
                parts += part
                if len(parts) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise RefusedError(408, "The body took too long to arrive.") from None
    core.quotas.body(user, len(parts))
    core.measures.received(len(parts))
    return bytes(parts)


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, f"The body is larger than the {most} bytes that are taken.", "WireError")


async def _unless_gone(request: Request, work: Awaitable[Found]) -> Found:
    """The work's result; it is cancelled when the client hangs up."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RefusedError(CLIENT_GONE, "The client hung up.")
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _add_answers_of_errors(app: FastAPI) -> None:
    """Every error is one sentence and a kind, in JSON."""

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return _problem(error.status, error.sentence, error.kind, error.retry_after)

    @app.exception_handler(WireError)
    async def unreadable(request: Request, error: WireError) -> Response:
        return _problem(400, str(error), "WireError")

    @app.exception_handler(Cancelled)
    async def cancelled(request: Request, error: Cancelled) -> Response:
        return _problem(CLIENT_GONE, str(error), "Cancelled")

    @app.exception_handler(SPASegmentError)
    async def declined(request: Request, error: SPASegmentError) -> Response:
        return _problem(422, str(error), type(error).__name__)

    @app.exception_handler(HTTPException)
    async def no_such_path(request: Request, error: HTTPException) -> Response:
        sentence = f"This server speaks version {PROTOCOL} of the protocol, which has no such path or method."
        return _problem(error.status_code, sentence, "VersionError")


def _problem(status: int, sentence: str, kind: str, retry_after: float | None = None) -> Response:
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:.3f}"}
    return JSONResponse({"problem": sentence, "kind": kind}, status, headers)


class _Watch:
    """Counts and logs each request: path's kind, status, seconds. Nothing of what was in it."""

    def __init__(self, app: ASGIApp, core: ServerCore) -> None:
        self._app, self._core = app, core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            # Its text may hold what was sent; where it happened is enough to look for the cause.
            logger.error("%s at %s", type(error).__name__, _place(error))
            if status:
                raise
            sentence = "The server failed at this; whoever runs it finds more in its log."
            await _problem(500, sentence, "Failure")(scope, receive, sending)
        seconds = time.perf_counter() - started
        path = getattr(scope.get("route"), "path", "other")
        self._core.measures.answered(path, status or CLIENT_GONE, seconds)
        logger.info("%s %s %d %.3f s", scope["method"], path, status or CLIENT_GONE, seconds)


def _place(error: BaseException) -> str:
    """File and line where an error arose."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
