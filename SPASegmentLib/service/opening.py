"""The engine a user asked for: a server's, with the local model in reserve."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from SPASegmentLib.errors import ServerError, SPASegmentError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import CancelToken, Engine, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.service.choice import INSECURE_VARIABLE, ServerChoice
from SPASegmentLib.service.client import (
    RemoteEngine,
    ServerLostError,
    connect,
    shows_life,
    try_connection,
)

logger = logging.getLogger(__name__)

AUTHORITY_VARIABLE = "SPASEGMENT_SERVER_CA"
AGAIN_SECONDS = 30.0
"""How long the local model stands in before the server is tried again."""


BRIEF_SECONDS = 1.0
"""How long a server that has just shown life is waited for."""


class StandInEngine:
    """A server's engine, in whose place the local model answers while there is no server.

    Every proposal holds all that the next one depends on, so a session goes on with either.
    """

    def __init__(self, remote: RemoteEngine, load: Callable[[], Engine]) -> None:
        """load: the local model's engine, called when it is first needed."""
        self._remote, self._load = remote, load
        self._local: Engine | None = None
        self._lost_at: float | None = None

    @property
    def model(self) -> ModelInfo:
        """The model that answers, wherever."""
        return self._remote.model

    @property
    def device(self) -> str:
        """Where the next proposal is computed."""
        local = self._local if self._away else None
        return self._remote.device if local is None else str(getattr(local, "device", "this computer"))

    @property
    def _away(self) -> bool:
        return self._lost_at is not None

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """See `Engine.propose`. What was computed here says so in its warnings."""
        if self._lost_at is not None and time.monotonic() - self._lost_at >= AGAIN_SECONDS:
            self._lost_at = None if self._remote.is_back() else time.monotonic()
        if not self._away:
            try:
                return self._remote.propose(request, cancel)
            except ServerLostError as error:
                self._stand_in(error)
                self._lost_at = time.monotonic()
        assert self._local is not None
        answer = self._local.propose(request, cancel)
        return replace(answer, warnings=(*answer.warnings, self._sentence()))

    def warm(self, image: SliceImage, request: ProposalRequest, cancel: CancelToken | None = None) -> None:
        """See `RemoteEngine.warm`."""
        if not self._away:
            self._remote.warm(image, request, cancel)

    def base_mixture(self) -> object:
        """See `LocalEngine.base_mixture`."""
        if self._away and self._local is not None:
            return self._local.base_mixture()  # type: ignore[attr-defined]
        return self._remote.base_mixture()

    def _stand_in(self, lost: ServerLostError) -> None:
        """Load the local model. Raises the server's error where there is none that gives the same answers."""
        if self._local is not None:
            return
        try:
            local = self._load()
        except (SPASegmentError, ImportError) as error:
            raise ServerError(f"{_without_stop(lost)}; this computer has no model to go on with.") from error
        if local.model.hash != self.model.hash:
            raise ServerError(
                f"{_without_stop(lost)}; the model {local.model.name} of this computer is another than the "
                "server's, so it cannot go on."
            ) from lost
        logger.info("The server %s is lost; computing here.", self._remote.address)
        self._local = local

    def _sentence(self) -> str:
        return f"The server {self._remote.address} does not answer, so this was computed on this computer."


class LocalInsteadEngine:
    """The local model where there was no server from the start, until there is; every proposal says so."""

    def __init__(self, local: Engine, reach: Callable[[], RemoteEngine | None], address: str) -> None:
        """reach: the server's engine, or None while there is no server. Raises ServerError."""
        self._local, self._reach = local, reach
        self._sentence = f"The server {address} does not answer, so this computer computes."
        self._tried_at = time.monotonic()
        self._found: Engine | None = None

    @property
    def model(self) -> ModelInfo:
        """The model that answers."""
        return self._local.model

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(getattr(self._found or self._local, "device", "this computer"))

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """See `Engine.propose`."""
        if self._found is None and time.monotonic() - self._tried_at >= AGAIN_SECONDS:
            self._try_again()
        if self._found is not None:
            return self._found.propose(request, cancel)
        answer = self._local.propose(request, cancel)
        return replace(answer, warnings=(*answer.warnings, self._sentence))

    def warm(self, image: SliceImage, request: ProposalRequest, cancel: CancelToken | None = None) -> None:
        """See `LocalEngine.warm`."""
        warm = getattr(self._found or self._local, "warm", None)
        if warm is not None:
            warm(image, request, cancel)

    def base_mixture(self) -> object:
        """See `LocalEngine.base_mixture`."""
        return self._local.base_mixture()  # type: ignore[attr-defined]

    def _try_again(self) -> None:
        self._tried_at = time.monotonic()
        try:
            remote = self._reach()
        except ServerError as error:
            self._sentence = f"{_without_stop(error)}; this computer computes."
            return
        if remote is None:
            return
        if remote.model.hash != self.model.hash:
            self._sentence = "The server's model is another than this computer's, which computes."
            return
        self._found = StandInEngine(remote, lambda: self._local)


def open_engine(
    server: ServerChoice,
    model: str | Path,
    load: Callable[[], Engine],
    cancel: CancelToken | None = None,
) -> Engine:
    """The server's engine, or the local one where the server is lost from the start, as its proposals say.

    load: the local model's engine. Raises ServerError, what `load` raises, Cancelled when `cancel` is set.
    """
    try:
        remote = connect(
            server.address, server.key, model, patience=server.patience, cancel=cancel, **_trust()
        )
    except ServerLostError as lost:
        if not server.fall_back:
            raise
        try:
            local = load()
        except ImportError as error:
            raise ServerError(f"{_without_stop(lost)}; this computer has no model to go on with.") from error
        logger.info("The server %s does not answer; computing here.", server.address)

        def reach() -> RemoteEngine | None:
            if not shows_life(server.address, **_trust()):
                return None
            return connect(server.address, server.key, model, patience=BRIEF_SECONDS, **_trust())

        return LocalInsteadEngine(local, reach, server.address)
    return StandInEngine(remote, load) if server.fall_back else remote


def try_server(server: ServerChoice, model: str | Path) -> str:
    """A sentence that says that a server and a model of it can be used. Raises ServerError with why not."""
    return try_connection(server.address, server.key, model, **_trust())


def _trust() -> dict[str, Any]:
    """What the environment says of addresses without https and of certificates."""
    return {
        "insecure": bool(os.environ.get(INSECURE_VARIABLE)),
        "authority": os.environ.get(AUTHORITY_VARIABLE) or None,
    }


def _without_stop(error: Exception) -> str:
    return str(error).rstrip(".")
