"""Profiles on disk: one readable JSON file each, in one folder per user or per department.

Every change reads the file anew, applies itself and writes the whole file, under one lock for the folder; so
two windows add to each other's evidence instead of overwriting it. What a call returned from is on the disk.

    FOLDER/dr-a-nodules-3f0c9a6b12de.json            the present state
    FOLDER/dr-a-nodules-3f0c9a6b12de.json.damaged-1  set aside because it could not be read
    FOLDER/.history/dr-a-nodules-3f0c9a6b12de/000017.json  the present state and the last ten before it
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from SPASegmentLib.errors import InputError, ProfileError
from SPASegmentLib.imaging.atomic import sync_folder
from SPASegmentLib.imaging.own_folders import own_folder
from SPASegmentLib.profiles.codec import DamagedProfileError, decode, encode
from SPASegmentLib.profiles.files import (
    LOCK_SECONDS,
    locked,
    read_limited,
    remove_temporaries,
    unwritable,
    write_whole,
)
from SPASegmentLib.profiles.profile import Profile, blend, merge, restored
from SPASegmentLib.profiles.records import SliceEvidence, new_id
from SPASegmentLib.profiles.versions import HISTORY, MAX_BYTES, SUFFIX, ProfileFiles, Version, stem_of

FOLDER_VARIABLE = "SPASEGMENT_PROFILES"
LOCK_FILE = ".lock"
_State = tuple[int, int, int, int] | None


def default_folder() -> Path:
    """The folder SPASEGMENT_PROFILES names, else the user's own data folder.

    Raises ProfileError where the account has no home folder.
    """
    try:
        return own_folder(
            FOLDER_VARIABLE, lambda: platformdirs.user_data_path("SPASegment", appauthor=False) / "profiles"
        )
    except InputError as error:
        raise ProfileError(str(error)) from error


@dataclass(frozen=True)
class ProfileEntry:
    """A file of the store. name: of its profile, or the file's where it cannot be read; problem says why."""

    name: str
    file: Path
    profile: Profile | None
    problem: str = ""


