"""A preference profile: what one user has taught the system, as evidence that adds up and can be taken back.

A profile is a value: every change gives a new one. Keeping it on disk is `store`'s work.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, model_validator

from SPASegmentLib.errors import ProfileError
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.inference.messages import ModelInfo, UsualArea
from SPASegmentLib.network.mixture import Mixture, log_normalised
from SPASegmentLib.profiles.evidence import Contribution, Evidence, doubted
from SPASegmentLib.profiles.records import (
    BaseMixture,
    Identity,
    ModelReference,
    Name,
    SliceEvidence,
    StrictRecord,
    Text,
    image_identity,
    new_id,
    now,
    shown_text,
)

MAX_SLICES = 50_000
MAX_REMOVED = 200_000
MAX_SALTS = 64
T = TypeVar("T")
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_TEXT: TypeAdapter[str] = TypeAdapter(Text)


class Profile(StrictRecord):
    """One user's preference for one model.

    model: the only model it speaks to.
    structure, modality: what it was taught on, "" where the user names none.
    salts: keys of the image hashes; the first one is used for new images.
    half_life: images after which evidence weighs half, or None.
    base: the model's mixture without evidence.
    removed: identities of evidence taken back, kept so that a window that still holds it cannot bring it in.
    """

    id: Identity
    name: Name
    model: ModelReference
    structure: Text = ""
    modality: Text = ""
    salts: Annotated[tuple[Identity, ...], Field(min_length=1, max_length=MAX_SALTS)]
    created: AwareDatetime
    changed: AwareDatetime
    half_life: Annotated[float, Field(gt=0, le=1e6)] | None = None
    base: BaseMixture | None = None
    slices: Annotated[tuple[SliceEvidence, ...], Field(max_length=MAX_SLICES)] = ()
    removed: Annotated[dict[Identity, AwareDatetime], Field(max_length=MAX_REMOVED)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _holds_together(self) -> Profile:
        m = self.model.components
        if not all(item.fits(m) for item in self.slices):
            raise ValueError("evidence is over another number of components than the model has")
        if len({item.id for item in self.slices}) != len(self.slices):
            raise ValueError("the same evidence is in it twice")
        if self.base is not None and len(self.base.log_weights) != m:
            raise ValueError("the mixture has another number of components than the model")
        return self

    @property
    def n_images(self) -> int:
        """Number of different images it has learnt from."""
        return len({item.image for item in self.slices})

    @property
    def n_picks(self) -> int:
        """Number of picks it has learnt from."""
        return sum(pick.picked is not None for item in self.slices for pick in item.picks)

    @cached_property
    def evidence(self) -> Evidence:
        """The evidence algebra over its slices."""
        m = self.model.components
        parts = (Contribution(s.id, s.image, s.rows(m), s.date.isoformat(), s.weight) for s in self.slices)
        return Evidence(m, {part.key: part for part in parts}, self.half_life)

    @property
    def base_log_weights(self) -> np.ndarray:
        """(M,) log-weights without evidence; even where the model's are not known."""
        if self.base is None:
            return log_normalised(np.zeros(self.model.components))
        return log_normalised(np.array(self.base.log_weights))

    def log_prior(self) -> np.ndarray:
        """(M,) what a `ProposalRequest` carries: zeros without evidence, bounded below (`doubted`)."""
        return doubted(self.evidence.total(), self.base_log_weights)

    def usual_area(self) -> UsualArea | None:
        """How large the objects are that it was taught on, what is not known included; None where none is.

        A normal distribution of log(area), with a prior on its variance that counts as `area_counts` objects.
        """
        weight = {c.key: w for c, w in zip(self.evidence.ordered(), self.evidence.weights(), strict=True)}
        known = [(s.approved_mm2, weight[s.id]) for s in self.slices if s.approved_mm2]
        if not known:
            return None
        logs, weights = np.log([area for area, _ in known]), np.array([w for _, w in known])
        count = float(weights.sum())
        mean = float(weights @ logs) / count
        spread = float(weights @ (logs - mean) ** 2) + DEFAULT.area_counts * DEFAULT.area_deviation**2
        variance = spread / (count + DEFAULT.area_counts) * (1 + 1 / count)
        return UsualArea(mean, math.sqrt(variance))

    def posterior(self) -> np.ndarray:
        """(M,) exact posterior probability of the components (supplement Eq. 1)."""
        return np.exp(log_normalised(self.base_log_weights + self.evidence.total()))

    def adapted(self) -> Mixture | None:
        """The user's own mixture: the model's with the posterior as weights, or None without `base`."""
        return None if self.base is None else self.base.mixture.reweighted(self.evidence.total())

    def image_identities(self, image_key: str) -> tuple[str, ...]:
        """Every hash under which an image may be known here; the first is used for new evidence."""
        return tuple(image_identity(salt, image_key) for salt in self.salts)

    def check_model(self, info: ModelInfo, named: str | None = None) -> None:
        """Raise ProfileError, with the command that re-learns it on this model, if it was taught on another.

        named: what `--model` calls this model, where it is not its name.
        """
        if (info.hash, info.components) == (self.model.hash, self.model.components):
            return
        own, other = self.model.name, info.name
        if own == other:
            own, other = f"{own} ({self.model.hash[:8]})", f"{other} ({info.hash[:8]})"
        way_out = "choose that model or another profile"
        if any(item.can_be_replayed for item in self.slices):
            way_out += (
                ", or let a new profile learn the same from the volumes it was taught on: "
                f"{self._relearning(named or info.name)}"
            )
        raise ProfileError(
            f'The profile "{self.name}" was taught on the model "{own}" and says nothing about "{other}"; '
            f"{way_out}"
        )

    def _relearning(self, model: str) -> str:
        """The command line that teaches a new profile on a model what this one was taught."""
        new = f"{self.name[:60].rstrip()} on {Path(model).stem[:30]}"
        words = ("spasegment", "profile", "relearn", _quoted(self.name), _quoted(new), "VOLUME...")
        return " ".join((*words, "--model", _quoted(model)))

    def doubts_about(self, modality: str | None) -> str:
        """A sentence where it was taught on another modality than the image's, else ""."""
        if not self.modality or not modality or self.modality.casefold() == modality.casefold():
            return ""
        return (
            f'The profile "{self.name}" was taught on {self.modality} and this image is {modality}; '
            "its preference may not hold here."
        )

    def commit(self, item: SliceEvidence) -> Profile:
        """Learn one approved slice; learning it again, or what was taken back, changes nothing."""
        if item.id in self.removed or any(own.id == item.id for own in self.slices):
            return self
        if not item.fits(self.model.components):
            raise ProfileError(
                f'The picks belong to another model than the profile "{self.name}"; nothing was learnt.'
            )
        return self._changed(slices=_sorted((*self.slices, item)))

    def with_consensus(self, evidence_id: str, area_mm2: float) -> Profile:
        """Say what one approval would have begun with without a profile, where that was not known yet."""
        slices = tuple(
            item.model_copy(update={"consensus_mm2": area_mm2})
            if item.id == evidence_id and item.consensus_mm2 is None
            else item
            for item in self.slices
        )
        return self if slices == self.slices else self._changed(slices=slices)

    def retract(self, evidence_id: str) -> Profile:
        """Take back one approval, whether it has arrived here yet or not."""
        return self._without({evidence_id})

    def remove_image(self, image: str) -> Profile:
        """Take back everything learnt on the image with this hash. Raises ProfileError if there is none."""
        ids = {item.id for item in self.slices if item.image == image}
        if not ids:
            raise ProfileError(f'The profile "{self.name}" has learnt nothing from the image {image[:12]}.')
        return self._without(ids)

    def reset(self) -> Profile:
        """Forget everything learnt; name, model and settings stay."""
        return self._without({item.id for item in self.slices})

    def renamed(self, name: str) -> Profile:
        """The same profile under another name."""
        return self._changed(name=checked_name(name))

    def with_half_life(self, half_life: float | None) -> Profile:
        """Let evidence weigh half after that many images, or forget nothing (None)."""
        if half_life is not None and not 0 < half_life <= 1e6:
            raise ProfileError("The half-life must be a number of images above zero.")
        return self._changed(half_life=half_life)

    def meant_for(self, structure: str | None = None, modality: str | None = None) -> Profile:
        """Say what it is taught on; None leaves a word as it is. Raises ProfileError."""
        given = {"structure": structure, "modality": modality}
        words = {key: _checked_text(word) for key, word in given.items() if word is not None}
        return self._changed(**words)

    def copy_as(self, name: str) -> Profile:
        """A profile of its own with the same evidence."""
        time = now()
        return self._with(id=new_id(), name=checked_name(name), created=time, changed=time)

    def with_id(self, id: str) -> Profile:
        """The same content as a profile of its own."""
        return self._with(id=id)

    def _without(self, ids: set[str]) -> Profile:
        gone = {i: self.removed.get(i, now()) for i in sorted(ids)}
        kept = tuple(item for item in self.slices if item.id not in ids)
        return self._changed(slices=kept, removed={**self.removed, **gone})

    def _changed(self, **update: Any) -> Profile:
        time = max(now(), self.changed + timedelta(microseconds=1))
        return self._with(**update, changed=time)

    def _with(self, **update: Any) -> Profile:
        copied = self.model_copy(update=update)
        copied.__dict__.pop("evidence", None)  # the cached property is of the old slices
        return copied


