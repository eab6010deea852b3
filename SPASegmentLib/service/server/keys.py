"""Who may use a server: a file of hashed keys, each with its user's name and limits."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _KeyRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class User(_KeyRecord):
    """A key's user. sha256: of the key (hex). The limits hold on each replica."""

    name: Name
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    megabytes_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 2048
    concurrent: Annotated[int, Field(ge=1, le=10_000)] = 8


class KeysFile(_KeyRecord):
    """The content of a keys file."""

    format: Literal["spasegment-keys"] = "spasegment-keys"
    version: Literal[1] = 1
    keys: tuple[User, ...] = ()


ANYBODY = User(name="this computer", sha256="0" * 64, requests_per_minute=100_000, concurrent=256)
"""Who asks a server without keys, which only listens to its own computer."""


class Keys:
    """The keys of a file; one that was changed is read again, one that cannot be read leaves the last."""

    def __init__(self, path: Path | None) -> None:
        """path: of the keys file, or None to let anybody in. Raises InputError where it cannot be read."""
        self._path = path
        self._lock = threading.Lock()
        self._users: tuple[User, ...] = ()
        self._seen: tuple[int, int] | None = None
        if path is not None:
            self._users = read_keys(path).keys
            self._seen = _stamp(path)

    def user(self, secret: str | None) -> User | None:
        """Whose key that is, or None. Every key is compared, each in constant time."""
        if self._path is None:
            return ANYBODY
        self._follow(self._path)
        found = None
        given = _hashed(secret or "")
        for user in self._users:
            if hmac.compare_digest(given, user.sha256) and secret:
                found = user
        return found

    def _follow(self, path: Path) -> None:
        with self._lock:
            stamp = _stamp(path)
            if stamp is None or stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._users = read_keys(path).keys
            except InputError:
                return


def read_keys(path: Path) -> KeysFile:
    """The content of a keys file.

    Raises InputError where it is missing, damaged or has a name or key twice.
    """
    try:
        found = KeysFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"The keys in {path} cannot be read ({error.strerror}); check the path.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"The keys in {path} are wrong at {place}: {first['msg']}.") from None
    for what, values in (("name", [u.name for u in found.keys]), ("key", [u.sha256 for u in found.keys])):
        if len(set(values)) < len(values):
            raise InputError(f"The keys in {path} have one {what} twice; take one of the two out.")
    return found


def add_key(path: Path, name: str) -> str:
    """Make a key for a user and keep its hash in the file, which is made where there is none.

    Returns the key, which is nowhere else from then on. Raises InputError where the name has one already.
    """
    held = read_keys(path) if path.exists() else KeysFile()
    if any(user.name == name for user in held.keys):
        raise InputError(f"{name} has a key in {path}; take it out of the file to give them another.")
    secret = secrets.token_urlsafe(32)
    try:
        user = User(name=name, sha256=_hashed(secret))
    except ValidationError:
        raise InputError("A user's name must be one line of 1 to 100 letters.") from None
    content = KeysFile(keys=(*held.keys, user)).model_dump(mode="json")
    with atomic_file(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    if os.name == "posix":
        path.chmod(0o600)
    return secret


def _hashed(secret: str) -> str:
    """Keys are 256 random bits, so a plain hash of one says nothing about it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