class ProfileStore:
    """The profiles of one folder; any number of processes and threads may use it at once."""

    def __init__(self, folder: Path | str | None = None, *, lock_timeout: float = LOCK_SECONDS) -> None:
        """folder: of the profiles, or None for `default_folder`; made when first written to."""
        self.folder = Path(folder).expanduser() if folder is not None else default_folder()
        self._timeout = lock_timeout
        self._entries: dict[Path, tuple[_State, ProfileEntry]] = {}

    # Reading

    def entries(self) -> tuple[ProfileEntry, ...]:
        """Every profile, by name; files that cannot be used come with their problem. Changes nothing.

        Only files that have changed since the last call are read.
        """
        if not self.folder.is_dir():
            return ()
        files = [p for p in self.folder.glob(f"*{SUFFIX}") if not p.name.startswith(".")]
        known, states = self._entries, {file: _state(file) for file in files}
        found = {
            file: known[file]
            if file in known and state and known[file][0] == state
            else (state, _entry(file))
            for file, state in states.items()
        }
        self._entries = found
        entries = (entry for _, entry in found.values())
        return tuple(sorted(entries, key=lambda entry: (entry.name.casefold(), entry.file.name)))

    def __contains__(self, name: str) -> bool:
        """Whether there is a file for that name. Raises ProfileError for a name a profile cannot have."""
        return self._place(name).file.exists()

    def names(self) -> tuple[str, ...]:
        """Names of the profiles that can be loaded."""
        return tuple(entry.name for entry in self.entries() if entry.profile is not None)

    def deleted(self) -> tuple[Profile, ...]:
        """The last state of profiles that were deleted or damaged and can be restored."""
        places = (ProfileFiles(self.folder, path.name) for path in sorted((self.folder / HISTORY).glob("*")))
        kept = (place.last_good() for place in places if not place.file.exists())
        return tuple(version.profile for version in kept if version is not None and version.profile)

    def load(self, name: str) -> Profile:
        """Read a profile.

        Raises ProfileError where there is none, and where it is damaged: the file is then set aside, never
        deleted, and the message names the last good version.
        """
        place = self._place(name)
        try:
            return self._read(place, name)
        except DamagedProfileError:
            with self._locked():
                return self._read_or_set_aside(place, name)

    def history(self, name: str) -> tuple[Version, ...]:
        """Kept states of a profile, oldest first, the last one the present. Raises ProfileError for none."""
        versions = self._place(name).versions()
        if not versions:
            self._read(self._place(name), name)
        return versions

    # Changing

    def create(self, profile: Profile) -> Profile:
        """Add a profile. Raises ProfileError where its name is taken."""
        with self._locked():
            return self._add(profile)

    def update(self, name: str, change: Callable[[Profile], Profile], *, id: str | None = None) -> Profile:
        """Apply `change` to what is on the disk now, and return what is there then.

        id: of the profile meant, which is found by it should it have been renamed since. Raises ProfileError.
        """
        with self._locked():
            place, before = self._find(name, id)
            after = change(before)
            if after is not before:
                self._write(place, after)
            return after

    def save(self, profile: Profile) -> Profile:
        """Merge a profile held in memory into what is on the disk; add it where it is not there yet."""
        with self._locked():
            if not self._place(profile.name).file.exists() and self._with_id(profile.id) is None:
                return self._write(self._place(profile.name), profile)
            place, present = self._find(profile.name, profile.id)
            return self._write(place, merge(present, profile.renamed(present.name)))

    def commit(self, name: str, item: SliceEvidence, *, id: str | None = None) -> Profile:
        """Learn one approved slice; on the disk when this returns."""
        return self.update(name, lambda profile: profile.commit(item), id=id)

    def retract(self, name: str, evidence_id: str, *, id: str | None = None) -> Profile:
        """Take back one approval."""
        return self.update(name, lambda profile: profile.retract(evidence_id), id=id)

    def reset(self, name: str) -> Profile:
        """Forget everything a profile has learnt; the versions before stay restorable."""
        return self.update(name, Profile.reset)

    def remove_image(self, name: str, image: str) -> Profile:
        """Take back what was learnt on one image, named by (the beginning of) its hash."""

        def change(profile: Profile) -> Profile:
            found = {item.image for item in profile.slices if image and item.image.startswith(image.lower())}
            if len(found) != 1:
                few = "no image" if not found else "more than one image"
                raise ProfileError(
                    f'"{image}" names {few} of the profile "{profile.name}"; `show` lists its images.'
                )
            return profile.remove_image(found.pop())

        return self.update(name, change)

    def copy(self, name: str, new: str) -> Profile:
        """A profile of its own with the same evidence."""
        with self._locked():
            return self._add(self._read_or_set_aside(self._place(name), name).copy_as(new))

    def blend(self, first: str, second: str, new: str, share: float = 0.5) -> Profile:
        """A new profile between two, `share` of it from the first."""
        with self._locked():
            a, b = (self._read_or_set_aside(self._place(name), name) for name in (first, second))
            return self._add(blend(a, b, new, share))

    def rename(self, name: str, new: str) -> Profile:
        """Give a profile another name; its history goes with it."""
        with self._locked():
            old, place = self._place(name), self._place(new)
            profile = self._read_or_set_aside(old, name).renamed(new)
            if place != old and place.file.exists():
                # A rename that was killed half-way leaves the same profile under both names.
                present = self._read_or_set_aside(place, new)
                if present.id != profile.id:
                    raise _taken(new)
                profile = merge(profile, present.renamed(new))
            old.hand_history_to(place)
            self._write(place, profile)
            if place != old:
                old.file.unlink(missing_ok=True)
                sync_folder(self.folder)
            return profile

    def delete(self, name: str, *, forever: bool = False) -> None:
        """Remove a profile. It stays restorable from its history, unless `forever`. Raises ProfileError."""
        with self._locked():
            place = self._place(name)
            if forever:
                if not place.file.exists() and not place.numbers():
                    raise self._missing(place, name)
                place.erase()
                return
            profile = self._read_or_set_aside(place, name)
            last = place.last_good()
            if last is None or last.profile != profile:
                place.keep(encode(profile))
            place.file.unlink(missing_ok=True)
            sync_folder(self.folder)

    def restore(self, name: str, number: int | None = None) -> Profile:
        """Bring back a version: the given one, else the last good one that differs from the present state."""
        with self._locked():
            place = self._place(name)
            current: Profile | None = None
            with contextlib.suppress(ProfileError):
                current = self._read_or_set_aside(place, name)
            version = self._version(place, name, number, current)
            return self._write(
                place, restored(version, current).renamed(name if current is None else current.name)
            )

    # What the public methods share; all below is called with the lock held, except _read

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        with locked(self.folder / LOCK_FILE, self._timeout):
            remove_temporaries(self.folder)
            yield

    def _place(self, name: str) -> ProfileFiles:
        return ProfileFiles(self.folder, stem_of(name))

    def _find(self, name: str, id: str | None) -> tuple[ProfileFiles, Profile]:
        """The profile under its name, or under another one it was given since."""
        place = self._place(name)
        if id is None or place.file.exists():
            profile = self._read_or_set_aside(place, name)
            if id is None or profile.id == id:
                return place, profile
        moved = self._with_id(id)
        if moved is not None:
            return self._place(moved.name), moved
        if place.file.exists():
            raise ProfileError(f'"{name}" is another profile now; choose the one to go on with.')
        raise self._missing(place, name)

    def _with_id(self, id: str) -> Profile | None:
        profiles = (entry.profile for entry in self.entries())
        return next((profile for profile in profiles if profile is not None and profile.id == id), None)

    def _read(self, place: ProfileFiles, name: str) -> Profile:
        if not place.file.exists():
            raise self._missing(place, name)
        profile = decode(read_limited(place.file, MAX_BYTES))
        if stem_of(profile.name) != place.stem:
            raise ProfileError(
                f'The file of "{name}" holds the profile "{profile.name}"; '
                "import that file under a name of its own and restore this one."
            )
        return profile

    def _read_or_set_aside(self, place: ProfileFiles, name: str) -> Profile:
        try:
            return self._read(place, name)
        except DamagedProfileError as error:
            aside = place.set_aside()
            good = place.last_good()
            offer = (
                f"its last good version, of {_when(good)}, can be restored"
                if good is not None
                else "no version of it is left to restore"
            )
            raise ProfileError(
                f'The profile "{name}" could not be read and was set aside as {aside.name}; {offer}. '
                f"({error})"
            ) from None

    def _missing(self, place: ProfileFiles, name: str) -> ProfileError:
        good = place.last_good()
        if good is not None:
            return ProfileError(
                f'The profile "{name}" was deleted or set aside; '
                f"its last good version, of {_when(good)}, can be restored."
            )
        known = ", ".join(f'"{known}"' for known in self.names()[:10])
        return ProfileError(
            f'There is no profile "{name}"; ' + (f"there are {known}." if known else "create one first.")
        )

    def _version(
        self, place: ProfileFiles, name: str, number: int | None, current: Profile | None
    ) -> Profile:
        if number is not None and number not in place.numbers():
            raise ProfileError(f'"{name}" has no version {number}; `history` lists those kept.')
        if number is not None:
            chosen = place.version(number)
            if chosen.profile is None:
                raise ProfileError(f'Version {number} of "{name}" cannot be restored: {chosen.problem}')
            return chosen.profile
        for version in reversed(place.versions()):
            if version.profile is not None and version.profile != current:
                return version.profile
        raise ProfileError(f'There is no other version of "{name}" to restore.')

    def _add(self, profile: Profile) -> Profile:
        place = self._place(profile.name)
        if place.file.exists():
            raise _taken(profile.name)
        if self._with_id(profile.id) is not None:
            profile = profile.with_id(new_id())
        return self._write(place, profile)

    def _write(self, place: ProfileFiles, profile: Profile) -> Profile:
        data = encode(profile)
        place.keep(data)
        write_whole(place.file, data)
        return profile


def _state(file: Path) -> _State:
    """What differs once a file was replaced or written to; None where that cannot be told."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _entry(file: Path) -> ProfileEntry:
    try:
        profile = decode(read_limited(file, MAX_BYTES))
    except ProfileError as error:
        return ProfileEntry(file.name.removesuffix(SUFFIX), file, None, str(error))
    if stem_of(profile.name) != file.name.removesuffix(SUFFIX):
        problem = f'holds the profile "{profile.name}" under a file name it was not saved as; import it'
        return ProfileEntry(file.name.removesuffix(SUFFIX), file, None, problem)
    return ProfileEntry(profile.name, file, profile)


def _taken(name: str) -> ProfileError:
    return ProfileError(f'There is a profile "{name}" already; choose another name.')


def _when(version: Version) -> str:
    return f"{version.date:%Y-%m-%d %H:%M} UTC" if version.date else "an unknown date"
