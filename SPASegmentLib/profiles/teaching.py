"""The profile on disk in step with an interaction: approve, undo, redo."""

from __future__ import annotations

from SPASegmentLib.inference.messages import Engine
from SPASegmentLib.inference.session import Done, Session
from SPASegmentLib.profiles.learning import Receipt, commit_approval, retract_approval
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.store import ProfileStore


class Teaching:
    """Teaches a profile what one interaction ends in, and takes it back when that is undone.

    Tell it of the session after every step; one that never ends, or whose user does not want it learnt from,
    leaves no trace.
    """

    def __init__(self, store: ProfileStore, profile: Profile, engine: Engine | None = None) -> None:
        """profile: as loaded at the beginning of the interaction. engine: see `commit_approval`."""
        self._store, self._profile, self._engine = store, profile, engine
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
            self._receipt = commit_approval(self._store, self._profile, session, engine=self._engine)
        self._ending = ending
        return True
