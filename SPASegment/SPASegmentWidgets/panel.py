"""The panel: draws the workbench's screen, and tells the workbench what the user chose and did."""

from __future__ import annotations

import logging

import slicer
from slicer.i18n import tr as _

from . import install
from .advanced import Advanced
from .cards import CANDIDATES, Cards
from .dialogs import Dialogs
from .install_page import InstallPage
from .main_thread import MainThreadQueue
from .profiles import ProfileRow
from .settings import Settings
from .shortcuts import Shortcuts
from .views import Views

STATE_DELAY_MS = 400
TONES = {"hint": "#3d7eff", "busy": "#8a8f98", "done": "#2f9e5b", "problem": "#d9480f"}
"""Bar beside the status sentence; readable on light and on dark."""
BUTTONS = {
    "undoButton": "undo",
    "redoButton": "redo",
    "cancelButton": "cancel",
    "nextSliceButton": "next_slice",
    "previousSliceButton": "previous_slice",
}


class Panel:
    """Everything between the widgets and the workbench; lives from setup() to cleanup()."""

    def __init__(self, ui, logic, dialogs=None) -> None:
        """ui: the widgets by name. logic: gives workbench and parameter node. dialogs: asks the user."""
        import qt

        self.ui, self.logic = ui, logic
        self.dialogs = dialogs or Dialogs()
        self.settings = Settings.load()
        self.queue = MainThreadQueue()
        self.workbench = None
        self.parameters = None
        self._entered = False
        self._adopting = False
        self._gui_tag = None
        self._observed: tuple | None = None
        self._pushed: dict[str, object] = {}
        self._state = ""
        self._remembered = ""
        self.cards = Cards(ui, self.act)
        self.profiles = ProfileRow(ui, self.dialogs, lambda: self.workbench, self.on_profile)
        self.shortcuts = Shortcuts(self.act)
        self.views = Views(self.queue.post, self.on_placed, self.render_placing)
        self.advanced = Advanced(ui, self.dialogs, self.settings, self.on_setting)
        self.install_page = InstallPage(ui, self.dialogs, self.settings, self.start)
        self._state_timer = qt.QTimer()
        self._state_timer.singleShot = True
        self._state_timer.setInterval(STATE_DELAY_MS)
        self._state_timer.connect("timeout()", self.keep_state)
        for selector in (ui.volumeSelector, ui.segmentationSelector, ui.segmentSelector):
            selector.setMRMLScene(slicer.mrmlScene)
        self._connect()
        self.install_page.refresh()

    def _connect(self) -> None:
        ui = self.ui
        for name, action in BUTTONS.items():
            getattr(ui, name).connect("clicked()", self._presser(action))
        ui.seedButton.connect("clicked()", self.on_place_seed)
        ui.excludeButton.connect("clicked()", self.on_place_exclusion)
        ui.layoutButton.connect("clicked()", self.on_layout)
        ui.newSegmentButton.connect("clicked()", self.on_new_segment)
        ui.segmentSelector.connect("currentSegmentChanged(QString)", self.on_segment)

    def _presser(self, action: str):
        def pressed() -> None:
            self.act(action)

        return pressed

    # Life

    def start(self) -> None:
        """Everything is installed: make the workbench and fill what depends on the library."""
        if self.workbench is not None:
            return
        from SPASegmentLib.scene.keys import KEYS, TOOLTIPS

        names = {name: text.split(":")[0].rstrip(".") for name, text in TOOLTIPS.items()}
        self.advanced.fill(KEYS, names, self.logic.shipped_colors())
        self.workbench = self.logic.start_workbench(self.settings, self.queue.post)
        self.workbench.subscribe(self.render)
        for name in ("learn", "samples", "window"):
            self._push_setting(name)
        if self._entered:
            self.enter()

    def restart(self) -> None:
        """Begin anew with an empty workbench, as when Slicer starts."""
        self.release_parameters()
        self._state = ""
        if self.workbench is not None:
            self.workbench.close()
            self.workbench = None
        self.start()

    def enter(self) -> None:
        """The module was opened."""
        self._entered = True
        self.install_page.refresh()
        self.queue.hurry(True)
        if self.workbench is None:
            return
        self.adopt_parameters()
        self.views.follow()
        if self.settings.own_layout:
            self.views.show_own_layout(True)
        self.choose_views()
        self.install_keys()
        self.workbench.refresh_profiles()
        self.workbench.prepare()
        self.render(self.workbench.screen)

    def exit(self) -> None:
        """Another module was opened: keys and clicks are theirs; work goes on."""
        self._entered = False
        self.shortcuts.remove()
        self.views.stop_placing()
        self.queue.hurry(False)
        self.keep_state()

    def close(self) -> None:
        """The module is unloaded or reloaded: leave nothing behind."""
        self.keep_state()
        self._entered = False
        self.shortcuts.remove()
        self.release_parameters()
        self.views.close()
        self._state_timer.stop()
        if self.workbench is not None:
            self.workbench.close()
            self.workbench = None
        self.queue.close()

    # The scene

    def adopt_parameters(self) -> None:
        """Take the parameter node of the present scene, and go on from what it holds."""
        import vtk

        parameters = self.logic.getParameterNode()
        if self._observed is not None and self._observed[0] is parameters.parameterNode:
            return
        self.release_parameters()
        self.parameters = parameters
        node = parameters.parameterNode
        self._observed = (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self.on_parameters))
        self._gui_tag = parameters.connectGui(self.ui)
        state = parameters.state
        self.push_parameters()
        if state and state != self._state and self.workbench is not None:
            self._state = state
            self.workbench.from_state(state)
        elif not parameters.profile:
            self._remembered = self.settings.profile

    def release_parameters(self) -> None:
        """Let go of the parameter node."""
        if self._observed is not None:
            node, tag = self._observed
            node.RemoveObserver(tag)
        if self.parameters is not None and self._gui_tag is not None:
            self.parameters.disconnectGui(self._gui_tag)
        self.parameters = self._observed = self._gui_tag = None
        self._pushed = {}

    def on_parameters(self, caller=None, event=None) -> None:
        """Something in the parameter node changed: by a selector, by undo, by a script."""
        self.push_parameters()

    def push_parameters(self) -> None:
        """Tell the workbench what is chosen now; only what changed."""
        if self.parameters is None or self.workbench is None or self._adopting:
            return
        if slicer.mrmlScene.IsBatchProcessing():
            return
        self._adopting = True
        try:
            volume, segmentation = self.parameters.volume, self.parameters.segmentation
            if self._changed("segmentation", segmentation):
                self.ui.segmentSelector.setCurrentNode(segmentation)
                self.workbench.set_segmentation(segmentation)
            segment = self.parameters.segment
            if segment and segment != self.ui.segmentSelector.currentSegmentID():
                self.ui.segmentSelector.setCurrentSegmentID(segment)
            segment = str(self.ui.segmentSelector.currentSegmentID() or "")
            if segment != self.parameters.segment:
                self.parameters.segment = segment
            if self._changed("segment", segment):
                self.workbench.set_segment(segment or None)
            if self._changed("volume", volume):
                self.workbench.set_volume(volume)
                if volume is not None and self._entered:
                    self.views.show_volume(volume)
        finally:
            self._adopting = False
        self.workbench.set_editor_node(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentEditorNode"))

    def _changed(self, name: str, value: object) -> bool:
        if (name in self._pushed and self._pushed[name] is value) or (self._pushed.get(name, self) == value):
            return False
        self._pushed[name] = value
        return True

    def scene_closing(self) -> None:
        """The scene is about to be closed: nothing of it may be held."""
        self.views.stop_placing()
        self.release_parameters()
        self._state = ""
        if self.workbench is not None:
            self.workbench.cancel()

    def scene_read(self) -> None:
        """Another scene was read: go on from what it holds."""
        if self.parameters is not None and self.parameters.state != self._state:
            self.release_parameters()
        self.scene_closed()
        self.push_parameters()

    def scene_closed(self) -> None:
        """The scene is empty, or another one was read."""
        self.views.forget()
        if self._entered and self.workbench is not None:
            self.adopt_parameters()
            self.choose_views()
            self.views.follow()

    def keep_state(self) -> None:
        """Write what is going on into the parameter node, so that a saved scene goes on from here."""
        if self.parameters is None or self.workbench is None or self._observed is None:
            return
        if self._observed[0].GetScene() is None:
            return
        try:
            state = self.workbench.to_state()
        except Exception:
            logging.exception("SPASegment: the state could not be kept")
            return
        self._state = state
        if state != self.parameters.state:
            self.parameters.state = state

    # What the user does

    def act(self, action: str) -> None:
        """A key or a button."""
        if self.workbench is None:
            return
        self.views.stop_placing()
        self.workbench.act(action)

    def on_place_seed(self) -> None:
        """The next click in a slice view is a seed; once more: it is not."""
        self._place(True)

    def on_place_exclusion(self) -> None:
        """The next click is a point that does not belong to the object."""
        self._place(False)

    def _place(self, positive: bool) -> None:
        if self.views.placing is positive:
            self.views.stop_placing()
        elif self.workbench is not None:
            self.views.place(positive)
        self.render_placing()

    def on_placed(self, ras: tuple, positive: bool, slice_node: object) -> None:
        """A point was placed."""
        if self.workbench is None or self.parameters is None:
            return
        self._ensure_target()
        self.workbench.seed(ras, positive=positive, slice_node=slice_node)

    def _ensure_target(self) -> None:
        """Make the segmentation and the segment that approved masks will go to, where none is chosen."""
        volume = self.parameters.volume
        if volume is None:
            return
        from SPASegmentLib.scene.segments import ensure_segment, ensure_segmentation

        if self.parameters.segmentation is None:
            name = _("{volume} segmentation").format(volume=volume.GetName())
            self.parameters.segmentation = ensure_segmentation(slicer.mrmlScene, volume, name)
        if not self.ui.segmentSelector.currentSegmentID():
            identity = ensure_segment(self.parameters.segmentation, _("Object"))
            self.parameters.segment = identity
            self.push_parameters()

    def on_new_segment(self) -> None:
        """Add a segment and go on in it."""
        if self.parameters is None or self.parameters.volume is None:
            return
        if self.parameters.segmentation is None:
            self._ensure_target()
            return
        segmentation = self.parameters.segmentation.GetSegmentation()
        self.parameters.segment = segmentation.AddEmptySegment(
            "", segmentation.GenerateUniqueSegmentID(_("Object"))
        )
        self.push_parameters()

    def on_segment(self, identity: str) -> None:
        """Another segment was chosen."""
        if self.parameters is not None and not self._adopting:
            self.parameters.segment = str(identity)
            self.push_parameters()

    def on_profile(self, name: str) -> None:
        """Another profile was chosen; it is the one next time, too."""
        self._remembered = ""
        if not name and self.settings.profile:
            self.settings.profile = ""
            self.settings.save()
        if self.workbench is not None:
            self.workbench.set_profile(name or None)

    def on_layout(self) -> None:
        """The five views, or what was shown before."""
        if self.workbench is None:
            return
        self.settings.own_layout = not self.views.own_layout
        self.settings.save()
        self.views.show_own_layout(self.settings.own_layout)
        self.choose_views()

    def choose_views(self) -> None:
        """Tell the workbench which views there are now."""
        if self.workbench is None:
            return
        large, small = self.views.chosen()
        self.workbench.set_views(large, small)
        if self.parameters is not None and self.parameters.volume is not None:
            self.views.show_volume(self.parameters.volume)
        self.ui.layoutButton.checked = self.views.own_layout

    def on_setting(self, name: str) -> None:
        """A setting was changed in the advanced section."""
        if name == "keys":
            self.install_keys()
            if self.workbench is not None:
                self.render(self.workbench.screen)
        else:
            self._push_setting(name)

    def _push_setting(self, name: str) -> None:
        if self.workbench is None:
            return
        if name in ("model", "device"):
            self.workbench.set_model(self.settings.model, self.settings.device)
            self.workbench.prepare()
        elif name == "learn":
            self.workbench.set_learn(self.settings.learn)
        elif name == "samples":
            self.workbench.set_samples(self.settings.samples or None)
        elif name == "window":
            self.workbench.set_window(self.settings.window)

    def install_keys(self) -> None:
        """Keys live while the module is open, in its main window."""
        if not self._entered or self.workbench is None:
            return
        from SPASegmentLib.scene.keys import ALSO

        keys = self.advanced.keys()
        taken = {key for key in keys.values() if key}
        self.shortcuts.install(
            {
                action: tuple(k for k in (key, *(a for a in ALSO.get(action, ()) if a not in taken)) if k)
                for action, key in keys.items()
            }
        )

    # What the user sees

    def render(self, screen) -> None:
        """Draw the screen."""
        ui = self.ui
        self._set("statusLabel", screen.status)
        color = TONES.get(screen.tone, TONES["hint"])
        style = f"QFrame#statusFrame {{ border-left: 4px solid {color}; }}"
        if ui.statusFrame.styleSheet != style:
            ui.statusFrame.styleSheet = style
        self._set("detailLabel", screen.detail)
        self._set("warningsLabel", "\n".join(screen.warnings))
        ui.warningsLabel.visible = bool(screen.warnings)
        ui.progressBar.visible = screen.busy
        ui.cancelButton.visible = screen.busy
        ui.progressBar.maximum = 0 if screen.progress is None else 100
        if screen.progress is not None:
            ui.progressBar.value = round(100 * screen.progress)
        self.cards.render(screen)
        self.profiles.render(screen)
        for name, action in BUTTONS.items():
            getattr(ui, name).enabled = action in screen.enabled
        self._render_tooltips()
        self._render_model(screen)
        self.render_placing()
        if self._remembered in screen.profiles:
            name, self._remembered = self._remembered, ""
            if screen.profile is None:
                self.queue.post(lambda: self.on_profile(name))
        if screen.profile is not None and screen.profile != self.settings.profile:
            self.settings.profile = screen.profile
            self.settings.save()
        if self.parameters is not None:
            if self.parameters.profile != (screen.profile or ""):
                self.parameters.profile = screen.profile or ""
            self._state_timer.start()

    def render_placing(self) -> None:
        """Show on the buttons what the next click does."""
        placing = self.views.placing if self.workbench is not None else None
        has_volume = self.parameters is not None and self.parameters.volume is not None
        has_proposal = self.workbench is not None and self.workbench.screen.recommendation is not None
        self.ui.seedButton.enabled = has_volume
        self.ui.excludeButton.enabled = has_volume and has_proposal
        self.ui.seedButton.checked = placing is True
        self.ui.excludeButton.checked = placing is False
        self.ui.newSegmentButton.enabled = has_volume
        text = _("Click on the object...") if placing is True else _("Place seed")
        self._set("seedButton", text)
        self._set("excludeButton", _("Click what to exclude...") if placing is False else _("Exclude point"))

    def _render_tooltips(self) -> None:
        from SPASegmentLib.scene.keys import tooltip

        keys = self.advanced.keys()
        if keys == self._pushed.get("tooltips"):
            return
        self._pushed["tooltips"] = keys
        buttons = {
            **BUTTONS,
            "approveButton": "approve",
            "noneButton": "none_of_these",
            "cardPicture0": "approve",
        }
        for k in range(CANDIDATES):
            buttons.update(
                {
                    f"pickButton{k + 1}": f"pick:{k}",
                    f"cardPicture{k + 1}": f"pick:{k}",
                    f"takeButton{k + 1}": f"take:{k}",
                }
            )
        for name, action in buttons.items():
            getattr(self.ui, name).toolTip = tooltip(action, keys)

    def _render_model(self, screen) -> None:
        profile = _("no profile")
        if screen.profile:
            profile = _('profile "{name}", {count} images').format(
                name=screen.profile, count=screen.profile_images
            )
        learn = "" if screen.learn or not screen.profile else _(" (not learning)")
        self._set(
            "modelStatusLabel",
            _("Model {model} on {device} · {profile}").format(
                model=screen.model, device=screen.device, profile=profile
            )
            + learn,
        )

    def _set(self, name: str, text: str) -> None:
        widget = getattr(self.ui, name)
        if widget.text != text:
            widget.text = text


def library_there() -> bool:
    """Whether the panel can work: the library is found and everything it needs is installed."""
    return install.put_library_on_path() and not install.missing()
