"""What a face does with profiles: choose, make, exchange and compare them. Part of the `Controller`."""

from __future__ import annotations

from pathlib import Path

from SPASegmentLib.mrml.profile_controller import ProfileController
from SPASegmentLib.mrml.user_messages import UserMessages, safe


class ProfileActions:
    """The controller's actions on profiles. None raises; none blocks."""

    messages: UserMessages
    closed: bool
    _profiles: ProfileController

    def refresh(self) -> None:
        """Draw what came of an action."""

    @safe
    def set_profile(self, name: str | None) -> None:
        """The profile to start from and to teach, from the next seed on; None for none."""
        self._profiles.choose(name)

    @safe
    def refresh_profiles(self) -> None:
        """Read which profiles there are; `screen.profiles` has them soon."""
        self._profiles.refresh()

    @safe
    def new_profile(self, name: str, structure: str = "", modality: str = "") -> None:
        """Create a profile of the model in use and choose it."""
        self._profiles.create(name, structure, modality)

    @safe
    def save_profile_as(self, name: str) -> None:
        """Copy the chosen profile under another name and choose the copy."""
        self._profiles.save_as(name)

    @safe
    def import_profile(self, path: str | Path, name: str | None = None) -> None:
        """Add a profile from a file, under its own or another name, and choose it."""
        self._profiles.bring_in(Path(path), name)

    @safe
    def export_profile(self, path: str | Path, replace: bool = False) -> None:
        """Write the chosen profile to a file."""
        self._profiles.give_out(Path(path), overwrite=replace)

    @safe
    def summarise_profile(self, name: str | None = None) -> None:
        """What the chosen (or named) profile has learnt: `screen.notes` has it soon."""
        self._profiles.summarise(name)

    @safe
    def compare_profiles(self, other: str, name: str | None = None) -> None:
        """How the chosen (or named) profile differs from another: `screen.notes` has it soon."""
        self._profiles.compare(other, name)
