"""Segments of a file, opened on the chosen volume to go on from: a button in the advanced section."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from slicer.i18n import tr as _

from .export import NEEDED, ask_and_install, sentence_of, source_files
from .scene_link import SceneLink
from .settings import PanelSettings

WRITING = "highdicom"
"""Of what is needed, what reading does without."""


class OpenSegments:
    """The button. What became of it is said under it, as of the export."""

    def __init__(
        self,
        ui,
        dialogs,
        settings: PanelSettings,
        scene: SceneLink,
        post: Callable[[Callable[[], None]], None],
        look_at: Callable[[tuple], None],
    ) -> None:
        """scene: which volume is chosen. post: runs a function on Qt's thread. look_at: shows world RAS."""
        self._ui, self._dialogs, self._settings, self._scene = ui, dialogs, settings, scene
        self._post, self._look_at = post, look_at
        self.reading = False
        ui.openSegmentsButton.connect("clicked()", self.on_open)

    def refresh(self) -> None:
        """Let it be pressed where a volume is chosen."""
        self._ui.openSegmentsButton.enabled = self._scene.volume is not None and not self.reading

    def on_open(self) -> None:
        """Ask for what is missing and for a file, and read it beside the interface."""
        volume = self._scene.volume
        if self.reading or volume is None:
            return
        problem = ask_and_install(
            [one for one in NEEDED if one.name != WRITING],
            _("{names} must be installed to open segments. Install now?"),
            _("No segments are opened: {names} must be installed first."),
            (self._dialogs, self._settings, self._say),
        )
        if problem:
            self._say(problem)
            return
        kinds = _("Segments") + " (*.dcm *.seg.nrrd *.nrrd *.nii *.nii.gz);;" + _("All files") + " (*)"
        path = self._dialogs.ask_file(_("Open segments"), kinds)
        if path is None:
            return
        from SPASegmentLib.errors import SPASegmentError
        from SPASegmentLib.mrml.continuing import voxels_of

        try:
            voxels = voxels_of(volume, source_files(volume))
        except SPASegmentError as error:
            self._say(str(error))
            return
        self.reading = True
        self.refresh()
        self._say(_("Reading {name}...").format(name=path.name))
        arguments = (path, volume, voxels)
        threading.Thread(target=self._work, args=arguments, name="SPASegment opening", daemon=True).start()

    def _work(self, path: Path, volume, voxels) -> None:
        """On a thread of its own."""
        segments, said = [], ""
        try:
            from SPASegmentLib.imaging.segment_files import read_segments
            from SPASegmentLib.mrml.continuing import middle_of

            segments = read_segments(path, voxels)
            first = middle_of(segments, voxels)
            if first is None:
                said = _("{name} holds no segment with a voxel; there is nothing to go on from.")
                said = said.format(name=path.name)
        except Exception as error:
            first = None
            said = sentence_of(
                error, path, _("The segments could not be opened; the Python console says why.")
            )
        self._post(lambda: self._done(path, volume, segments, first, said))

    def _done(self, path: Path, volume, segments: Sequence, first: tuple | None, said: str) -> None:
        """Put what was read into the scene, choose it and show it."""
        self.reading = False
        if first is not None:
            said = self._shown(path, volume, segments, *first)
        self.refresh()
        self._say(said)

    def _shown(self, path: Path, volume, segments: Sequence, number: int, ras: tuple) -> str:
        """Returns what is said of it."""
        from SPASegmentLib.errors import SPASegmentError
        from SPASegmentLib.mrml.continuing import add_segments, world_place

        if volume.GetScene() is None:
            return _("The volume was removed in the meantime; nothing was opened.")
        try:
            node = add_segments(volume, path.name.partition(".")[0], segments)
            place = world_place(volume, ras)
        except SPASegmentError as error:
            return str(error)
        if volume is self._scene.volume:
            self._scene.choose(volume, node, node.GetSegmentation().GetNthSegmentID(number))
            self._look_at(place)
        return _("{count} segments opened as {name}; Continue segment goes on from the chosen one.").format(
            count=len(segments), name=node.GetName()
        )

    def _say(self, sentence: str) -> None:
        self._ui.exportDicomSaid.text = sentence
        self._ui.exportDicomSaid.visible = bool(sentence)
