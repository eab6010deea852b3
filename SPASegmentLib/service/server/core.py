"""What a server holds: engines, users, slices, the thread that computes. One of these per process."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.messages import Engine, Proposal, ProposalRequest
from SPASegmentLib.service.codec import (
    Asked,
    decode_image,
    decode_request,
    encode_proposal,
    identity,
)
from SPASegmentLib.service.server.computing import FairQueue
from SPASegmentLib.service.server.images import ImageStore
from SPASegmentLib.service.server.keys import Keys, User
from SPASegmentLib.service.server.measures import Measures
from SPASegmentLib.service.server.options import ServeOptions
from SPASegmentLib.service.server.quotas import Quotas
from SPASegmentLib.service.server.refusals import RefusedError
from SPASegmentLib.service.wire import WireError, compress, decompress

logger = logging.getLogger(__name__)

CHECKER = "the server's own check"
"""The user on whose turn the small proposals of health checks are computed."""


@dataclass(frozen=True, eq=False)
class PreparedRequest:
    """A request that can be computed."""

    engine: Engine
    request: ProposalRequest


class ServerCore:
    """Answers requests, whatever they come over."""

    def __init__(self, options: ServeOptions, engines: Mapping[str, Engine]) -> None:
        """engines: by the hash of their model. Raises InputError for keys that cannot be read."""
        self.options, self.engines = options, dict(engines)
        self.keys, self.quotas = Keys(options.keys), Quotas()
        self.images = ImageStore(options.image_bytes, options.idle_seconds)
        self.queue = FairQueue(options.waiting)
        self.measures = Measures(
            lambda: self.queue.waiting, lambda: len(self.images), lambda: self.images.bytes_held
        )
        self._answered_at, self._checking = float("-inf"), asyncio.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._sweeping, name="SPASegment sweeping", daemon=True).start()

    def close(self) -> None:
        """Compute nothing more, forget all slices."""
        self._closed.set()
        self.queue.close()

    def user(self, authorization: str | None) -> User:
        """Whose key a header holds. Raises RefusedError (401)."""
        scheme, _, secret = (authorization or "").partition(" ")
        user = self.keys.user(secret.strip() if scheme.lower() == "bearer" else None)
        if user is None:
            raise RefusedError(401, "The server does not know this key; ask who runs it for one.", "KeyError")
        return user

    def keep(self, user: User, named: str, body: bytes) -> None:
        """Keep a slice that was sent. Raises WireError where it is none, or not the one that was named."""
        self._keep(user, named, decompress(body, self.options.largest_body))

    def prepare(self, user: User, body: bytes) -> PreparedRequest:
        """A request's body, read and checked.

        Raises WireError, or RefusedError where the model (404) or the slice (409) is not here.
        """
        asked = decode_request(decompress(body, self.options.largest_body))
        engine = self.engine(asked.model)
        image = self._image(user, asked)
        return PreparedRequest(engine, asked.request(image, engine.model.components))

    def engine(self, model: str) -> Engine:
        """The engine of a model's hash. Raises RefusedError (404)."""
        engine = self.engines.get(model)
        if engine is None:
            names = ", ".join(e.model.name for e in self.engines.values())
            raise RefusedError(
                404, f"The server has not the model that was asked; it has {names}.", "ModelError"
            )
        return engine

    async def answer(self, user: User, prepared: PreparedRequest) -> bytes:
        """A proposal's bytes. Cancelling the call stops the computation. Raises what the engine raises."""

        def job(token: threading.Event) -> Proposal:
            return prepared.engine.propose(prepared.request, token)

        with self.measures.computing():
            proposal = await self.queue.run(user.name, job)
        self._answered_at = time.monotonic()
        return await asyncio.to_thread(lambda: compress(encode_proposal(proposal)))

    async def check(self, within: float = 0.0) -> None:
        """Compute a small proposal with every model. Raises SPASegmentError where one cannot.

        within: an answer in so many seconds before now is proof enough.
        """
        if not self.queue.alive:
            raise SPASegmentError("The thread that computes has ended; start the server again.")
        async with self._checking:  # many who ask at once have one proposal computed
            if time.monotonic() - self._answered_at >= within:
                await self._compute_small()

    async def _compute_small(self) -> None:
        for engine in self.engines.values():
            proposal = await self.queue.run(CHECKER, lambda token, e=engine: e.propose(_small(), token))  # type: ignore[misc]
            if not proposal.recommendation.any():
                raise SPASegmentError(
                    f"The model {engine.model.name} finds nothing on the slice of the check."
                )
        self._answered_at = time.monotonic()

    def _image(self, user: User, asked: Asked) -> SliceImage:
        if asked.slice is not None:
            return self._keep(user, asked.image, asked.slice)
        image = self.images.get(user.name, asked.image)
        if image is None:
            raise RefusedError(409, "The server has not this slice; send it again.", "ImageMissing")
        return image

    def _keep(self, user: User, named: str, data: bytes) -> SliceImage:
        if identity(data) != named:
            raise WireError("The slice is not the one that its SHA-256 names.")
        image = decode_image(data)
        self.images.put(user.name, named, image)
        return image

    def _sweeping(self) -> None:
        while not self._closed.wait(min(30.0, self.options.idle_seconds / 2)):
            self.images.sweep()


def _small() -> ProposalRequest:
    """A bright disc on a small slice."""
    rows, cols = np.mgrid[:48, :48]
    pixels = 0.1 + 0.6 * (np.hypot(rows - 24, cols - 24) < 9)
    return ProposalRequest(SliceImage(pixels.astype(np.float32)), (PointPrompt(24.0, 24.0),))
