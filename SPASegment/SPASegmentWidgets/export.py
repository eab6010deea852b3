"""DICOM SEG of the chosen volume's segmentation: a button in the advanced section that writes a file."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from . import install
from .scene_link import SceneLink
from .settings import PanelSettings

NEEDED = (
    install.Requirement("highdicom", "0.28"),
    install.Requirement("pydicom", "3.0"),
    install.Requirement("SimpleITK", "2.3"),
    install.Requirement("nibabel", "5.2"),
)
"""What reading DICOM and writing DICOM SEG takes; asked for when it is first wanted."""
_INSTANCES = "DICOM.instanceUIDs"
"""Attribute in which Slicer keeps the images that a volume was loaded from."""


class DicomExport:
    """The button, and a sentence under it about what became of it."""

    def __init__(
        self,
        ui,
        dialogs,
        settings: PanelSettings,
        scene: SceneLink,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        """scene: which volume and segmentation are chosen. post: runs a function on Qt's thread."""
        self._ui, self._dialogs, self._settings, self._scene, self._post = ui, dialogs, settings, scene, post
        self._known: tuple[object, bool] = (None, False)
        self.writing = False
        ui.exportDicomButton.connect("clicked()", self.on_export)
        self._say("")

    def refresh(self) -> None:
        """Let it be pressed where the volume's DICOM files are known, and say in its tooltip why not."""
        volume = self._scene.volume
        key = volume and (volume, volume.GetStorageNodeID(), volume.GetAttribute(_INSTANCES))
        if key != self._known[0]:  # else the disk would be asked at every step
            self._known = key, bool(source_files(volume))
        known = self._known[1]
        self._ui.exportDicomButton.enabled = known and not self.writing
        tip = _("Only for a volume loaded from DICOM files that are still there")
        if known:
            tip = _(
                "Write the segmentation of this volume as a DICOM SEG file for the archive. What each segment"
                " is, is the terminology it has in Segmentations."
            )
            if _reading_database() is not None:
                tip += " " + _("It is put into Slicer's DICOM database, too.")
        self._ui.exportDicomButton.toolTip = tip

    def on_export(self) -> None:
        """Ask for what is missing and for a file, and write it beside the interface."""
        volume, parameters = self._scene.volume, self._scene.parameters
        segmentation = parameters.segmentation if parameters is not None else None
        if self.writing or volume is None:
            return
        problem = ask_and_install(
            NEEDED,
            _("{names} must be installed to write DICOM SEG. Install now?"),
            _("No DICOM SEG is written: {names} must be installed first."),
            (self._dialogs, self._settings, self._say),
        )
        if problem:
            self._say(problem)
            return
        if segmentation is None:
            self._say(_("Nothing is approved yet; approve a mask first."))
            return
        title, name = _("Export DICOM SEG"), f"{segmentation.GetName()}.dcm"
        path = self._dialogs.ask_file(title, "DICOM (*.dcm)", save_as=name)
        if path is None:
            return
        if path.resolve() in [file.resolve() for file in source_files(volume)]:
            self._say(_("{name} is an image of the volume; choose another name.").format(name=path.name))
            return
        self._begin(segmentation, volume, path)

    def _begin(self, segmentation, volume, path: Path) -> None:
        """Take from the scene what is needed, and write on a thread of its own."""
        from SPASegmentLib.errors import SPASegmentError
        from SPASegmentLib.mrml.segmentation_files import dicom_writer

        files, folder = source_files(volume), tempfile.TemporaryDirectory(prefix="spasegment-")

        def frames_of(volume):
            from SPASegmentLib.imaging.dicom_sources import frames_of_slices

            return frames_of_slices(volume, files)

        try:
            write = dicom_writer(segmentation, volume, frames_of, Path(folder.name))
        except SPASegmentError as error:
            folder.cleanup()
            self._say(str(error))
            return
        self.writing = True
        self.refresh()
        self._say(_("Writing {name}...").format(name=path.name))
        arguments = (write, path, folder)
        threading.Thread(target=self._work, args=arguments, name="SPASegment export", daemon=True).start()

    def _work(self, write: Callable[[Path], None], path: Path, folder: tempfile.TemporaryDirectory) -> None:
        """On a thread of its own."""
        written = False
        try:
            write(path)
            said, written = _("Written: {path}").format(path=path), True
        except Exception as error:
            said = sentence_of(
                error, path, _("The DICOM SEG could not be written; the Python console says why.")
            )
        finally:
            folder.cleanup()
        self._post(lambda: self._done(said, path if written else None))

    def _done(self, said: str, written: Path | None) -> None:
        database = _reading_database() if written is not None else None
        if database is not None:
            database.insert(str(written), True, False)  # a copy, without a thumbnail
            said = _("{said} It is in Slicer's DICOM database, too.").format(said=f"{said}.")
        self.writing = False
        self.refresh()
        self._say(said)

    def _say(self, sentence: str) -> None:
        self._ui.exportDicomSaid.text = sentence
        self._ui.exportDicomSaid.visible = bool(sentence)


def ask_and_install(
    needed: Sequence[install.Requirement],
    question: str,
    refused: str,
    ask: tuple[object, PanelSettings, Callable[[str], None]],
) -> str:
    """Ask for what is missing and install it; why that did not work, or "".

    question, refused: what is asked, and what is said after No, with {names} for what is missing. ask:
    dialogs, settings, and what says how it goes.
    """
    dialogs, settings, say = ask
    lacking = [one for one in needed if not one.satisfied]
    if not lacking:
        return ""
    names = ", ".join(one.name for one in lacking)
    if not dialogs.confirm(_("Install Python packages"), question.format(names=names)):
        return refused.format(names=names)
    installer = install.Installer(dialogs.confirm, bool(settings.server), needed)
    outcome = installer.install(lambda _share, text: say(text))
    if outcome.restart:
        return _("Restart Slicer to use what was installed, then press the button again.")
    return outcome.problem


def sentence_of(error: Exception, path: Path, otherwise: str) -> str:
    """What is said of an error with a file. otherwise: of one that nobody expected, which is logged."""
    from SPASegmentLib.errors import SPASegmentError

    if isinstance(error, SPASegmentError):
        return str(error)
    if isinstance(error, OSError):
        name, reason = error.filename or path, error.strerror or type(error).__name__
        return _("The system refused {name}: {reason}.").format(name=name, reason=reason)
    logging.error("SPASegment: %s", otherwise, exc_info=error)
    return otherwise


def source_files(volume) -> list[Path]:
    """The DICOM files a volume node was loaded from, as Slicer's database or its storage node says; or []."""
    if volume is None:
        return []
    database = getattr(slicer, "dicomDatabase", None)
    uids = (volume.GetAttribute(_INSTANCES) or "").split()
    names = [database.fileForInstance(uid) for uid in uids] if database is not None else []
    storage = volume.GetStorageNode()
    if not any(names) and storage is not None:
        listed = range(storage.GetNumberOfFileNames())
        names = [storage.GetFullNameFromFileName(), *(storage.GetFullNameFromNthFileName(n) for n in listed)]
    paths = [Path(name) for name in dict.fromkeys(names) if name]
    return paths if paths and all(_is_dicom(path) for path in (paths[0], paths[-1])) else []


def _reading_database():
    """Slicer's DICOM database where QuantitativeReporting reads segmentations from it, else None."""
    database = getattr(slicer, "dicomDatabase", None)
    plugins = getattr(slicer.modules, "dicomPlugins", {})
    return database if "DICOMSegmentationPlugin" in plugins and database and database.isOpen else None


def _is_dicom(path: Path) -> bool:
    """By its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
