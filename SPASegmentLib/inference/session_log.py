"""The log of an interaction: small JSON without the image, from which the session replays."""

from __future__ import annotations

import base64
import hashlib
import logging
import weakref
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import CancelToken, Carried, Engine, Proposal, UsualArea
from SPASegmentLib.inference.session import Done, Session, Step

logger = logging.getLogger(__name__)


class _LogRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PointRecord(_LogRecord):
    """A point in slice pixels. proposal: SHA-256 of the masks that followed, None while pending."""

    kind: Literal["point"] = "point"
    row: float = Field(allow_inf_nan=False)
    col: float = Field(allow_inf_nan=False)
    positive: bool
    size_mm: float | None = Field(None, gt=0, allow_inf_nan=False)
    proposal: str | None = None


class PickRecord(_LogRecord):
    """A picked or taken candidate, counted from 0."""

    kind: Literal["pick", "take"]
    candidate: int = Field(ge=0)
    proposal: str | None = None


class PlainRecord(_LogRecord):
    """None of these, the recommendation kept, or an approval."""

    kind: Literal["none", "keep", "approve"]
    proposal: str | None = None


StepRecord = Annotated[PointRecord | PickRecord | PlainRecord, Field(discriminator="kind")]


class ModelRecord(_LogRecord):
    """The model that answered."""

    name: str
    hash: str


class UsualAreaRecord(_LogRecord):
    """`UsualArea`."""

    log_mm2: float = Field(allow_inf_nan=False)
    deviation: float = Field(gt=0, allow_inf_nan=False)


class SessionLog(_LogRecord):
    """A whole interaction. image: content hash of the slice (its pixels are not kept). carried: the outline
    it began from, compressed bits in base 64, or None. goes_on: whether that is the slice's own."""

    format: Literal["spasegment-session"] = "spasegment-session"
    version: Literal[1] = 1
    model: ModelRecord
    image: str
    shape: tuple[int, int]
    random_seed: int = Field(ge=0)
    learn: bool
    n_samples: int | None
    log_prior: tuple[float, ...] | None
    usual_area: UsualAreaRecord | None = None
    carried: str | None = None
    goes_on: bool = False
    steps: tuple[StepRecord, ...]
    undone: tuple[StepRecord, ...] = ()
    pending: StepRecord | None = None


def log_of(session: Session) -> SessionLog:
    """The log of a session as it stands: its steps, what redo would bring back, and what is pending."""
    prior, area = session.log_prior, session.usual_area
    return SessionLog(
        model=ModelRecord(name=session.model.name, hash=session.model.hash),
        image=session.image.key,
        shape=session.image.shape,
        random_seed=session.random_seed,
        learn=session.learn,
        n_samples=session.n_samples,
        log_prior=None if prior is None else tuple(float(v) for v in prior),
        usual_area=None if area is None else UsualAreaRecord(log_mm2=area.log_mm2, deviation=area.deviation),
        carried=None if session.carried is None else _packed(session.carried.mask),
        goes_on=session.goes_on,
        steps=tuple(_record(done) for done in session.done),
        undone=tuple(_record(done) for done in session.undone),
        pending=_record(Done(session.pending, None)) if session.pending else None,
    )


def replay(log: SessionLog, image: SliceImage, engine: Engine, cancel: CancelToken | None = None) -> Session:
    """Compute a session again from its log.

    Raises InputError where the slice or the model is another one, StepError where the steps cannot have
    happened, Cancelled when `cancel` is set. On one machine every mask is the same; where another machine's
    arithmetic gives other masks, a warning is logged and the session holds what was computed now.
    """
    if image.key != log.image:
        raise InputError("This log belongs to another slice; open the slice it was made on.")
    if engine.model.hash != log.model.hash:
        raise InputError(
            f'This log was made with the model "{log.model.name}"; load that model to replay it.'
        )
    area = log.usual_area
    session = Session.start(
        image,
        engine.model,
        log_prior=None if log.log_prior is None else np.array(log.log_prior),
        usual_area=None if area is None else UsualArea(area.log_mm2, area.deviation),
        learn=log.learn,
        random_seed=log.random_seed,
        n_samples=log.n_samples,
    )
    if log.carried is not None:
        carried = Carried(_unpacked(log.carried, image.shape))
        session = replace(session, carried=carried, goes_on=log.goes_on)
    session = _replay_steps(session, log.steps, engine, cancel)
    session = _replay_steps(session, reversed(log.undone), engine, cancel)
    for _ in log.undone:
        session = session.undo()
    return _apply(session, log.pending) if log.pending else session


def _replay_steps(
    session: Session, records: Iterable[StepRecord], engine: Engine, cancel: CancelToken | None
) -> Session:
    for record in records:
        session = _apply(session, record).advance(engine, cancel)
        if record.proposal is not None and record.proposal != _digest(session.done[-1].proposal):
            logger.warning("Step %d replays to masks that differ from the logged ones.", len(session.done))
    return session


def _apply(session: Session, record: StepRecord) -> Session:
    """The step of a record, done."""
    if isinstance(record, PointRecord):
        return session.add_point(record.row, record.col, positive=record.positive, size_mm=record.size_mm)
    if isinstance(record, PickRecord):
        return session.pick(record.candidate) if record.kind == "pick" else session.take(record.candidate)
    return {"none": session.none_of_these, "keep": session.keep, "approve": session.approve}[record.kind]()


def _record(done: Done) -> StepRecord:
    step: Step = done.step
    proposal = _digest(done.proposal)
    if step.point is not None:
        point = step.point
        return PointRecord(
            row=point.row,
            col=point.col,
            positive=point.positive,
            size_mm=point.size_mm,
            proposal=proposal,
        )
    if step.kind == "pick" or step.kind == "take":
        return PickRecord(kind=step.kind, candidate=step.candidate or 0, proposal=proposal)
    if step.kind == "none" or step.kind == "keep" or step.kind == "approve":
        return PlainRecord(kind=step.kind, proposal=proposal)
    raise AssertionError(f"step of unknown kind {step.kind}")


def _packed(mask: np.ndarray) -> str:
    """(H, W), an outline as 0 and 1."""
    return base64.b64encode(zlib.compress(np.packbits(mask >= 0.5).tobytes())).decode("ascii")


def _unpacked(text: str, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) float32. Raises InputError for what `_packed` did not make of such a slice; unpacks no more."""
    count = shape[0] * shape[1]
    try:
        bits = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), count // 8 + 2)
    except (ValueError, zlib.error):
        bits = b""
    if len(bits) != (count + 7) // 8:
        raise InputError("The log's carried mask is damaged; begin the slice anew.")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).reshape(shape).astype(np.float32)


def _digest(proposal: Proposal | None) -> str | None:
    """SHA-256 of a proposal's recommendation and candidates."""
    if proposal is None:
        return None
    if proposal not in _digests:
        _digests[proposal] = _digest_of(proposal)
    return _digests[proposal]


_digests: weakref.WeakKeyDictionary[Proposal, str] = weakref.WeakKeyDictionary()
"""A log may be written after every step; what was hashed once is not hashed again."""


def _digest_of(proposal: Proposal) -> str:
    digest = hashlib.sha256()
    for mask in (proposal.recommendation, *(c.mask for c in proposal.candidates)):
        digest.update(repr(mask.shape).encode())
        digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()
