"""The profile row: choosing, making, sharing and comparing profiles, all through the controller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
from slicer.i18n import tr as _

PATTERN = "*.json"


class ProfileRow:
    """Fills the selector from the screen and turns the menu into calls of the controller."""

    def __init__(self, ui, dialogs, controller: Callable[[], object], chosen: Callable[[str], None]) -> None:
        """controller: gives the present one, or None. chosen: the user chose a profile ("" for none)."""
        self._ui, self._dialogs, self._controller, self._chosen = ui, dialogs, controller, chosen
        self._names: tuple[str, ...] | None = None
        self._profile: str | None = None
        self._before: tuple[str, ...] = ()
        self._asked = ""
        self._menu = qt.QMenu(ui.profileMenuButton)
        self._actions = {}
        for text, handler in (
            (_("Summary..."), self.on_summary),
            (_("Compare with..."), self.on_compare),
            (_("Save as..."), self.on_save_as),
            (_("Import..."), self.on_import),
            (_("Export..."), self.on_export),
        ):
            action = self._menu.addAction(text)
            action.connect("triggered()", handler)
            self._actions[handler.__name__] = action
        ui.profileMenuButton.setMenu(self._menu)
        ui.newProfileButton.connect("clicked()", self.on_new)
        ui.profileSelector.connect("activated(int)", self.on_chosen)

    def render(self, screen) -> None:
        """Show the profiles there are and the one in use; show what was asked about them once it is there."""
        names = tuple(screen.profiles)
        if screen.profile and screen.profile not in names:
            names = (*names, screen.profile)
        if (names, screen.profile) != (self._names, self._profile):
            self._names, self._profile = names, screen.profile
            selector = self._ui.profileSelector
            selector.clear()
            selector.addItem(_("No profile"))
            for name in names:
                selector.addItem(name)
            selector.currentIndex = names.index(screen.profile) + 1 if screen.profile else 0
        for name in ("on_summary", "on_save_as", "on_export"):
            self._actions[name].enabled = screen.profile is not None
        self._actions["on_compare"].enabled = screen.profile is not None and len(names) > 1
        if self._asked and screen.notes and screen.notes is not self._before:
            title, notes, self._asked = self._asked, screen.notes, ""
            # Not from within the drawing of the screen: the window waits for its OK.
            qt.QTimer.singleShot(0, lambda: self._dialogs.tell(title, notes))

    def on_chosen(self, index: int) -> None:
        """Another profile, or none."""
        name = self._names[index - 1] if self._names and index > 0 else ""
        self._chosen(name)

    def on_new(self) -> None:
        """Ask for a name and make a profile."""
        question = _("Name of the new profile, for example the reader and what is outlined:")
        name = self._dialogs.ask_text(_("New profile"), question)
        if name and self._controller():
            self._controller().new_profile(name)

    def on_save_as(self) -> None:
        """Ask for a name and copy the profile."""
        question = _("Name of the copy:")
        name = self._dialogs.ask_text(_("Save profile as"), question, f"{self._profile or ''} 2")
        if name and self._controller():
            self._controller().save_profile_as(name)

    def on_import(self) -> None:
        """Ask for a file and add the profile in it."""
        path = self._dialogs.ask_file(_("Import profile"), _("Profiles") + f" ({PATTERN})")
        if path and self._controller():
            self._controller().import_profile(path)

    def on_export(self) -> None:
        """Ask for a file and write the profile to it; replacing was agreed to in the file window."""
        proposed = f"{self._profile or 'profile'}.json"
        path = self._dialogs.ask_file(_("Export profile"), _("Profiles") + f" ({PATTERN})", save_as=proposed)
        if path and self._controller():
            path = path if path.suffix else Path(f"{path}.json")
            self._controller().export_profile(path, True)

    def on_summary(self) -> None:
        """Say what the profile has learnt."""
        if self._controller():
            self._ask(_("What the profile has learnt"))
            self._controller().summarise_profile()

    def on_compare(self) -> None:
        """Ask which other profile, and say how they differ."""
        others = [name for name in self._names or () if name != self._profile]
        other = (
            self._dialogs.ask_choice(_("Compare profiles"), _("Compare with:"), others) if others else None
        )
        if other and self._controller():
            self._ask(_("How the profiles differ"))
            self._controller().compare_profiles(other)

    def _ask(self, title: str) -> None:
        """The notes that follow those of now are the answer."""
        self._asked, self._before = title, self._controller().screen.notes
