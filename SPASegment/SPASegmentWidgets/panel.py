"""The panel: shows the controller's screen, and tells the controller what the user chose and did."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from .advanced import Advanced
from .cards import Cards
from .dialogs import Dialogs
from .export import DicomExport
from .install_page import InstallPage
from .main_thread import MainThreadQueue
from .open_segments import OpenSegments
from .profiles import ProfileRow
from .scene_link import SceneLink
from .screen_view import BUTTONS, PLACING, ScreenView
from .server import ServerSection
from .settings import PanelSettings
from .shortcuts import Shortcuts
from .slice_marks import SliceMarks
from .study import StudySection
from .views import Views

OWN_KEYS = {"place_seed": "S", "exclude_point": "X", "draw_box": "O", "draw_scribble": "D"}
"""Actions that only this panel has, because a click or a drag must be announced here."""


class Panel:
    """Everything between the widgets and the controller; lives from setup() to cleanup()."""

    def __init__(self, ui, logic, dialogs=None) -> None:
        """ui: the widgets by name. logic: gives controller and parameter node. dialogs: asks the user."""
        self.ui, self.logic = ui, logic
        self.dialogs = dialogs or Dialogs()
        self.settings = PanelSettings.load()
        self.controller = None
        self.queue = MainThreadQueue(lambda: self._working)
        self._entered = False
        self._remembered = ""
        self._seeded: tuple | None = None
        self._folded_for = None
        self.view = ScreenView(ui, Cards(ui, self._clicked))
        self.profiles = ProfileRow(ui, self.dialogs, lambda: self.controller, self.on_profile)
        self.shortcuts = Shortcuts(self._pressed)
        self.views = Views(
            self.queue.post, self.on_placed, self.render_placing, self.choose_views, self.on_drawn
        )
        self.marks = SliceMarks(ui.marksButton, lambda: (self.scene.volume, self.views.large))
        self.scene = SceneLink(ui, logic, lambda: self.controller, self.on_volume)
        self.advanced = Advanced(ui, self.dialogs, self.settings, self.on_setting)
        self.server = ServerSection(
            ui,
            self.dialogs,
            self.settings,
            self.on_setting,
            self.queue.post,
            lambda: self.logic.server(self.settings),
        )
        self.export = DicomExport(ui, self.dialogs, self.settings, self.scene, self.queue.post)
        self.opening = OpenSegments(ui, self.dialogs, self.settings, self.scene, self.queue.post, self.go_to)
        self.study = StudySection(ui, self.dialogs, lambda: self.controller, self.scene, self.on_study)
        self.install_page = InstallPage(ui, self.dialogs, self.settings, self.start)
        for selector in (ui.volumeSelector, ui.segmentationSelector, ui.segmentSelector):
            selector.setMRMLScene(slicer.mrmlScene)
        self._connect()
        self.install_page.refresh()

    def _connect(self) -> None:
        ui = self.ui
        for name, action in BUTTONS.items():
            getattr(ui, name).connect("clicked()", self._presser(action))
        for name, action in PLACING.items():
            getattr(ui, name).connect("clicked()", self._presser(action))
        ui.layoutButton.connect("clicked()", self.on_layout)
        ui.newSegmentButton.connect("clicked()", self.scene.new_segment)
        ui.segmentSelector.connect("currentSegmentChanged(QString)", self.scene.segment_chosen)

    def _presser(self, action: str):
        def pressed() -> None:
            self._clicked(action)

        return pressed

    def _clicked(self, action: str) -> None:
        self.study.count("clicks")
        self.act(action)

    def _pressed(self, action: str) -> None:
        self.study.count("keys")
        self.act(action)

    @property
    def _working(self) -> bool:
        """Whether another thread has something to do."""
        return (
            self.server.testing
            or self.export.writing
            or self.opening.reading
            or (self.controller is not None and self.controller.working)
        )

    # Life

    def start(self) -> None:
        """Everything is installed: make the controller and fill what depends on the library."""
        if self.controller is not None:
            return
        from SPASegmentLib.mrml.keys import KEYS

        self.advanced.fill({**OWN_KEYS, **KEYS}, self.logic.shipped_colors())
        self.server.fill()
        self.controller = self.logic.start_controller(self.settings, self.queue.post)
        self.controller.subscribe(self.render)
        self.controller.set_before_change(self.scene.before_change)
        for name in ("learn", "samples", "window", "colors", "keep_approved"):
            self._push_setting(name)
        if self._entered:
            self.enter()

    def restart(self) -> None:
        """Begin anew with an empty controller, as when Slicer starts."""
        self.scene.begin_anew()
        if self.controller is not None:
            self.controller.close()
            self.controller = None
        self.start()

    def join(self) -> bool:
        """Somebody works with the controller, here or in the Segment Editor. Returns whether there is one."""
        self.install_page.refresh()
        self.queue.hurry(True)
        if self.controller is None:
            return False
        self._adopt()
        self.controller.refresh_profiles()
        self.controller.prepare()
        return True

    def leave(self) -> None:
        """Nobody does any more, or only here; what is computed goes on."""
        self.queue.hurry(self._entered)

    def enter(self) -> None:
        """The module was opened."""
        self._entered = True
        if not self.join():
            return
        self.scene.choose_the_only_volume()
        if self.settings.own_layout:
            self.views.show_own_layout(True)
        self.choose_views()
        self.views.follow()
        self.install_keys()
        self.render(self.controller.screen)

    def exit(self) -> None:
        """Another module was opened: keys, clicks and views are theirs; what is computed goes on."""
        self._entered = False
        self.shortcuts.remove()
        self.views.stop_placing()
        self.views.hand_over(self.scene.volume)
        self.leave()

    def close(self) -> None:
        """The module is unloaded or reloaded: leave nothing behind."""
        self._entered = False
        self.shortcuts.remove()
        self.scene.release()
        self.views.close()
        if self.controller is not None:
            self.controller.close()
            self.controller = None
        self.queue.close()

    # The scene

    def _adopt(self) -> None:
        self.scene.adopt()
        if not self.scene.parameters.profile:
            self._remembered = self.settings.profile

    def scene_closing(self) -> None:
        """The scene is about to be closed: nothing of it may be held."""
        self.views.stop_placing()
        self.scene.begin_anew()
        if self.controller is not None:
            self.controller.cancel()

    def scene_closed(self) -> None:
        """The scene is empty now."""
        self.views.forget()
        if self._entered and self.controller is not None:
            self._adopt()
            self.scene.choose_the_only_volume()
            self.choose_views()
            self.views.follow()
            self.render(self.controller.screen)

    def volume_added(self) -> None:
        """A volume is being added; chosen once it is there, if it is the only one."""
        if self._entered and self.controller is not None:
            self.queue.post(self.scene.choose_the_only_volume)

    def scene_read(self) -> None:
        """A scene was read, in place of the one before or in addition to it: go on from what it holds."""
        self.scene.scene_read()
        self.scene_closed()
        self.scene.push()

    def on_volume(self, volume) -> None:
        """Another volume was chosen."""
        if volume is not None and self._entered and not self.study.hides_image:
            self.views.show_volume(volume)

    def on_study(self, volume, ras: tuple | None) -> None:
        """A study shows an image, or covers it. ras: where its object is, or None."""
        if self.controller is None:
            return
        self.views.stop_placing()
        self.choose_views()
        if self._entered:
            self.views.show_volume(volume)
        if ras is not None:
            self.go_to(ras)
        self.render(self.controller.screen)

    def go_to(self, ras: tuple) -> None:
        """Show this place, world RAS in mm, in the large view."""
        for node in self.views.chosen()[0:1]:
            node.JumpSliceByCentering(*ras)

    # What the user does

    def act(self, action: str) -> None:
        """A key or a button."""
        if self.controller is None:
            return
        if self.study.refuses(self._kind_of(action)):
            return
        if action in OWN_KEYS:
            if action.startswith("draw_"):
                self._draw(action.removeprefix("draw_"))
            else:
                self._place(action == "place_seed")
            return
        placing = self.views.placing is not None or self.views.drawing is not None
        self.views.stop_placing()
        if action.startswith(("approve", "take", "redo")) and action in self.controller.screen.enabled:
            self.scene.ensure_target()  # the one that was chosen may be deleted by now
        if not (placing and action == "cancel"):
            self.controller.act(action)

    def _kind_of(self, action: str) -> str:
        """What a study calls an action: a click is the one that marks the object, or a further point."""
        if action not in OWN_KEYS:
            return action
        return "seed" if self.controller.screen.recommendation is None else "point"

    def _place(self, positive: bool) -> None:
        """The next click in a slice view is a point; asked for twice: it is not."""
        open_here = self.controller.screen.recommendation is not None
        if self.views.placing is positive:
            self.views.stop_placing()
        elif self.scene.volume is not None and (positive or open_here):
            self.views.place(positive)
        self.render_placing()

    def _draw(self, shape: str) -> None:
        """The next drag in a slice view is a box or a line; asked for twice: it is not."""
        if self.views.drawing == shape:
            self.views.stop_placing()
        elif self.scene.volume is not None:
            self.views.draw(shape)
        self.render_placing()

    def on_drawn(self, shape: str, places: list, positive: bool, slice_node: object) -> None:
        """A box or a line was drawn."""
        if self.controller is None or self.scene.parameters is None:
            return
        self.study.count("clicks")
        if self.study.refuses(self._kind_of(f"draw_{shape}")):
            return
        self.scene.ensure_target()
        self._seeded = tuple((a + b) / 2 for a, b in zip(places[0], places[-1], strict=True))
        if shape == "box":
            self.controller.box(*places, slice_node=slice_node)
        else:
            self.controller.scribble(places, positive=positive, slice_node=slice_node)

    def on_placed(self, ras: tuple, positive: bool, slice_node: object) -> None:
        """A point was placed."""
        if self.controller is None or self.scene.parameters is None:
            return
        self.study.count("clicks")
        if self.study.refuses(self._kind_of("place_seed")):
            return
        self.scene.ensure_target()
        if positive:
            self._seeded = ras
        self.controller.seed(ras, positive=positive, slice_node=slice_node)

    def on_profile(self, name: str) -> None:
        """Another profile was chosen; it is the one next time, too."""
        self._remembered = ""
        if not name and self.settings.profile:
            self.settings.profile = ""
            self.settings.save()
        if self.controller is not None:
            self.controller.set_profile(name or None)

    def on_layout(self) -> None:
        """The five views, or what was shown before."""
        if self.controller is None:
            return
        self.settings.own_layout = not self.views.own_layout
        self.settings.save()
        self.views.show_own_layout(self.settings.own_layout)
        self.choose_views()

    def choose_views(self) -> None:
        """Tell the controller which views there are now."""
        if self.controller is None or not self._entered:
            return
        large, small = self.views.chosen()
        self.controller.set_views(large, [] if self.study.hides_alternatives else small)
        self.marks.render(self.controller.screen)
        if self.scene.volume is not None and not self.study.hides_image:
            self.views.show_volume(self.scene.volume)
        self.ui.layoutButton.checked = self.views.own_layout

    def on_setting(self, name: str) -> None:
        """A setting was changed in the advanced section."""
        if name == "keys":
            self.install_keys()
            if self.controller is not None:
                self.render(self.controller.screen)
        else:
            self._push_setting(name)

    def _push_setting(self, name: str) -> None:
        if self.controller is None:
            return
        if name in ("model", "device"):
            self.controller.set_model(self.settings.model, self.settings.device)
            self.controller.prepare()
        elif name == "server":
            self.controller.set_server(self.logic.server(self.settings))
            self.install_page.refresh()  # computing here may need more than a server did
            self.controller.prepare()
        elif name == "learn":
            self.controller.set_learn(self.settings.learn)
        elif name == "keep_approved":
            folder = self.settings.keep_approved
            self.controller.set_keep_approved(Path(folder) if folder else None)
        elif name == "samples":
            self.controller.set_samples(self.settings.samples or None)
        elif name == "window":
            self.controller.set_window(self.settings.window)
        elif name == "colors":
            self.controller.set_colors(self.logic.overlay_colors(self.settings.colors))

    def install_keys(self) -> None:
        """Keys live while the module is open, in its main window."""
        if not self._entered or self.controller is None:
            return
        from SPASegmentLib.mrml.keys import ALSO

        keys = self.advanced.keys()
        taken = {key for key in keys.values() if key}
        further = {action: [key for key in ALSO.get(action, ()) if key not in taken] for action in keys}
        self.shortcuts.install(
            {action: tuple(k for k in (key, *further[action]) if k) for action, key in keys.items()}
        )

    # What the user sees

    def render(self, screen) -> None:
        """Show the screen, and keep with the scene what goes on."""
        screen = self.study.limited(screen)
        self.view.render(screen, self._sentence(screen), self.advanced.keys())
        self.profiles.render(screen)
        self.advanced.show_learn(screen.learn)
        self.export.refresh()
        self.opening.refresh()
        self.render_placing()
        self.views.show_titles([f"{card.number}  {card.name}" for card in screen.cards])
        self._fold_inputs(screen)
        self.views.show_in_small(screen.object_at)
        self.marks.render(screen)
        self._render_points(screen)
        self._remember_profile(screen)
        self.scene.keep(screen.profile or "")

    def render_placing(self) -> None:
        """Show what the next click does."""
        if self.controller is None:
            return
        screen = self.study.limited(self.controller.screen)
        self.view.set_text("statusLabel", self._sentence(screen))
        has_volume = self.scene.volume is not None
        self.view.render_placing(
            self.views.placing, self.views.drawing, has_volume, screen.recommendation is not None
        )

    def _sentence(self, screen) -> str:
        """What to do next; the controller does not know that a click must be announced here."""
        if self.views.placing is False:
            return _("Click on what does not belong to the object, in a slice view; Esc ends placing.")
        if self.study.hides_image:
            return screen.status
        if self.views.drawing == "box":
            return _("Drag a box around the object in a slice view; Esc ends drawing.")
        if self.views.drawing == "scribble":
            return _("Drag a line in the object, with Ctrl in what does not belong to it; Esc ends drawing.")
        seedless = screen.tone == "hint" and screen.recommendation is None and not screen.busy
        if not seedless or self.scene.volume is None:
            return screen.status
        if self.views.placing is None:
            key = self.advanced.keys().get("place_seed", "")
            return _("Press Place seed ({key}), then click on the object in a slice view.").format(key=key)
        return _("Click on the object in a slice view; Esc ends placing.")

    def _fold_inputs(self, screen) -> None:
        """At a volume's first proposal what was chosen folds into a title, so that all of a slice fits."""
        section, volume = self.ui.inputsSection, self.scene.volume
        if volume is None:
            if self._folded_for is not None:
                section.collapsed, self._folded_for = False, None
        elif screen.recommendation is not None and self._folded_for is not volume:
            section.collapsed, self._folded_for = True, volume
        names = [volume.GetName() if volume is not None else "", screen.segment or "", screen.profile or ""]
        title = " \N{MIDDLE DOT} ".join(name[:30] for name in names if name) or _("Volume and segment")
        if section.text != title:
            section.text = title

    def _render_points(self, screen) -> None:
        """Show where the seeds lie, and bring a new object into view."""
        if screen.recommendation is not None and self._seeded is not None:
            ras, self._seeded = self._seeded, None
            if screen.iteration == 1:
                self.views.show_object(ras, screen.recommendation.area_mm2)
        if not screen.busy and self.views.placing is None:
            self.views.show_points([(seed[:3], seed[3]) for seed in screen.seeds])

    def _remember_profile(self, screen) -> None:
        if self._remembered and self._remembered in screen.profiles:
            name, self._remembered = self._remembered, ""
            if screen.profile is None:
                self.queue.post(lambda: self.on_profile(name))
        if screen.profile is not None and screen.profile != self.settings.profile:
            self.settings.profile = screen.profile
            self.settings.save()
