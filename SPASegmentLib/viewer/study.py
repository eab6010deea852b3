"""A study in the viewer: one image after the other, covered until Start, recorded at Next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.mrml.controller import Controller
from SPASegmentLib.mrml.study import APPROVE_FIRST, StepCounter, approved_mask
from SPASegmentLib.study.run import StudyRun
from SPASegmentLib.viewer.navigation import Navigation
from SPASegmentLib.viewer.open_volumes import OpenVolumes
from SPASegmentLib.viewer.options import ViewerOptions
from SPASegmentLib.viewer.page_messages import PageMessages
from SPASegmentLib.viewer.volumes import Choice, Library, file_choice

NOT_READY = "The image is not on the screen yet; wait a moment and press Start again."


class StudiedViewer(Protocol):
    """What of a viewer a study uses."""

    server: Any
    options: ViewerOptions
    controller: Controller
    messages: PageMessages
    library: Library
    navigation: Navigation
    open_volumes: OpenVolumes

    @property
    def volume(self) -> Any:
        """The volume node on the screen, or None."""

    @property
    def segmentation(self) -> Any:
        """Its segmentation node, or None."""

    @property
    def choice(self) -> Choice | None:
        """Which entry of the list is on the screen."""

    async def show(self, choice: Choice, wish: int | None = None) -> bool:
        """Show an entry; whether it could be read."""

    def name_segment(self, name: str) -> None:
        """Work on the structure of this name."""

    def told(self) -> dict[str, Any]:
        """The screen as the page draws it."""


class ViewerStudy:
    """One user's run on the page. To be called on the event loop."""

    def __init__(self, viewer: StudiedViewer, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises InputError for a plan or user that cannot be run."""
        options = viewer.options
        assert options.study is not None and options.user is not None
        self._viewer = viewer
        self.run = StudyRun(options.study, options.user, clock=clock)
        self._steps = StepCounter(self.run.count)
        self._moving, self._said = False, ""

    @property
    def _key(self) -> str:
        """Of the image at hand in the list of volumes; an image that comes again begins anew."""
        return f"study:{self.run.position}"

    async def open(self) -> None:
        """Bring the image at hand to the screen, covered, in place of the one before."""
        self._steps.forget()
        if self.run.phase != "finished":
            case = self.run.case
            choice = file_choice(self.run.file, key=self._key, label=f"Case {case.id}")
            if await self._viewer.show(self._viewer.library.add(choice)):
                if case.structure:
                    self._viewer.name_segment(case.structure)
                if case.seed_ras is not None:
                    self._viewer.navigation.visit(case.seed_ras)
                for key in [key for key in self._viewer.library.choices if key != self._key]:
                    self._viewer.open_volumes.remove(key)
                    del self._viewer.library.choices[key]
        self.tell()

    async def start(self) -> None:
        """Begin the image, or go on after a pause."""
        if self.run.phase == "ready":
            choice = self._viewer.choice
            if choice is None or choice.key.partition("#")[0] != self._key:
                await self.open()
                self._viewer.messages.complain(NOT_READY)
                return
        self._viewer.messages.complain("")
        try:
            self.run.start()
        except SPASegmentError as error:
            self._viewer.messages.complain(str(error))
        self.tell()

    def pause(self) -> None:
        """Stop the clock and cover the image."""
        self.run.pause()
        self.tell()

    async def next(self, *, gives_up: bool) -> None:
        """Record the image and bring the next one. gives_up: without a mask."""
        run = self.run
        if run.phase != "running" or self._moving:
            return
        mask = None if gives_up else approved_mask(self._viewer.segmentation, self._viewer.volume)
        if not (mask or gives_up or run.condition.own_tool):
            self._viewer.messages.complain(APPROVE_FIRST)
            return
        run.pause()
        labels, grid = mask or (None, None)
        self._moving = True
        try:
            await asyncio.to_thread(run.next, labels, grid, model=self._steps.model)
        except SPASegmentError as error:
            self._viewer.messages.complain(str(error))
            return
        finally:
            self._moving = False
            self.tell()
        await self.open()

    def input(self, kind: str) -> None:
        """A key or the mouse was pressed on the page. kind: "keys" or "clicks"."""
        if kind in ("keys", "clicks"):
            self.run.count(kind)

    def count_steps(self) -> None:
        """The screen has changed: count what was done."""
        self._steps.update(self._viewer.controller.works)

    def refuses(self, action: str) -> bool:
        """Whether the user does not have an action now; then the page says why, until the next one."""
        sentence = self.run.refusal(action)
        if sentence or self._viewer.server.state.problem == self._said:
            self._viewer.messages.complain(sentence)
        self._said = sentence
        return bool(sentence)

    def tell(self) -> None:
        """Bring the card up to date."""
        run = self.run
        ended, about = run.phase == "finished", ""
        if not ended:
            case = run.case
            about = f"{case.structure}. " if case.structure else ""
            about += "The object is in the middle of the large view. " if case.seed_ras is not None else ""
            about += run.condition.how
        with self._viewer.server.state as state:
            state.study = {
                "words": run.words,
                "how": about,
                "phase": run.phase,
                "alternatives": not ended and run.condition.shows_alternatives,
            }
            state.screen = self._viewer.told()
