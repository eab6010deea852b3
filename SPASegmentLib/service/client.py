"""An engine whose proposals a server computes. Needs no torch."""

from __future__ import annotations

import json
import weakref
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from SPASegmentLib import errors
from SPASegmentLib.errors import InputError, ProfileError, ServerError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import CancelToken, ModelInfo, Proposal, ProposalRequest
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.service.addresses import server_address
from SPASegmentLib.service.choice import PATIENCE
from SPASegmentLib.service.codec import (
    ModelWire,
    decode_mixture,
    decode_proposal,
    encode_image,
    encode_request,
    identity,
    without_words,
)
from SPASegmentLib.service.transport import Reached, ServerLostError, Transport, reason, run
from SPASegmentLib.service.wire import MEDIA_TYPE, PROTOCOL, WireError, compress, decompress

TRY_SECONDS = 4.0
"""How long a server may take to answer when it is tried."""
BACK_SECONDS = 1.0
"""How long a lost server that is back may take to show it."""
_REMEMBERED = 256
"""Slices of which this side remembers that the server has them."""


class ModelsAnswer(BaseModel):
    """What `/v1/models` says. Another protocol may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    protocol: int
    version: str
    models: Annotated[tuple[ModelWire, ...], Field(max_length=1000)]


class RemoteEngine:
    """One model on a server. Keeps nothing that the session does not hold; any number of threads may ask."""

    def __init__(self, transport: Transport, model: ModelInfo) -> None:
        """Use `connect` for a model by name."""
        self._transport, self._model = transport, model
        self._there: OrderedDict[str, None] = OrderedDict()
        self._identities: weakref.WeakKeyDictionary[SliceImage, str] = weakref.WeakKeyDictionary()

    @property
    def model(self) -> ModelInfo:
        """The model that answers."""
        return self._model

    @property
    def device(self) -> str:
        """Where proposals are computed, for people."""
        return f"server {httpx.URL(self._transport.address).host}"

    @property
    def address(self) -> str:
        """The server's address."""
        return self._transport.address

    def propose(self, request: ProposalRequest, cancel: CancelToken | None = None) -> Proposal:
        """See `Engine.propose`.

        Raises ServerLostError after so many seconds without a sign of life, ServerError where the server
        refuses, and Cancelled when `cancel` is set: the server then stops, too.
        """
        quiet = without_words(request)
        named = self._identity(request.image, quiet.image)
        with_slice = named not in self._there
        while True:
            sent = encode_image(quiet.image) if with_slice else None
            body = compress(encode_request(quiet, self._model.hash, named, sent))
            reached = self._transport.ask(
                "POST", "/v1/propose", content=body, headers=_headers(named), cancel=cancel
            )
            if reached.status == 409 and not with_slice:
                with_slice = True
                continue
            break
        check(reached, self._transport.address)
        self._remember(named)
        try:
            answer = decode_proposal(decompress(reached.content), request.image.shape, self._model.components)
        except WireError as error:
            raise ServerError(f"The server's answer cannot be read ({error}); try again.") from error
        return replace(answer, warnings=(*request.image.warnings, *answer.warnings))

    def warm(self, image: SliceImage, request: ProposalRequest, cancel: CancelToken | None = None) -> None:
        """Send a slice ahead of its request. Raises what `propose` raises."""
        quiet = without_words(replace(request, image=image)).image
        named = self._identity(image, quiet)
        if named in self._there:
            return
        reached = self._transport.ask(
            "PUT",
            f"/v1/images/{named}",
            content=compress(encode_image(quiet)),
            headers=_headers(named),
            cancel=cancel,
        )
        check(reached, self._transport.address)
        self._remember(named)

    def base_mixture(self) -> Mixture:
        """The model's mixture without image and interaction. Raises ServerError."""
        reached = self._transport.ask("GET", f"/v1/models/{self._model.hash}/mixture")
        check(reached, self._transport.address)
        try:
            return decode_mixture(decompress(reached.content))
        except WireError as error:
            raise ServerError(f"The server's answer cannot be read ({error}); try again.") from error

    def is_back(self) -> bool:
        """Whether the server shows life within a second, after it was lost."""
        return _shows_life(self._transport)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _identity(self, image: SliceImage, quiet: SliceImage) -> str:
        found = self._identities.get(image)
        if found is None:
            found = self._identities[image] = identity(encode_image(quiet))
        return found

    def _remember(self, named: str) -> None:
        self._there[named] = None
        self._there.move_to_end(named)
        while len(self._there) > _REMEMBERED:
            self._there.popitem(last=False)


