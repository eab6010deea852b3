"""Opening volumes: reading one takes a while, and what was wanted last is what comes to the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from SPASegmentLib.imaging.headers import Limits
from SPASegmentLib.imaging.types import Volume
from SPASegmentLib.imaging.window import is_ct
from SPASegmentLib.mrml.labels import has_voxels
from SPASegmentLib.viewer.open_volumes import OpenVolume, OpenVolumes
from SPASegmentLib.viewer.options import MEGABYTE
from SPASegmentLib.viewer.uploads import UPLOADS_KEPT
from SPASegmentLib.viewer.volumes import PART, Choice, Library, PartNeededError, file_choice

MEMORY_FOR_UPLOADS = 1024 * MEGABYTE
"""Bytes of voxels all open uploads may have at least, however small each one sent may be."""
MOST_UNPACKED = 100
"""Bytes of voxels one byte of an upload may become, where there are many: scans are packed 2 to 20 times."""


class VolumeOpening:
    """Reads volumes on other threads. To be called on the event loop."""

    def __init__(
        self,
        volumes: OpenVolumes,
        library: Library,
        bring: Callable[[OpenVolume], None],
        job: Callable[[str], AbstractContextManager[None]],
        max_upload: int,
    ) -> None:
        """bring: puts an open volume on the screen. job: says that something takes a while."""
        self._volumes, self._library, self._bring, self._job = volumes, library, bring, job
        self._max_upload = max_upload
        self._held_by_uploads = 0
        self._latest = 0
        self._uploads: dict[str, int] = {}
        self._reading: dict[str, asyncio.Future[Volume]] = {}

    def wish(self) -> int:
        """Something is wanted on the screen; what was wanted before does not come there any more."""
        self._latest += 1
        return self._latest

    async def show(self, choice: Choice, wish: int | None = None) -> bool:
        """Show a choice, read where it is not open yet. Returns whether nothing else was wanted meanwhile.

        wish: from `wish`, where it was made before. Raises InputError where the choice cannot be read.
        """
        wish = self.wish() if wish is None else wish
        if self._volumes.find(choice.key) is None:
            try:
                volume = await self._read(choice)
            except PartNeededError:
                if wish != self._latest:
                    return False
                raise
        if wish != self._latest:
            return False
        opened = self._volumes.find(choice.key) or self._volumes.put(choice, volume)
        self._bring(opened)
        return True

    def upload_begins(self, name: str) -> None:
        """The first file of an upload arrives: the user wanted it now, whenever it will be complete."""
        self._uploads[name] = self.wish()

    async def show_upload(self, path: Path, title: str) -> tuple[Choice, bool]:
        """Read what was sent and add it to the list; show it where nothing else was wanted since.

        Returns its entry, and whether it is on the screen. Raises InputError for what is no volume, and
        PartNeededError, the entry in the list then, where there is a choice.
        """
        folder = path if path.is_dir() else path.parent.parent
        wish = self._uploads.pop(folder.name, None)
        choice = file_choice(path, key=f"upload:{folder.name}", label=title, limits=self._upload_limits)
        try:
            shown = await self.show(choice, wish)
        except PartNeededError:
            self._library.add(choice)
            raise
        self._library.add(choice)
        return choice, shown

    def spare_upload(self, kept: Choice | None) -> Choice | None:
        """Close the oldest upload that holds nothing approved and is not `kept`; its entry, or None."""
        for key, choice in self._library.choices.items():
            parts = [k for k in self._library.choices if k == key or k.startswith(f"{key}{PART}")]
            opened = [found for k in parts if (found := self._volumes.find(k)) is not None]
            if not choice.is_upload or choice.parts or (kept is not None and kept.key in parts):
                continue
            if any(has_voxels(one.segmentation) for one in opened):
                continue
            for part in parts:
                self._volumes.remove(part)
                del self._library.choices[part]
            return choice
        return None

    async def _read(self, choice: Choice) -> Volume:
        """Its voxels; wanted twice, they are read once."""
        reading = self._reading.get(choice.key)
        if reading is None:
            self._held_by_uploads = self._volumes.free_uploads()
            reading = asyncio.ensure_future(asyncio.to_thread(_loaded, choice))
            self._reading[choice.key] = reading
            reading.add_done_callback(lambda _: self._reading.pop(choice.key, None))
        with self._job(f"Reading {choice.label}…"):
            return await asyncio.shield(reading)

    def _upload_limits(self) -> Limits:
        """What one more upload may take of this computer's memory."""
        most = max(UPLOADS_KEPT * self._max_upload, MEMORY_FOR_UPLOADS)
        return Limits(ratio=MOST_UNPACKED, decoded=most - self._held_by_uploads)


def _loaded(choice: Choice) -> Volume:
    volume = choice.load()
    is_ct(volume)  # kept with the volume: it may look at every voxel
    return volume
