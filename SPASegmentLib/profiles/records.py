"""What a profile file holds, piece by piece. Every piece is checked on reading, wherever the file is from.

A record holds no image, no name of a patient and no path: an image is known by a salted hash, a pick by what
was shown in words and areas.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
import uuid
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Annotated, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import Candidate, ModelInfo
from SPASegmentLib.network.mixture import Mixture

MAX_COMPONENTS = 256
MAX_DIMENSION = 4096
MAX_PICKS = 500
MAX_SHOWN = 32

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(timezone.utc)


def new_id() -> str:
    """A fresh identity, 32 hexadecimal digits."""
    return uuid.uuid4().hex


def image_identity(salt: str, image_key: str) -> str:
    """The salted hash an image is known by in a profile; nothing of the key can be read back from it."""
    return hmac.new(bytes.fromhex(salt), image_key.encode(), hashlib.sha256).hexdigest()[:32]


def shown_text(text: str) -> str:
    """Text of this project's own as a record takes it: one line, at most 200 letters."""
    text = "".join(" " if unicodedata.category(letter) in _HIDDEN else letter for letter in text)
    return text[:200]


def plain(text: str) -> str:
    """Text that is safe to show: normalised, one line, no control or invisible characters."""
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.category(letter) in _HIDDEN for letter in text):
        raise ValueError("control or invisible characters are not allowed")
    return text


Text = Annotated[str, StringConstraints(max_length=200), AfterValidator(plain)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(plain)
]
Identity = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{32}\z")]
Area = Annotated[float, Field(ge=0, le=1e9)]
Percent = Annotated[float, Field(ge=0, le=1e9)]
LogLikelihood = Annotated[float, Field(ge=-100, le=0)]
Intensity = Annotated[float, Field(ge=-1e9, le=1e9)]
Row = Annotated[tuple[LogLikelihood, ...], Field(max_length=MAX_COMPONENTS)]
"""(M,) log-likelihood over components; empty where an answer says nothing about them."""
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]


