"""The engine a user asked for: a server's, with the local model in reserve."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from SPASegmentLib.errors import ServerError, SPASegmentError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import CancelToken, Engine, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.service.choice import ServerChoice
from SPASegmentLib.service.client import RemoteEngine, ServerLostError, connect

logger = logging.getLogger(__name__)

AUTHORITY_VARIABLE = "SPASEGMENT_SERVER_CA"
INSECURE_VARIABLE = "SPASEGMENT_SERVER_INSECURE"
AGAIN_SECONDS = 30.0
"""How long the local model stands in before the server is tried again."""


class StandInEngine:
    """A server's engine, in whose place the local model answers while there is no server.

    Every proposal holds all that the next one depends on, so a session goes on with either.
    """

    def __init__(self, remote: RemoteEngine, load: Callable[[], Engine]) -> None:
        """load: the local model's engine, called when it is first needed."""
        self._remote, self._load = remote, load
        self._local: Engine | None = None
        self._lost_at = float("-inf")

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
        return time.monotonic() - self._lost_at < AGAIN_SECONDS

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """See `Engine.propose`. What was computed here says so in its warnings."""
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
    """The local model where there was no server from the start; every proposal says so."""

    def __init__(self, local: Engine, sentence: str) -> None:
        self._local, self._sentence = local, sentence

    @property
    def model(self) -> ModelInfo:
        """The model that answers."""
        return self._local.model

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(getattr(self._local, "device", "this computer"))

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """See `Engine.propose`."""
        answer = self._local.propose(request, cancel)
        return replace(answer, warnings=(*answer.warnings, self._sentence))

    def base_mixture(self) -> object:
        """See `LocalEngine.base_mixture`."""
        return self._local.base_mixture()  # type: ignore[attr-defined]


def open_engine(server: ServerChoice, model: str | Path, load: Callable[[], Engine]) -> Engine:
    """The server's engine, or the local one where the server is lost from the start, as its proposals say.

    load: the local model's engine. Raises ServerError and what `load` raises.
    """
    try:
        remote = connect(
            server.address,
            server.key,
            model,
            patience=server.patience,
            insecure=bool(os.environ.get(INSECURE_VARIABLE)),
            authority=os.environ.get(AUTHORITY_VARIABLE) or None,
        )
    except ServerLostError as lost:
        if not server.fall_back:
            raise
        try:
            local = load()
        except ImportError as error:
            raise ServerError(f"{_without_stop(lost)}; this computer has no model to go on with.") from error
        sentence = f"The server {server.address} does not answer, so this computer computes."
        logger.info("%s", sentence)
        return LocalInsteadEngine(local, sentence)
    return StandInEngine(remote, load) if server.fall_back else remote


def _without_stop(error: Exception) -> str:
    return str(error).rstrip(".")