def new_profile(
    name: str,
    model: ModelReference,
    *,
    structure: str = "",
    modality: str = "",
    half_life: float | None = None,
    base: Mixture | None = None,
) -> Profile:
    """A profile that has learnt nothing yet. Raises ProfileError for a name it cannot have."""
    time = now()
    return checked(
        lambda: Profile(
            id=new_id(),
            name=name,
            model=model,
            structure=structure,
            modality=modality,
            salts=(new_id(),),
            created=time,
            changed=time,
            half_life=half_life,
            base=None if base is None else BaseMixture.of(base),
        )
    )


def merge(a: Profile, b: Profile) -> Profile:
    """Two states of one profile as one: nothing learnt in either is lost, nothing taken back returns.

    Order and repetition do not matter. Name and settings are those changed last.
    """
    if a.id != b.id:
        raise ProfileError(f'"{a.name}" and "{b.name}" are different profiles; blend them instead.')
    older, newer = sorted((a, b), key=_last_change)
    removed = dict(sorted({**older.removed, **newer.removed}.items()))
    for key in older.removed.keys() & newer.removed.keys():
        removed[key] = min(older.removed[key], newer.removed[key])
    union: dict[str, SliceEvidence] = {}
    for item in (*older.slices, *newer.slices):
        if item.id not in union or item.consensus_mm2 is not None:
            union[item.id] = item
    return newer._with(
        slices=_sorted(item for item in union.values() if item.id not in removed),
        removed=removed,
        salts=_joined(newer.salts, older.salts),
        base=newer.base or older.base,
        created=min(a.created, b.created),
    )


