"""The viewer: one scene, one controller, six views, and what the page asks of them.

Everything here runs on the server's one event loop, which owns the scene; reading files and computing
proposals happen on other threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from SPASegmentLib.errors import InputError, SPASegmentError
from SPASegmentLib.imaging.segment_files import read_segments
from SPASegmentLib.imaging.terminology import name_of, parse_structure
from SPASegmentLib.mrml.continuing import middle_of, put_segments
from SPASegmentLib.mrml.controller import Controller
from SPASegmentLib.mrml.keys import ALSO, KEYS
from SPASegmentLib.mrml.labels import has_voxels
from SPASegmentLib.mrml.layout import LARGE, SMALL, link_views
from SPASegmentLib.mrml.seeds import Seed, SeedPoints
from SPASegmentLib.mrml.segmentation_files import set_structure, structure_of
from SPASegmentLib.mrml.study import limited
from SPASegmentLib.mrml.volumes import volume_of_node
from SPASegmentLib.study.conditions import POINT, SEED
from SPASegmentLib.viewer import page
from SPASegmentLib.viewer.keeping import Keeping
from SPASegmentLib.viewer.keys import strokes
from SPASegmentLib.viewer.navigation import Navigation
from SPASegmentLib.viewer.open_volumes import OpenVolume, OpenVolumes
from SPASegmentLib.viewer.opening import VolumeOpening
from SPASegmentLib.viewer.options import ViewerOptions
from SPASegmentLib.viewer.page_messages import PageMessages
from SPASegmentLib.viewer.part_question import PartQuestion
from SPASegmentLib.viewer.point_input import PointInput
from SPASegmentLib.viewer.resume import Memory
from SPASegmentLib.viewer.study import ViewerStudy
from SPASegmentLib.viewer.surface import Surface
from SPASegmentLib.viewer.views import logic_of, slice_pane, three_d_pane
from SPASegmentLib.viewer.volumes import (
    Choice,
    Library,
    PartNeededError,
    application,
    built_in_samples,
    file_choice,
)

logger = logging.getLogger(__name__)
"""Nothing about a patient is logged."""

LARGE_STREAM, SOLID_STREAM = "spa-large", "spa-3d"
SMALL_STREAMS = tuple(f"spa-small-{k}" for k in range(1, 5))


class Viewer:
    """The state behind the page. Must be made on the running event loop."""

    def __init__(self, server: Any, options: ViewerOptions, *, memory: Memory | None = None) -> None:
        """memory: where the interaction is kept for a restart, or None."""
        self.server, self.options = server, options
        self.messages = PageMessages(server)
        self._loop = asyncio.get_running_loop()
        self.app = application()
        self.large = slice_pane(server, self.app, LARGE, LARGE_STREAM)
        self.small = tuple(
            slice_pane(server, self.app, tag, stream, small=True)
            for tag, stream in zip(SMALL, SMALL_STREAMS, strict=True)
        )
        self.solid = three_d_pane(server, self.app, SOLID_STREAM)
        self.navigation = Navigation(server, logic_of(self.app, self.large), self.large, self.small)
        self.surface = Surface(self.solid)
        small_ids = [pane.node.GetID() for pane in self.small]
        self.link = link_views(self.app.scene, self.large.node.GetID(), small_ids)
        for pane in (self.large, *self.small):
            pane.resized.append(self.link.update)
        self.points = SeedPoints(self.app.scene)
        self.points.node.SetLocked(True)  # a click on a point is a click on the image
        self.controller = Controller(
            self.app.scene,
            model=options.model,
            device=options.device,
            server=options.server,
            post=self._post,
        )
        self.controller.set_keep_approved(options.keep_approved)
        self.controller.set_views(self.large.node, [pane.node for pane in self.small])
        self.controller.subscribe(self._on_screen)
        self.input = PointInput(server, self.controller, self.large, self.navigation, self._accepts_marks)
        self.library = Library()
        self.question = PartQuestion(server, self.library, self.show)
        self.study = ViewerStudy(self) if options.study is not None else None
        for choice in [
            *(file_choice(path, wanted=options.wanted) for path in options.volumes),
            *(built_in_samples() if self.study is None else ()),
        ]:
            self.library.add(choice)
        self.open_volumes = OpenVolumes(self.app.scene, [self.large.node.GetID(), self.solid.node.GetID()])
        self.opening = VolumeOpening(
            self.open_volumes, self.library, self._bring, self.messages.job, options.max_upload
        )
        self._first_wish = self.opening.wish()
        self.shown: OpenVolume | None = None
        self.keeping = Keeping(self, self._loop, memory)
        self._drawn: tuple[Any, ...] = ()
        self._over_cards = False
        with server.state as state:
            state.volumes = self.library.items()
            state.keys = strokes(KEYS, ALSO)
            state.screen = self.told()

    def _post(self, call: Callable[[], None]) -> None:
        """From any thread: do this soon on the event loop."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    # Starting and ending

    async def start(self) -> None:
        """Show the first volume and the profile asked for; offer to resume where something was kept."""
        self.navigation.model_window = await asyncio.to_thread(_window_of, self.options.model)
        if self.options.window is not None:
            self.choose_window("manual", self.options.window)
        self.controller.prepare()
        self.controller.refresh_profiles()
        if self.study is not None:
            await self.study.open()
            return
        await self.open(next(iter(self.library.choices)), self._first_wish)
        if self.options.continued is not None:
            await self._go_on_from(self.options.continued)
        if self.options.profile is not None:
            self.controller.set_profile(self.options.profile)
        self.keeping.offer()

    async def _go_on_from(self, path: Path) -> None:
        """Put a file's segments on the volume shown; what cannot be read is said on the page."""
        if self.shown is None:
            return
        volume = volume_of_node(self.shown.node)
        placed = replace(volume, frames=self.shown.frames or None)
        try:
            with self.messages.job(f"Reading {path.name}…"):
                segments = await asyncio.to_thread(read_segments, path, placed)
                first = middle_of(segments, volume)
            if first is None:
                raise InputError(
                    f"{path.name} holds no segment with a voxel; there is nothing to go on from."
                )
            put_segments(self.segmentation, segments, self.shown.node)
        except SPASegmentError as error:
            self.messages.complain(str(error))
            return
        self.controller.set_segment(segments[first[0]].name)
        self.navigation.visit(first[1])
        self.refresh()

    async def close(self) -> None:
        """Keep the interaction, end the worker and free the windows."""
        self.keeping.keep()
        self.controller.close()
        self.link.unlink()
        for pane in (self.large, *self.small, self.solid):
            await pane.close()

    # The volume

    @property
    def volume(self) -> Any:
        """The volume node on the screen, or None."""
        return self.shown.node if self.shown is not None else None

    @property
    def segmentation(self) -> Any:
        """Its segmentation node, or None."""
        return self.shown.segmentation if self.shown is not None else None

    @property
    def choice(self) -> Choice | None:
        """Which entry of the list is on the screen."""
        return self.shown.choice if self.shown is not None else None

    async def open(self, key: str, wish: int | None = None) -> None:
        """Read and show an entry of the list; a refusal leaves what is shown. Raises nothing."""
        choice = self.library.choices.get(key)
        if choice is not None and self.study is None:
            await self.show(choice, wish)

    async def show(self, choice: Choice, wish: int | None = None) -> bool:
        """Show an entry, or ask which part of it; whether it could be read."""
        try:
            await self.opening.show(choice, wish)
            return True
        except PartNeededError as several:
            self.question.ask(choice, several)
        except SPASegmentError as error:
            self.messages.complain(str(error))
        with self.server.state as state:
            state.volume = ""
            state.flush()
            state.volume = self.choice.key if self.choice is not None else ""
        return False

    async def open_upload(self, path: Path, title: str) -> None:
        """Read and show what was sent. Raises InputError for what is no volume."""
        self.messages.end_job("upload")
        if self.study is not None:
            raise InputError("A study is running; files can be opened when it is over.")
        try:
            choice, shown = await self.opening.show_upload(path, title)
        except PartNeededError as several:
            choice, shown = list(self.library.choices.values())[-1], True
            self.question.ask(choice, several)
        with self.server.state as state:
            state.volumes = self.library.items()
        if not shown:
            self.messages.complain(f"{choice.label} was read and is in the list of volumes; choose it there.")

    def spare_upload(self) -> str | None:
        """Close the oldest upload that is not on the screen and holds nothing approved; its ID, or None."""
        choice = self.opening.spare_upload(self.choice)
        if choice is None:
            return None
        with self.server.state as state:
            state.volumes = self.library.items()
        self.messages.complain(f"{choice.label} was closed to make room for another upload.")
        return choice.key.removeprefix("upload:")

    def _bring(self, opened: OpenVolume) -> None:
        """Work on this volume from now on; it is as it was left."""
        leaves = self.shown
        if leaves is not None and leaves is not opened:
            leaves.seen, leaves.segment = self.navigation.seen(), self.controller.screen.segment
        self.input.clicked, self.shown = None, opened
        self.surface.hide()
        self.open_volumes.bring_forward(opened)
        choice = opened.choice
        self.navigation.show(opened)
        self.controller.set_volume(opened.node)
        self.controller.set_segmentation(opened.segmentation)
        self.controller.set_segment(opened.segment or choice.segment)
        if choice.places and opened.seen is None:
            self.navigation.visit(choice.places[0].ras, choice.places[0].across)
        with self.server.state as state:
            state.volumes, state.volume = self.library.items(), choice.key
            state.places = [place.name for place in choice.places]
            state.image_warnings, state.dicom = list(opened.warnings), bool(opened.frames)
            state.show_3d, state.problem = False, ""
            state.cursor = None
            state.screen = self.told()
        self.refresh()

    # The controller

    def act(self, action: str) -> None:
        """Do what a key or button stands for."""
        if self.study is not None and self.study.refuses(action):
            return
        self.controller.act(action)
        self.refresh()

    def _accepts_marks(self) -> bool:
        """Whether a point, box or line may be marked now; a study may refuse it, and says why."""
        if self.volume is None:
            return False
        kind = SEED if self.controller.screen.recommendation is None else POINT
        return self.study is None or not self.study.refuses(kind)

    def zoom(self) -> None:
        """Look at the object closely, or at the whole slice again."""
        found = self.controller.screen.recommendation
        self.navigation.zoom(self.input.clicked, found.area_mm2 if found is not None else 300.0)

    def told(self) -> dict[str, Any]:
        """The screen as the page draws it."""
        screen = self.controller.screen
        if self.study is not None:
            screen = limited(screen, self.study.run)
        return page.shown(screen, sized=self.shown is None or self.shown.is_sized)

    def _on_screen(self, screen: Any) -> None:
        with self.server.state as state:
            state.screen = self.told()
            state.profiles = list(screen.profiles)
            state.profile = screen.profile or ""
            state.learn = screen.learn
            state.excluding = state.excluding and screen.recommendation is not None
        if self.study is not None:
            self.study.count_steps()
        self.link.focus(screen.object_at)
        self.navigation.approved = screen.approved
        if screen.object != self.navigation.object:
            self.navigation.object = screen.object
            self.navigation.tell()
            if screen.object is not None:
                self._show_3d()
        self.points.show([Seed(seed[:3], seed[3]) for seed in screen.seeds])
        if (screen.cards, screen.iteration) != self._drawn:
            self._drawn = (screen.cards, screen.iteration)
            self._over_cards = False
            for pane in (self.large, *self.small):
                pane.view.schedule_render()
        self._tell_3d(over=self._over_cards)
        if not screen.busy:
            self.refresh()
            self.keeping.keep_soon()

    def refresh(self) -> None:
        """Bring the page's segment list, downloads and 3-D up to date."""
        whole = self.segmentation.GetSegmentation() if self.segmentation is not None else None
        names = (
            [whole.GetNthSegment(i).GetName() for i in range(whole.GetNumberOfSegments())] if whole else []
        )
        with self.server.state as state:
            state.segments = names
            state.segment = self.controller.screen.segment or ""
            state.has_surface = has_voxels(self.segmentation)
            state.structure = name_of(structure_of(self.segmentation, state.segment))
        self.navigation.tell()

    def choose_window(self, name: str, by_hand: tuple[float, float] | None = None) -> None:
        """Show intensities in a window of `navigation.PRESET_NAMES`; one set by hand is the model's, too.

        by_hand: (low, high). Raises InputError for what is no window.
        """
        self.controller.set_window(by_hand if name == "manual" else None)
        self.navigation.set_window(name, by_hand)

    def name_segment(self, name: str) -> None:
        """Work on the structure of this name, a new one where there is none."""
        name = " ".join(name.split())[:80]
        if name:
            self.controller.set_segment(name)
        self.refresh()

    def set_structure(self, name: str) -> None:
        """Say in codes what the segment is, by a name of `terminology.STRUCTURES`. Raises InputError."""
        set_structure(self.segmentation, self.controller.screen.segment or "", parse_structure(name))
        self.refresh()
        self.keeping.keep_soon()

    def choose_profile(self, name: str) -> None:
        """Use a profile, none where the name is empty; "+" asks for the name of a new one."""
        with self.server.state as state:
            state.naming_profile = name == "+"
        if name != "+":
            self.controller.set_profile(name or None)

    def create_profile(self, name: str) -> None:
        """Make a profile that has learnt nothing yet, and use it."""
        modality = "CT" if self.server.state.is_ct else ""
        self.controller.new_profile(" ".join(name.split()), modality=modality)
        with self.server.state as state:
            state.naming_profile = False

    def toggle_help(self) -> None:
        """Show or hide the list of keys."""
        with self.server.state as state:
            state.help = not state.help

    async def toggle_3d(self) -> None:
        """Show or hide the approved segment in 3-D."""
        if self.server.state.show_3d:
            self.surface.hide()
        elif has_voxels(self.segmentation):
            with self.messages.job("Making the surface…"):
                await asyncio.sleep(0.03)
                self._show_3d()
        self._tell_3d(over=self.surface.shown)

    def _show_3d(self) -> None:
        self.surface.show(self.segmentation, self.controller.screen.segment or "", self.input.clicked)

    def _tell_3d(self, *, over: bool) -> None:
        """The surface stands where alternatives stand, and gives way to new ones. over: it was asked for."""
        self._over_cards = over
        with self.server.state as state:
            state.show_3d = self.surface.shown and (over or not self.controller.screen.cards)


def _window_of(model: str) -> tuple[float, float] | None:
    """Intensities that were black and white when the model was trained, where it says so."""
    from SPASegmentLib.network.checkpoint import read_header
    from SPASegmentLib.network.registry import find_model

    try:
        window = read_header(find_model(model)).provenance.get("window")
    except SPASegmentError:
        return None  # the controller says what is wrong with the model
    return (float(window[0]), float(window[1])) if window else None
