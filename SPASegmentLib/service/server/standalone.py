"""The server as one process, without Ray (uvicorn)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence

import uvicorn

from SPASegmentLib.inference.local import load_engine
from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.service.server.app import build_app
from SPASegmentLib.service.server.connections import GuardedProtocol, allow_connections
from SPASegmentLib.service.server.core import ServerCore
from SPASegmentLib.service.server.listening import address_of, listen
from SPASegmentLib.service.server.options import ServeOptions

DRAINING_SECONDS = 30
"""At its end a server answers what it has begun for so long."""


def load_engines(models: Sequence[str], device: str) -> dict[str, Engine]:
    """Engines by the hash of their model. Raises InputError and CheckpointError."""
    engines: dict[str, Engine] = {}
    for name in models:
        engine = load_engine(name, device)
        engines[engine.model.hash] = engine
    return engines


def serve_alone(options: ServeOptions, say: Callable[[str], None]) -> None:
    """Serve until interrupted. say: prints a line. Raises InputError where it cannot listen."""
    options.check()
    allow_connections()
    listening = listen(options.host, options.port)
    core = ServerCore(options, load_engines(options.models, options.device))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = uvicorn.Config(
        build_app(core),
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.private_key,
        timeout_graceful_shutdown=DRAINING_SECONDS,
        http=GuardedProtocol,
    )
    say(f"SPASegment server: {address_of(listening, options.scheme)}")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listening])
    finally:
        core.close()