def blend(a: Profile, b: Profile, name: str, share: float = 0.5) -> Profile:
    """A profile between two: their evidence, weighted `share` and 1 - `share` (a logarithmic opinion pool).

    Evidence both have keeps its whole weight: blending a profile with itself changes nothing. It forgets as
    slowly as the slower of the two. Raises ProfileError for profiles of different models.
    """
    if (a.model.hash, a.model.components) != (b.model.hash, b.model.components):
        raise ProfileError(
            f'"{a.name}" and "{b.name}" were taught on different models and cannot be blended.'
        )
    if not 0 < share < 1:
        raise ProfileError("The share of the first profile must lie between 0 and 1.")
    items: dict[str, SliceEvidence] = {}
    for profile, part in ((a, share), (b, 1 - share)):
        for item in profile.slices:
            before = items[item.id].weight if item.id in items else 0.0
            weight = min(1.0, before + part * item.weight)
            items[item.id] = item.model_copy(update={"weight": weight})
    half_lives = [p.half_life for p in (a, b) if p.half_life is not None]
    return a.copy_as(name)._with(
        slices=_sorted(items.values()),
        removed={},
        salts=_joined(a.salts, b.salts),
        half_life=max(half_lives) if len(half_lives) == 2 else None,
        base=a.base or b.base,
        structure=a.structure if a.structure == b.structure else "",
        modality=a.modality if a.modality == b.modality else "",
    )


def restored(version: Profile, current: Profile | None) -> Profile:
    """`version` as the next state after `current`, so that merging with what other windows hold keeps it.

    Evidence that came after the version is marked as taken back; evidence taken back since then returns under
    fresh identities.
    """
    if current is None or current.id != version.id:
        return version._changed()
    held = {item.id for item in version.slices}
    later = {item.id: now() for item in current.slices if item.id not in held}
    removed = {**version.removed, **current.removed, **later}
    slices = tuple(
        item.model_copy(update={"id": new_id()}) if item.id in removed else item for item in version.slices
    )
    time = max(now(), current.changed + timedelta(microseconds=1))
    return version._with(slices=_sorted(slices), removed=removed, changed=time)


def checked_name(name: str) -> str:
    """The name as a profile keeps it. Raises ProfileError."""
    return checked(lambda: _NAME.validate_python(name))


def _checked_text(text: str) -> str:
    return checked(lambda: _TEXT.validate_python(text))


def checked(build: Callable[[], T]) -> T:
    """Call `build`, turning what it finds invalid into a ProfileError of one sentence."""
    try:
        return build()
    except ValidationError as error:
        raise ProfileError(f"The profile cannot be made so: {what_is_wrong(error)}.") from None


def what_is_wrong(error: ValidationError) -> str:
    """The first fault of a failed check: where it is and what, without the value itself."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(shown_text(str(part))[:40] for part in first["loc"][-4:])
    reason = shown_text(first["msg"].removeprefix("Value error, "))
    return f"{place + ': ' if place else ''}{reason[:1].lower()}{reason[1:]}"


def _quoted(word: str) -> str:
    """A word of a command line, in quotes every shell knows wherever they will do."""
    if re.fullmatch(r"[\w./:-]+", word):
        return word
    return f'"{word}"' if re.fullmatch(r"[\w ./:,;()+&#-]+", word) else shlex.quote(word)


def _sorted(items: Iterable[SliceEvidence]) -> tuple[SliceEvidence, ...]:
    return tuple(sorted(items, key=lambda item: item.order))


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return (first + tuple(salt for salt in second if salt not in first))[:MAX_SALTS]


def _last_change(profile: Profile) -> tuple[datetime, str]:
    settings = profile.model_dump_json(include={"name", "structure", "modality", "half_life", "base"})
    return (profile.changed, settings)
