"""Profiles as human-readable JSON, and back with every value checked."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from SPASegmentLib.errors import ProfileError
from SPASegmentLib.profiles.profile import Profile, what_is_wrong
from SPASegmentLib.profiles.records import MAX_COMPONENTS, MAX_DIMENSION, StrictRecord, Text
from SPASegmentLib.profiles.summary import summarise

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_DEEPEST = 5
FORMAT: Literal["spasegment-profile"] = "spasegment-profile"
SCHEMA_VERSION: Literal[4] = 4
"""The one version that is read; no release wrote an earlier one."""


class DamagedProfileError(ProfileError):
    """What was read is no profile, or not all of one."""


class OtherVersionError(ProfileError):
    """A profile of a schema version this software does not know; it is left as it is."""


class Derived(StrictRecord):
    """For people who read the file: computed from the profile when it is written, never read back.

    The adapted mixture's weights (M,), means and variances (M, D).
    """

    summary: Annotated[tuple[Text, ...], Field(max_length=50)] = ()
    weights: Annotated[tuple[float, ...], Field(max_length=MAX_COMPONENTS)] = ()
    means: Annotated[
        tuple[Annotated[tuple[float, ...], Field(max_length=MAX_DIMENSION)], ...],
        Field(max_length=MAX_COMPONENTS),
    ] = ()
    variances: Annotated[
        tuple[Annotated[tuple[float, ...], Field(max_length=MAX_DIMENSION)], ...],
        Field(max_length=MAX_COMPONENTS),
    ] = ()


class ProfileFile(StrictRecord):
    """The content of a profile file."""

    format: Literal["spasegment-profile"] = FORMAT
    schema_version: Literal[4] = SCHEMA_VERSION
    derived: Derived = Field(default_factory=Derived)
    profile: Profile


class _Head(BaseModel):
    """What tells a profile of any version from other files."""

    model_config = ConfigDict(strict=True, extra="ignore")

    format: Literal["spasegment-profile"]
    schema_version: Annotated[int, Field(ge=1)]


def encode(profile: Profile) -> bytes:
    """The profile as a file's content, equal profiles as equal bytes."""
    derived = Derived(
        summary=summarise(profile),
        weights=tuple(profile.posterior().tolist()),
        means=profile.base.means if profile.base else (),
        variances=profile.base.variances if profile.base else (),
    )
    content = ProfileFile(derived=derived, profile=profile).model_dump(mode="json")
    return (_readable(content) + "\n").encode()


def decode(data: bytes) -> Profile:
    """Read a file's content.

    Raises OtherVersionError for a version this software does not know, DamagedProfileError for anything else
    that is not a whole profile.
    """
    try:
        version = _Head.model_validate_json(data).schema_version
    except ValidationError as error:
        raise DamagedProfileError(f"This is not a preference profile: {what_is_wrong(error)}.") from None
    if version > SCHEMA_VERSION:
        raise OtherVersionError(
            f"This profile has schema version {min(version, 10**6)} and was written by a newer SPASegment; "
            f"update SPASegment, which knows version {SCHEMA_VERSION}, to use it."
        )
    if version < SCHEMA_VERSION:
        raise OtherVersionError(
            f"This profile has schema version {version}, which was never released; SPASegment knows version "
            f"{SCHEMA_VERSION}, so make a new profile."
        )
    try:
        return ProfileFile.model_validate_json(data).profile
    except ValidationError as error:
        raise DamagedProfileError(f"The profile is damaged: {what_is_wrong(error)}.") from None


def _readable(value: Any, indent: str = "") -> str:
    """JSON with one entry a line down to the picks of a slice, each of which is a line."""
    held = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if len(indent) >= _DEEPEST or not any(isinstance(item, dict | list) for item in held):
        return _JSON.encode(value)
    inner = indent + " "
    keys = [f"{_JSON.encode(key)}: " for key in value] if isinstance(value, dict) else [""] * len(held)
    lines = f",\n{inner}".join(key + _readable(item, inner) for key, item in zip(keys, held, strict=True))
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{inner}{lines}\n{indent}{last}"
