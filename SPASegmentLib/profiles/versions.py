"""Where profiles lie in a store's folder, and the versions kept of each."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from SPASegmentLib.errors import ProfileError
from SPASegmentLib.profiles.codec import decode
from SPASegmentLib.profiles.files import make_folder, move, read_limited, remove_temporaries, write_whole
from SPASegmentLib.profiles.profile import Profile, checked_name

KEPT = 10
"""Versions kept beside the present one."""
MAX_BYTES = 256 * 2**20
HISTORY = ".history"
SUFFIX = ".json"
_NUMBERED = re.compile(r"\A(\d{6,12})\.json\Z")


@dataclass(frozen=True)
class Version:
    """One kept state of a profile. problem: why it cannot be read, else ""; profile is None then."""

    number: int
    path: Path
    profile: Profile | None
    problem: str = ""

    @property
    def date(self) -> datetime | None:
        """When that state was reached."""
        return self.profile.changed if self.profile else None


def stem_of(name: str) -> str:
    """File name, without its suffix, for a profile's name; the same for names that differ only in case.

    A readable part of plain letters and a hash of the whole name: no path, no reserved name, any length, any
    script. Raises ProfileError for a name a profile cannot have.
    """
    folded = unicodedata.normalize("NFKC", checked_name(name)).casefold()
    digest = hashlib.sha256(" ".join(folded.split()).encode()).hexdigest()[:12]
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "profile"
    return f"{slug}-{digest}"


@dataclass(frozen=True)
class ProfileFiles:
    """Where one profile lies: its file, its history, and what was set aside of it."""

    folder: Path
    stem: str

    @property
    def file(self) -> Path:
        """The present state."""
        return self.folder / f"{self.stem}{SUFFIX}"

    @property
    def history(self) -> Path:
        """The folder of its versions."""
        return self.folder / HISTORY / self.stem

    def set_aside(self) -> Path:
        """Move a damaged file out of the way, under a name of its own. Raises ProfileError."""
        n = 1
        while (target := self.file.with_name(f"{self.file.name}.damaged-{n}")).exists():
            n += 1
        move(self.file, target)
        return target

    def numbers(self) -> list[int]:
        """Numbers of the kept versions, oldest first."""
        if not self.history.is_dir():
            return []
        return sorted(int(m[1]) for path in self.history.iterdir() if (m := _NUMBERED.match(path.name)))

    def keep(self, data: bytes) -> None:
        """Add a version and let go of the oldest beyond those kept. Raises ProfileError."""
        make_folder(self.history.parent)
        make_folder(self.history)
        remove_temporaries(self.history)
        numbers = self.numbers()
        write_whole(self._numbered(numbers[-1] + 1 if numbers else 1), data)
        for number in numbers[:-KEPT]:
            with contextlib.suppress(OSError):
                self._numbered(number).unlink()

    def version(self, number: int) -> Version:
        """Read one version; a damaged one comes back with its problem."""
        path = self._numbered(number)
        try:
            return Version(number, path, decode(read_limited(path, MAX_BYTES)))
        except ProfileError as error:
            return Version(number, path, None, str(error))

    def versions(self) -> tuple[Version, ...]:
        """All kept versions, oldest first."""
        return tuple(self.version(number) for number in self.numbers())

    def last_good(self) -> Version | None:
        """The newest version that can be read."""
        for number in reversed(self.numbers()):
            version = self.version(number)
            if version.profile is not None:
                return version
        return None

    def hand_history_to(self, other: ProfileFiles) -> None:
        """Move the versions behind those of another place. Raises ProfileError."""
        if not self.history.is_dir() or self == other:
            return
        make_folder(other.history)
        for number in self.numbers():
            following = other.numbers()
            move(self._numbered(number), other._numbered(following[-1] + 1 if following else 1))
        shutil.rmtree(self.history, ignore_errors=True)

    def erase(self) -> None:
        """Remove file, versions and what was set aside. Raises ProfileError."""
        try:
            for path in (self.file, *self.folder.glob(f"{self.stem}{SUFFIX}.damaged-*")):
                path.unlink(missing_ok=True)
            if self.history.is_dir():
                shutil.rmtree(self.history)
        except OSError as error:
            raise ProfileError(f"The profile could not be removed ({error.strerror}).") from error

    def _numbered(self, number: int) -> Path:
        return self.history / f"{number:06d}{SUFFIX}"
