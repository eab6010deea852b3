"""Keeps the interaction for a restart, says what cannot be kept, and offers to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from SPASegmentLib.errors import SPASegmentError
from SPASegmentLib.mrml.controller import Controller
from SPASegmentLib.mrml.labels import change_of, has_voxels
from SPASegmentLib.mrml.segmentation_files import read_slicer_segmentation, write_slicer_segmentation
from SPASegmentLib.viewer import page
from SPASegmentLib.viewer.navigation import Navigation
from SPASegmentLib.viewer.open_volumes import OpenVolume, OpenVolumes
from SPASegmentLib.viewer.opening import VolumeOpening
from SPASegmentLib.viewer.page_messages import PageMessages
from SPASegmentLib.viewer.resume import Kept, Memory, what_is_lost
from SPASegmentLib.viewer.volumes import Choice, Library

KEEP_EVERY = 0.7
"""Seconds the interaction may be ahead of what is kept for a restart."""


class KeptViewer(Protocol):
    """What of a viewer is kept."""

    server: Any
    controller: Controller
    messages: PageMessages
    navigation: Navigation
    library: Library
    open_volumes: OpenVolumes
    opening: VolumeOpening
    shown: OpenVolume | None

    @property
    def choice(self) -> Choice | None:
        """Which entry of the list is on the screen."""

    def refresh(self) -> None:
        """Bring the page up to date."""


class Keeping:
    """What a viewer does with its memory. To be called on the event loop."""

    def __init__(self, viewer: KeptViewer, loop: asyncio.AbstractEventLoop, memory: Memory | None) -> None:
        """memory: where the interaction is kept, or None."""
        self._viewer, self._loop, self._memory = viewer, loop, memory
        self._keep_timer: asyncio.TimerHandle | None = None
        self._kept_masks: dict[str, tuple[int, ...]] = {}
        self._offer: Kept | None = None

    def offer(self) -> None:
        """Offer to go on where something was kept."""
        kept = self._memory.read() if self._memory is not None else None
        choice = self._viewer.library.find(kept.volume) if kept is not None else None
        if choice is not None:
            self._offer = kept
            label = choice.label
            with self._viewer.server.state as state:
                state.resume_offer = f"Work on “{label}” was interrupted. Go on where you stopped?"

    def keep_soon(self) -> None:
        """Keep what there is, within `KEEP_EVERY` seconds."""
        if self._keep_timer is None:
            self._keep_timer = self._loop.call_later(KEEP_EVERY, self.keep)

    def keep(self) -> None:
        """Keep what a restart needs, and say what cannot be kept."""
        if self._keep_timer is not None:
            self._keep_timer.cancel()
            self._keep_timer = None
        self._say_unkept(self._write_kept())

    def _write_kept(self) -> bool:
        """Write what a restart needs; whether the disk took it."""
        kept = self._what_to_keep()
        if kept is None or self._memory is None:
            return True
        changes: dict[str, tuple[int, ...]] = {}
        masks: dict[str, Callable[[Path], None]] = {}
        for opened in self._viewer.open_volumes:
            changed = change_of(opened.segmentation)
            if (
                not opened.choice.is_upload
                and changed != self._kept_masks.get(opened.name)
                and has_voxels(opened.segmentation)
            ):
                changes[opened.name] = changed
                masks[opened.name] = partial(write_slicer_segmentation, opened.segmentation)
        if not self._memory.write(kept, masks):
            return False
        self._kept_masks |= changes
        return True

    def _say_unkept(self, written: bool) -> None:
        """Say on the page which work would be lost with the server, and what to do."""
        approved = [opened for opened in self._viewer.open_volumes if has_voxels(opened.segmentation)]
        if self._memory is None:
            return
        sentence, reason = what_is_lost(
            written=written,
            on_upload=any(opened.choice.is_upload for opened in approved),
            unanswered=self._offer is not None and bool(approved or self._viewer.controller.screen.iteration),
        )
        with self._viewer.server.state as state:
            state.unkept = sentence
            state.trame__template_error = page.stopped(reason)

    def _what_to_keep(self) -> Kept | None:
        """Nothing while the last interaction is still on offer, nothing before something was done."""
        choice = self._viewer.choice
        if self._memory is None or self._offer is not None or choice is None or choice.is_upload:
            return None
        worked_on = [o.choice.key for o in self._viewer.open_volumes if has_voxels(o.segmentation)]
        if self._viewer.controller.screen.iteration == 0 and not worked_on:
            return None
        others = tuple(key for key in worked_on if key != choice.key and not key.startswith("upload:"))
        return Kept(
            choice.key,
            self._viewer.controller.to_state(),
            others,
            str(self._viewer.server.state.orientation),
            float(self._viewer.navigation.node.GetSliceOffset()),
        )

    async def resume(self, wanted: bool) -> None:
        """Go on where somebody stopped, or forget it."""
        kept, self._offer = self._offer, None
        with self._viewer.server.state as state:
            state.resume_offer = ""
        if kept is None or self._memory is None:
            return
        if not wanted:
            self._memory.forget()
            return
        try:
            for key in (*kept.others, kept.volume):
                choice = self._viewer.library.find(key)
                if choice is not None:
                    if not await self._viewer.opening.show(choice):
                        return
                    self._load_masks(self._memory)
        except SPASegmentError as error:
            self._viewer.messages.complain(str(error))
        self._viewer.navigation.orient(kept.orientation)
        self._viewer.navigation.slide(kept.offset)
        self._viewer.controller.from_state(kept.workbench)
        self._viewer.refresh()

    def _load_masks(self, memory: Memory) -> None:
        """The approved voxels of the volume on the screen, where there are any."""
        opened = self._viewer.shown
        if opened is not None and memory.masks(opened.name).exists():
            read_slicer_segmentation(opened.segmentation, memory.masks(opened.name))
            opened.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(opened.node)
