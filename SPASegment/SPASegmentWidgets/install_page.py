"""The page the panel shows until everything it needs is installed."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import slicer
from slicer.i18n import tr as _

from . import install
from .server import unusable
from .settings import PanelSettings


class InstallPage:
    """Says what will be installed and how large it is, asks, installs, and hands over to the panel."""

    def __init__(self, ui, dialogs, settings: PanelSettings, ready: Callable[[], None]) -> None:
        """ready: is called when everything is there."""
        self._ui, self._dialogs, self._settings, self._ready = ui, dialogs, settings, ready
        self._running = False
        ui.installButton.connect("clicked()", self.on_install)
        ui.checkButton.connect("clicked()", self.refresh)
        ui.installServerButton.connect("clicked()", self.on_server)

    def refresh(self) -> None:
        """Look at what is missing; show it, or hand over."""
        if self._running:
            return
        complete = install.put_library_on_path()
        missing = self._missing() if complete else []
        self._ui.installFrame.visible = bool(missing) or not complete
        self._ui.workArea.visible = complete and not missing
        self._ui.installProgress.visible = False
        if complete and not missing:
            if self._settings.installing:
                self._settings.installing = False
                self._settings.save()
            self._ready()
            return
        title = _("SPASegment segments a slice from one click")
        self._ui.installTitle.text = f"<b>{title}</b>"
        self._ui.installText.text = self._text(missing) if complete else _lost()
        self._ui.installButton.visible = complete
        self._ui.installButton.text = _("Go on installing") if self._settings.installing else _("Install...")
        self._ui.installServerButton.visible = complete
        server = bool(self._settings.server)
        self._ui.installServerButton.text = _("Use no server") if server else _("Use a server...")
        self._ui.installStep.text = ""

    def on_server(self) -> None:
        """Let a server compute, which needs less to be installed; or this computer after all."""
        if self._running:
            return
        address = key = ""
        if not self._settings.server:
            title = _("Use a server")
            question = _("Its address, such as https://segment.example.org:")
            address = self._dialogs.ask_text(title, question) or ""
            problem = unusable(address) if address else _("No server was set.")
            if problem:
                self._ui.installStep.text = problem
                return
            question = _("Your key; leave it empty where the server asks for none:")
            key = self._dialogs.ask_text(title, question, secret=True) or ""
        self._settings.server, self._settings.server_key = address, key
        self._settings.save()
        self.refresh()

    def _missing(self) -> list[install.Requirement]:
        return install.missing(server=bool(self._settings.server))

    def on_install(self) -> None:
        """Ask, install with progress, and go on; what was installed before is not installed again."""
        missing = self._missing()
        if self._running or not missing:
            self.refresh()
            return
        if not self._dialogs.confirm(_("Install Python packages"), _question(missing)):
            self._ui.installStep.text = _("Nothing was installed.")
            return
        self._running = True
        self._settings.installing = True
        self._settings.save()
        self._ui.installButton.enabled = False
        self._ui.installProgress.visible = True
        try:
            installer = install.Installer(self._dialogs.confirm, server=bool(self._settings.server))
            outcome = installer.install(self._progress)
        finally:
            self._running = False
            self._ui.installButton.enabled = True
        if outcome.restart:
            self._ui.installStep.text = _(
                "Slicer must restart to use what was installed; then open this module again."
            )
            question = _("Restart Slicer now? Save your work first.")
            if self._dialogs.confirm(_("Restart"), question):
                slicer.util.restart()
            return
        self.refresh()
        self._ui.installStep.text = outcome.problem

    def _progress(self, share: float, text: str) -> None:
        self._ui.installProgress.maximum = 100
        self._ui.installProgress.value = round(100 * share)
        self._ui.installStep.text = text
        slicer.app.processEvents()

    def _text(self, missing: list[install.Requirement]) -> str:
        intro = _(
            "You click once on an object and get one recommended mask and four named alternatives. Your picks"
            " teach it what you include and leave out."
        )
        where = _("Everything is computed on this computer; no image leaves it.")
        if self._settings.server:
            where = _("The slices you work on are computed by {server}.").format(server=self._settings.server)
        needs = _("Before the first use these Python packages are installed into Slicer, once:")
        rows = "".join(
            f"<tr><td>{escape(one.name)} {escape(one.least)}+&nbsp;&nbsp;</td>"
            f"<td align='right'>{_size(one)}</td></tr>"
            for one in missing
        )
        total = _(
            "About {least:.1f} GB on the disk; up to {most:.1f} GB with the libraries for NVIDIA graphics"
            " cards."
        ).format(least=install.disk_mb(missing) / 1000, most=_most(missing) / 1000)
        if not any(one.name == "torch" for one in missing):
            total = _("About {size} MB on the disk.").format(size=install.disk_mb(missing))
        after = _("The trained model comes with the extension: afterwards no network is needed.")
        if self._settings.server:
            after = ""
        return f"<p>{intro} {escape(where)}</p><p>{needs}</p><table>{rows}</table><p>{total} {after}</p>"


def _size(one: install.Requirement) -> str:
    size = install.DISK_MB.get(one.name, 0)
    return _("{size} MB").format(size=size) if size else _("small")


def _most(missing: list[install.Requirement]) -> int:
    return install.disk_mb(missing) + install.TORCH_CUDA_MB - install.DISK_MB["torch"]


def _question(missing: list[install.Requirement]) -> str:
    names = ", ".join(one.name for one in missing)
    size = install.disk_mb(missing)
    return _(
        "{names} will be downloaded and installed into Slicer's Python ({size} MB or more). Slicer does not"
        " answer while packages are installed; this takes some minutes. Install them?"
    ).format(names=names, size=size)


def _lost() -> str:
    return _("The library SPASegmentLib was not found beside this module: install the extension again.")
