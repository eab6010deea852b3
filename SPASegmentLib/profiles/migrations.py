"""Profile files of older schema versions, brought up to the present one.

Version 4 is written today: `codec.ProfileFile`.

Version 3 did not hold what the mask a slice ended in says (`SliceEvidence.result`); its picks count instead.

Version 2 did not hold what was shown beside an approved recommendation (`SliceEvidence.beside`), nor
the model's window.

Version 1 held one entry per image, without identities of its own, without the words and areas of what was
shown, and without marks for what had been taken back:

    {"format": "spasegment-profile", "schema_version": 1, "name": "Dr. A",
     "model": {"name": ..., "hash": ..., "components": M}, "salt": 32 hexadecimal digits, "created": ISO date,
     "images": {salted image hash: {"date": ISO date, "log_likelihood": [[M numbers] per pick]}}}

A migration is a pure function of the file's content, identities included, so that two windows that migrate
the same file agree and their evidence merges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

SCHEMA_VERSION = 4


def migrate(content: dict[str, Any], version: int) -> dict[str, Any]:
    """Bring the JSON content of a file from `version` to SCHEMA_VERSION.

    Raises KeyError, TypeError, ValueError or AttributeError where the content is not of that version.
    """
    while version < SCHEMA_VERSION:
        content = _STEPS[version](content)
        version += 1
    return content


def _from_1_to_2(old: dict[str, Any]) -> dict[str, Any]:
    salt = str(old["salt"])
    slices = []
    for image, entry in old["images"].items():
        rows = [list(row) for row in entry["log_likelihood"]]
        slices.append(
            {
                "id": _identity("evidence", salt, image, str(entry["date"])),
                "image": image,
                "date": entry["date"],
                "outcome": "approved",
                "picks": [
                    {"recommended_mm2": 0.0, "shown": [], "picked": None, "log_likelihood": row}
                    for row in rows
                ],
            }
        )
    return {
        "format": old["format"],
        "schema_version": 2,
        "profile": {
            "id": _identity("profile", salt),
            "name": old["name"],
            "model": old["model"],
            "salts": [salt],
            "created": old["created"],
            "changed": old["created"],
            "slices": slices,
        },
    }


def _from_2_to_3(old: dict[str, Any]) -> dict[str, Any]:
    profile = old["profile"]
    slices = [{**item, "beside": None} for item in profile.get("slices", [])]
    return {**old, "schema_version": 3, "profile": {**profile, "slices": slices}}


def _from_3_to_4(old: dict[str, Any]) -> dict[str, Any]:
    profile = old["profile"]
    slices = [{**item, "result": []} for item in profile.get("slices", [])]
    return {**old, "schema_version": 4, "profile": {**profile, "slices": slices}}


def _identity(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _from_1_to_2,
    2: _from_2_to_3,
    3: _from_3_to_4,
}
OLDEST_VERSION = min(_STEPS)
