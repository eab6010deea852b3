"""The profile on disk in step with an interaction: approve, undo, redo."""

from __future__ import annotations

from pathlib import Path

from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.inference.session import Done, Session
from SPASegmentLib.profiles.learning import Receipt, commit_approval, retract_approval
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.store import ProfileStore


class UsedProfile:
    """A profile by name, read anew for every interaction: other windows may teach it, too."""

    def __init__(self, engine: Engine, name: str, learn: bool, folder: str | Path | None = None) -> None:
        """folder: of the profiles, or None for the user's own. Raises ProfileError as `now` does."""
        self._engine, self._name, self._learn = engine, name, learn
        self._store = ProfileStore(None if folder is None else Path(folder))
        self._read = self.now()

    def now(self) -> Profile:
        """As the file has it. Raises ProfileError where it cannot be read or is another model's."""
        self._read = self._store.load(self._name)
        self._read.check_model(self._engine.model)
        return self._read

    def teaching(self) -> Teaching | None:
        """Of the interaction that begins with what was read last; None where it is not to learn."""
        return Teaching(self._store, self._read) if self._learn else None


class Teaching:
    """Teaches a profile what one interaction ends in, and takes it back when that is undone.

    Tell it of the session after every step; one that never ends, or whose user does not want it learnt from,
    leaves no trace. The consensus area stays open where the samples do not tell it: see `add_consensus`.
    """

    def __init__(self, store: ProfileStore, profile: Profile) -> None:
        """profile: as loaded at the beginning of the interaction."""
        self._store, self._profile = store, profile
        self._receipt: Receipt | None = None
        self._ending: Done | None = None

    @property
    def receipt(self) -> Receipt | None:
        """What the profile holds of this interaction now, or None."""
        return self._receipt

    def follow(self, session: Session) -> bool:
        """Bring the profile on disk to where the session is. Returns whether anything was written.

        Raises ProfileError; the next call then tries again.
        """
        ending = session.done[-1] if session.finished and session.learn else None
        if ending is self._ending:
            return False
        if self._receipt is not None:
            retract_approval(self._store, self._receipt)
            self._receipt = self._ending = None
        if ending is not None:
            self._receipt = commit_approval(self._store, self._profile, session)
        self._ending = ending
        return True