def connect(
    address: str,
    key: str | None = None,
    model: str | Path | None = None,
    *,
    patience: float = PATIENCE,
    insecure: bool = False,
    authority: str | None = None,
    cancel: CancelToken | None = None,
) -> RemoteEngine:
    """The engine of a model on a server.

    model: its name, or a checkpoint's path for its name; None for the server's first. patience: seconds
    without a sign of life before the server counts as lost. authority: file of the certificate authority.
    Raises ServerLostError where there is no server, ServerError where it does not let us in, is of another
    version or has not the model, Cancelled when `cancel` is set.
    """
    transport = Transport(server_address(address, insecure=insecure), key, patience, authority)
    reached = transport.ask("GET", "/v1/models", cancel=cancel)
    return RemoteEngine(transport, _chosen(_models(reached, transport.address), model))


def try_connection(
    address: str,
    key: str | None = None,
    model: str | Path | None = None,
    *,
    insecure: bool = False,
    authority: str | None = None,
) -> str:
    """Try a server once. Returns a sentence that says what works; raises ServerError with what does not."""
    transport = Transport(server_address(address, insecure=insecure), key, 0.0, authority)
    try:
        reached = run(transport.once("GET", "/v1/models", seconds=TRY_SECONDS))
    except httpx.TransportError as error:
        raise ServerError(
            f"The server {transport.address} cannot be reached: {reason(error)}; check the address."
        ) from error
    finally:
        transport.close()
    found = _chosen(_models(reached, transport.address), model)
    return f"Connected to {transport.address}, which computes with the model {found.name}."


def shows_life(address: str, *, insecure: bool = False, authority: str | None = None) -> bool:
    """Whether there is a server at an address, asked once and for a second. Raises ServerError for none."""
    transport = Transport(server_address(address, insecure=insecure), None, 0.0, authority)
    try:
        return _shows_life(transport)
    finally:
        transport.close()


def _shows_life(transport: Transport) -> bool:
    try:
        return run(transport.once("GET", "/healthz", seconds=BACK_SECONDS)).status == 200
    except httpx.TransportError:
        return False


def check(reached: Reached, address: str) -> None:
    """Raise what a server's refusal says, as the error that it is; nothing for an answer."""
    if 200 <= reached.status < 300:
        return
    problem, kind = _problem(reached)
    if reached.status == 401:
        raise ServerError(f"The server {address} does not know this key; check it, or ask for one.")
    own = getattr(errors, kind, None)
    if isinstance(own, type) and issubclass(own, (InputError, ProfileError)):
        raise own(problem)
    if problem:
        raise ServerError(problem)
    raise ServerError(
        f"{address} answered with status {reached.status} and is no SPASegment server, or one that is just "
        "being started."
    )


def _problem(reached: Reached) -> tuple[str, str]:
    """The sentence and the kind of a refusal; two empty texts where it is none of ours."""
    try:
        found: Any = json.loads(reached.content[:10_000])
        return str(found["problem"])[:500], str(found["kind"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "", ""


def _models(reached: Reached, address: str) -> ModelsAnswer:
    """What a server says it has. Raises ServerError."""
    check(reached, address)
    try:
        spoken = json.loads(reached.content)["protocol"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ServerError(f"{address} is no SPASegment server; check the address.") from None
    if spoken != PROTOCOL:
        raise ServerError(
            f"The server {address} speaks protocol {str(spoken)[:5]} and this program {PROTOCOL}; bring "
            "SPASegment to the same version on both."
        )
    try:
        return ModelsAnswer.model_validate_json(reached.content)
    except ValidationError:
        raise ServerError(f"The server {address} says what it has in a way that cannot be read.") from None


def _chosen(answer: ModelsAnswer, model: str | Path | None) -> ModelInfo:
    wanted = None if model is None else Path(model).stem if Path(model).suffix else str(model)
    for found in answer.models:
        if wanted in (None, found.name, found.hash):
            return ModelInfo(**found.model_dump())
    names = ", ".join(found.name for found in answer.models) or "none"
    raise ServerError(f"The server has no model {wanted}; it has {names}.")


def _headers(named: str) -> dict[str, str]:
    """Requests on one slice go to one replica where there are several: it has the slice's embedding."""
    return {"content-type": MEDIA_TYPE, "x-session-id": named}


__all__ = ["RemoteEngine", "ServerLostError", "check", "connect", "shows_life", "try_connection"]
