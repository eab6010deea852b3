"""The server in the advanced section: its address, the user's key, and a trial of both."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from slicer.i18n import tr as _

from . import install
from .settings import PanelSettings


class ServerSection:
    """Shows the server that is set, and tells when another one is."""

    def __init__(
        self,
        ui,
        dialogs,
        settings: PanelSettings,
        changed: Callable[[str], None],
        post: Callable[[Callable[[], None]], None],
        chosen: Callable[[], object],
    ) -> None:
        """changed: is called with "server" after another one was saved. post: runs a function on Qt's thread.

        chosen: the server that the settings name, as the library knows it.
        """
        self._ui, self._dialogs, self._settings = ui, dialogs, settings
        self._changed, self._post, self._chosen = changed, post, chosen
        self._asking = False
        self.testing = False
        ui.serverEdit.connect("editingFinished()", self.on_edited)
        ui.serverKeyEdit.connect("editingFinished()", self.on_edited)
        ui.serverTestButton.connect("clicked()", self.on_test)

    def fill(self) -> None:
        """Show what is set."""
        self._ui.serverEdit.text = self._settings.server
        self._ui.serverKeyEdit.text = self._settings.server_key
        self._say("")

    def on_edited(self) -> None:
        """Use another server, key, or none, where that can be; else say why not."""
        address, key = self._typed()
        if self._asking or (address, key) == (self._settings.server, self._settings.server_key):
            return
        problem = self._problem(address)
        self._say(problem)
        if not problem:
            self._settings.server, self._settings.server_key = address, key
            self._settings.save()
            self._changed("server")

    def on_test(self) -> None:
        """Ask the server that is typed once, beside the interface; then say in a sentence how that went."""
        self.on_edited()
        address, key = self._typed()
        if self.testing:
            return
        if not address:
            self._say(_("No server is set: this computer computes."))
        elif (address, key) == (self._settings.server, self._settings.server_key):
            self._say(_("Testing the connection..."))
            self._ui.serverTestButton.enabled, self.testing = False, True
            arguments = (self._chosen(), self._settings.model)
            threading.Thread(target=self._test, args=arguments, name="SPASegment trial", daemon=True).start()

    def _typed(self) -> tuple[str, str]:
        return str(self._ui.serverEdit.text).strip(), str(self._ui.serverKeyEdit.text).strip()

    def _problem(self, address: str) -> str:
        """Why a server cannot be used, or ""."""
        if not address:
            return ""
        self._asking = True  # a question takes the focus, which ends the editing once more
        try:
            return unusable(address) or self._install()
        finally:
            self._asking = False

    def _install(self) -> str:
        lacking = install.missing(server=True)
        if not lacking:
            return ""
        names = ", ".join(one.name for one in lacking)
        question = _("{names} must be installed to reach a server. Install now?").format(names=names)
        if not self._dialogs.confirm(_("Install Python packages"), question):
            return _("The server is not used: {names} must be installed first.").format(names=names)
        outcome = install.Installer(self._dialogs.confirm, server=True).install(self._progress)
        if outcome.restart:
            return _("Restart Slicer to use what was installed, then set the server again.")
        return outcome.problem

    def _progress(self, share: float, text: str) -> None:
        self._say(text)

    def _test(self, server, model: str) -> None:
        """On a thread of its own."""
        from SPASegmentLib.errors import SPASegmentError
        from SPASegmentLib.service.opening import try_server

        try:
            said = try_server(server, model)
        except SPASegmentError as error:
            said = str(error)
        except Exception:
            logging.exception("SPASegment: the connection could not be tested")
            said = _("The connection could not be tested; the Python console says why.")
        self._post(lambda: self._tested(said))

    def _tested(self, said: str) -> None:
        self._ui.serverTestButton.enabled, self.testing = True, False
        self._say(said)

    def _say(self, sentence: str) -> None:
        self._ui.serverSaid.text = sentence
        self._ui.serverSaid.visible = bool(sentence)


def unusable(address: str) -> str:
    """Why this can be no server's address, in a sentence, or ""."""
    import os

    from SPASegmentLib.errors import ServerError
    from SPASegmentLib.service.addresses import server_address
    from SPASegmentLib.service.choice import INSECURE_VARIABLE

    try:
        server_address(address, insecure=bool(os.environ.get(INSECURE_VARIABLE)))
    except ServerError as error:
        return str(error)
    return ""