class StrictRecord(BaseModel):
    """Frozen, strict, with nothing in it that the schema does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelReference(StrictRecord):
    """The model a profile belongs to. hash: SHA-256 of its weights. configuration: one line about it.

    window: intensities it takes for 0 and 1; slices were cut in it, and so are recognised in it. None where
    it has none of its own, or an older version did not write it down.
    """

    name: Text
    hash: Annotated[str, StringConstraints(pattern=r"\A[0-9A-Za-z:_-]{1,128}\z")]
    components: Annotated[int, Field(ge=1, le=MAX_COMPONENTS)]
    configuration: Text = ""
    window: tuple[Intensity, Intensity] | None = None

    @classmethod
    def of(cls, info: ModelInfo, configuration: str = "") -> ModelReference:
        """From what an engine says of itself."""
        return cls(
            name=shown_text(info.name),
            hash=info.hash,
            components=info.components,
            configuration=shown_text(configuration),
            window=info.window,
        )


class Shown(StrictRecord):
    """A candidate as the user saw it, in words and areas (mm2, percent of the recommendation)."""

    words: Text
    kind: Text
    area_mm2: Area
    added_percent: Percent
    removed_percent: Percent
    support: Annotated[float, Field(ge=0, le=1)]

    @classmethod
    def of(cls, candidate: Candidate) -> Shown:
        """From a candidate; its mask is left behind."""
        d = candidate.description
        return cls(
            words=shown_text(d.name),
            kind=shown_text(d.kind),
            area_mm2=float(d.area_mm2),
            added_percent=float(d.added_percent),
            removed_percent=float(d.removed_percent),
            support=float(min(max(d.support, 0.0), 1.0)),
        )


class AnswerRecord(StrictRecord):
    """One answer: what was shown beside a recommendation of `recommended_mm2`, and which of it was picked.

    picked: index into `shown`, or None for "none of these". log_likelihood: (M,) or empty.
    """

    recommended_mm2: Area
    shown: Annotated[tuple[Shown, ...], Field(max_length=MAX_SHOWN)]
    picked: Annotated[int, Field(ge=0)] | None
    log_likelihood: Row = ()

    @model_validator(mode="after")
    def _picked_what_was_shown(self) -> AnswerRecord:
        if self.picked is not None and self.picked >= len(self.shown):
            raise ValueError("a pick names a candidate that was not shown")
        return self


class Click(StrictRecord):
    """A point the user placed, in slice pixels."""

    row: Coordinate
    col: Coordinate
    positive: bool = True

    @classmethod
    def of(cls, point: PointPrompt) -> Click:
        """From a point prompt."""
        return cls(row=float(point.row), col=float(point.col), positive=bool(point.positive))

    @property
    def point(self) -> PointPrompt:
        """As the engine takes it."""
        return PointPrompt(self.row, self.col, self.positive)


class SliceEvidence(StrictRecord):
    """What one approved slice taught.

    id: unique to this approval. image: salted hash of the slice (`image_identity`).
    outcome: whether the recommendation was approved or a candidate taken as it was.
    result: (M,) log-likelihood of the mask it ended in (`evidence.result_row`). Where it is known it alone
    counts: picks are the way there. approval: the same of the last step, of files that knew no `result`.
    beside: what was shown beside the approved recommendation and so turned down; None where not known.
    first_mm2: the first recommendation. consensus_mm2: what it would have been without a profile, or None
    where that is not known. seed: of the proposals. weight: below one only after blending.
    """

    id: Identity
    image: Identity
    date: AwareDatetime
    outcome: Literal["approved", "taken"]
    clicks: Annotated[tuple[Click, ...], Field(max_length=MAX_PICKS)] = ()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    picks: Annotated[tuple[AnswerRecord, ...], Field(max_length=MAX_PICKS)] = ()
    result: Row = ()
    approval: Row = ()
    beside: Annotated[tuple[Shown, ...], Field(max_length=MAX_SHOWN)] | None = None
    first_mm2: Area | None = None
    consensus_mm2: Area | None = None
    approved_mm2: Area | None = None
    weight: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def order(self) -> tuple[datetime, str]:
        """Sorts from old to new."""
        return (self.date, self.id)

    @property
    def can_be_replayed(self) -> bool:
        """Whether the log says enough to re-learn it on another model: where, and how large."""
        return bool(self.clicks) and bool(self.approved_mm2)

    def rows(self, components: int) -> np.ndarray:
        """(P, M) log-likelihoods that count: of the result, or where it is not known of all that was done."""
        rows = [self.result] if self.result else [*(p.log_likelihood for p in self.picks), self.approval]
        return np.array([row for row in rows if row], dtype=np.float64).reshape(-1, components)

    def fits(self, components: int) -> bool:
        """Whether every row is over that many components."""
        return all(len(row) in (0, components) for row in self._rows())

    def _rows(self) -> Iterable[Row]:
        yield self.result
        yield self.approval
        for pick in self.picks:
            yield pick.log_likelihood


Weights = Annotated[tuple[Annotated[float, Field(ge=-700, le=0)], ...], Field(max_length=MAX_COMPONENTS)]
Means = Annotated[
    tuple[Annotated[tuple[Coordinate, ...], Field(max_length=MAX_DIMENSION)], ...],
    Field(max_length=MAX_COMPONENTS),
]
Variances = Annotated[
    tuple[
        Annotated[tuple[Annotated[float, Field(gt=0, le=1e12)], ...], Field(max_length=MAX_DIMENSION)], ...
    ],
    Field(max_length=MAX_COMPONENTS),
]


class BaseMixture(StrictRecord):
    """The model's mixture without any evidence: log_weights (M,), means and variances (M, D)."""

    log_weights: Weights
    means: Means
    variances: Variances

    @model_validator(mode="after")
    def _is_a_mixture(self) -> BaseMixture:
        means, variances = ([len(row) for row in rows] for rows in (self.means, self.variances))
        if means != variances or len(means) != len(self.log_weights) or len(set(means)) != 1 or not means[0]:
            raise ValueError("the mixture's weights, means and variances do not fit together")
        return self

    @classmethod
    def of(cls, mixture: Mixture) -> BaseMixture:
        """From arrays."""
        return cls(
            log_weights=tuple(np.minimum(mixture.log_weights, 0.0).clip(-700).tolist()),
            means=tuple(map(tuple, mixture.means.tolist())),
            variances=tuple(map(tuple, mixture.variances.tolist())),
        )

    @property
    def mixture(self) -> Mixture:
        """As arrays."""
        return Mixture(np.array(self.log_weights), np.array(self.means), np.array(self.variances))
