"""A study in the panel: one image after the other, shown from Start on, recorded at Next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _


class StudySection:
    """Runs a plan for one user; its card is not to be seen before one is chosen."""

    def __init__(self, ui, dialogs, controller: Callable[[], object], scene, changed: Callable) -> None:
        """scene: the panel's `SceneLink`. changed: is called with the volume to show, or None."""
        self._dialogs, self._controller, self._scene = dialogs, controller, scene
        self._changed = changed
        self._node = self._steps = self.run = None
        self.open_button = qt.QPushButton(_("Run a study..."))
        self.open_button.toolTip = _("Segment the images of a plan and be recorded; see `spasegment study`.")
        self.open_button.connect("clicked()", self.choose)
        ui.advancedSection.layout().addRow(self.open_button)
        self.frame, self.words, self.how = qt.QFrame(), qt.QLabel(), qt.QLabel()
        self.frame.setFrameShape(qt.QFrame.StyledPanel)
        layout, row = qt.QVBoxLayout(self.frame), qt.QHBoxLayout()
        for label in (self.words, self.how):
            label.wordWrap = True
            layout.addWidget(label)
        layout.addLayout(row)
        self.start_button = self._button("", self.start_or_pause, row)
        self.next_button = self._button(_("Next"), self.next, row)
        self.skip_button = self._button(_("Skip"), self.skip, row)
        ui.workArea.layout().insertWidget(0, self.frame)
        self.frame.visible = False

    def _button(self, text: str, pressed: Callable[[], None], row):
        button = qt.QPushButton(text)
        button.setFocusPolicy(qt.Qt.NoFocus)
        button.connect("clicked()", pressed)
        row.addWidget(button)
        return button

    # What the panel asks

    @property
    def hides_image(self) -> bool:
        """Whether nothing is to be seen, as before Start and in a pause."""
        return self.run is not None and self.run.phase != "running"

    @property
    def hides_alternatives(self) -> bool:
        """Whether alternatives are not for this image."""
        return self.run is not None and (self.hides_image or not self.run.condition.shows_alternatives)

    def limited(self, screen):
        """What is drawn of a screen; also counts what is new on it."""
        if self.run is None:
            return screen
        from SPASegmentLib.mrml.study import limited

        self._steps.update(self._controller().works)
        return limited(screen, self.run)

    def refuses(self, action: str) -> bool:
        """Whether the user does not have an action now; then the status line says why."""
        sentence = "" if self.run is None else self.run.refusal(action)
        if sentence:
            self._say(sentence)
        return bool(sentence)

    def count(self, what: str) -> None:
        """A key ("keys"), or a button or a place in a view ("clicks")."""
        if self.run is not None:
            self.run.count(what)

    # What the user does

    def choose(self) -> None:
        """Ask for a plan and for who takes part; or leave the study that is run."""
        if self.run is not None:
            self.leave()
            return
        path = self._dialogs.ask_file(_("Choose the plan of a study"), _("Plans") + " (*.json)")
        if path is None or self._controller() is None:
            return
        from SPASegmentLib.errors import SPASegmentError
        from SPASegmentLib.study.plan import read_plan

        title = _("Run a study")
        try:
            user = self._dialogs.ask_choice(title, _("Who takes part?"), list(read_plan(Path(path)).users))
            if user:
                self.begin(Path(path), user)
        except SPASegmentError as error:
            self._dialogs.tell(title, [str(error)])

    def begin(self, path: Path, user: str) -> None:
        """Go on with a plan where this user stopped. Raises InputError where that cannot be."""
        from SPASegmentLib.mrml.study import StepCounter
        from SPASegmentLib.study.run import StudyRun

        self.run = StudyRun(path, user)
        self._steps = StepCounter(self.run.count)
        self._scene.parameters.volume = None
        self._controller().set_profile(None)
        self._tell()

    def leave(self) -> None:
        """The image that is not finished is begun anew another time."""
        self._close_image()
        self.run = self._steps = None
        self._tell()

    def start_or_pause(self) -> None:
        """Show the image and let the clock run, or stop it and cover the image."""
        if self.run.phase == "running":
            self.run.pause()
        else:
            self._guarded(self._start)
        self._tell()

    def next(self) -> None:
        """Record the image, and offer the next one."""
        from SPASegmentLib.mrml.study import APPROVE_FIRST, approved_mask

        mask = approved_mask(self._scene.parameters.segmentation, self._node)
        if mask is None and not self.run.condition.own_tool:
            self._say(APPROVE_FIRST)
            return
        self._record(mask)

    def skip(self) -> None:
        """Go on without a mask."""
        self._record(None)

    def _record(self, mask) -> None:
        labels, grid = mask or (None, None)
        self.run.pause()
        if self._guarded(lambda: self.run.next(labels, grid, model=self._steps.model)):
            self._close_image()
        self._tell()

    def _start(self) -> None:
        if self._node is None:
            self._node = load_image(self.run.file, self.run.case.id)
            self._steps.forget()
            self._scene.parameters.volume = self._node
            self._scene.ensure_target()  # for the Segment Editor, too
            if self.run.case.structure:
                self._scene.name_segment(self.run.case.structure)
        self.run.start()

    def _close_image(self) -> None:
        """Take the image and its segmentation out of the scene."""
        node, self._node = self._node, None
        if node is None or node.GetScene() is None:
            return
        segmentation = self._scene.parameters.segmentation
        self._scene.parameters.volume = None
        for one in (segmentation, node):
            if one is not None:
                slicer.mrmlScene.RemoveNode(one)

    def _guarded(self, act: Callable[[], None]) -> bool:
        """Do it; what is refused is said. Whether it was done."""
        from SPASegmentLib.errors import SPASegmentError

        try:
            act()
        except SPASegmentError as error:
            self._say(str(error))
            return False
        return True

    def _say(self, sentence: str) -> None:
        controller = self._controller()
        controller.messages.say(sentence, "problem")
        controller.refresh()

    def _tell(self) -> None:
        """Bring the card up to date, and the panel with it."""
        run = self.run
        self.open_button.text = _("Run a study...") if run is None else _("Leave the study")
        self.frame.visible = run is not None
        if run is not None:
            self.words.text = run.words
            ended = run.phase == "finished"
            self.how.text = "" if ended else f"{run.case.structure} {run.condition.how}".strip()
            self.start_button.text = _("Pause") if run.phase == "running" else _("Start")
            self.start_button.enabled = not ended
            self.next_button.enabled = self.skip_button.enabled = run.phase == "running"
        shown = None if self.hides_image else self._scene.volume
        self._changed(shown, self.run.case.seed_ras if shown is not None and run is not None else None)


def load_image(path: Path, name: str):
    """An image of a plan as a volume node of that name. Raises InputError where Slicer can't read it."""
    from SPASegmentLib.errors import InputError

    for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode"):
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(path))
        storage.SetCenterImage(False)
        node = slicer.mrmlScene.CreateNodeByClass(kind)
        node.UnRegister(None)
        node.SetName(name)
        if storage.ReadData(node):
            slicer.mrmlScene.AddNode(node)
            node.CreateDefaultDisplayNodes()
            return node
    raise InputError(f"The image {path} cannot be read; check that it is there and is a volume or a picture.")
