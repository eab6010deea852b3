"""Profiles that leave a store and come in from elsewhere; what comes in is checked before it is written."""

from __future__ import annotations

from pathlib import Path

from SPASegmentLib.errors import ProfileError
from SPASegmentLib.profiles.codec import decode, encode
from SPASegmentLib.profiles.files import read_limited, write_whole
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.store import ProfileStore

IMPORT_BYTES = 16 * 2**20
"""No file larger than this is opened; a profile of 5,000 slices is smaller."""


def export_profile(profile: Profile, path: Path, *, replace: bool = False) -> None:
    """Write a profile to a file of its own.

    Raises ProfileError where the file exists (unless `replace`) or cannot be written.
    """
    if path.is_dir():
        raise ProfileError(f"{path.name} is a folder; name a file to export to.")
    if path.exists() and not replace:
        raise ProfileError(f"{path.name} exists already; choose another name or agree to replace it.")
    if not path.parent.is_dir():
        raise ProfileError(f"There is no folder {path.parent}; create it first.")
    write_whole(path, encode(profile))


def read_foreign(path: Path) -> Profile:
    """Read and check a profile from elsewhere without keeping anything of it; show it before accepting it.

    Raises ProfileError for whatever is not a whole, valid profile of at most IMPORT_BYTES.
    """
    return decode(read_limited(path, IMPORT_BYTES))


def accept(store: ProfileStore, profile: Profile, name: str | None = None) -> Profile:
    """Add a profile read with `read_foreign` to the store, under its own name or another.

    Raises ProfileError where the name is taken.
    """
    return store.create(profile if name is None else profile.renamed(name))
