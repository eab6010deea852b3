"""How an interaction of `spasegment segment` begins: with a seed, a box, a scribble or an existing mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from SPASegmentLib.cli.continuing import Start, most_seen_voxel, open_start, slice_of
from SPASegmentLib.cli.segment_options import Overwrite
from SPASegmentLib.cli.shared import Triple, one_seed
from SPASegmentLib.errors import InputError, SeedError
from SPASegmentLib.imaging.scribble import box_point, scribble_points
from SPASegmentLib.imaging.segment_files import read_segments
from SPASegmentLib.imaging.slicing import OpenedSlice, cut_slice
from SPASegmentLib.imaging.types import PointPrompt, Volume
from SPASegmentLib.inference.messages import Carried, ModelInfo
from SPASegmentLib.inference.session import Session

if TYPE_CHECKING:
    from SPASegmentLib.profiles.profile import Profile

Corners = tuple[Triple, Triple]


@dataclass(frozen=True, eq=False)
class Begun:
    """The opened slice with its seed, further points, and the (H, W) bool mask to go on from, or None."""

    opened: OpenedSlice
    points: tuple[PointPrompt, ...]
    start: Start | None
    mask: np.ndarray | None


@dataclass(frozen=True)
class Beginning:
    """What the options say. box: opposite corners in IJK voxels. scribble, continued: files."""

    seed_ras: Triple | None
    seed_ijk: Triple | None
    box: Corners | None
    scribble: Path | None
    continued: str | None
    overwrite: Overwrite

    def open(
        self,
        volume: Volume,
        orientation: str,
        window: tuple[float, float] | None,
        model_window: tuple[float, float] | None,
    ) -> Begun:
        """Cut the slice; windows as in `cut_slice`. Raises InputError and SeedError."""
        start = None if self.continued is None else open_start(self.continued, volume, self.overwrite)
        drawn = [] if self.scribble is None else _drawn(self.scribble, volume)
        at = self.seed_ijk
        if self.seed_ras is None and at is None:
            if self.box is not None:
                first, second = np.array(self.box)
                i, j, k = (float(value) for value in (first + second) / 2)
                at = (i, j, k)
            else:
                shown = drawn[0] if start is None else start.segment.mask
                at = most_seen_voxel(shown, volume, orientation)
        opened = cut_slice(
            volume,
            **one_seed(self.seed_ras, at),
            orientation=orientation,
            window=window,
            model_window=model_window,
        )
        if self.box is not None:
            opened = replace(opened, seed=_boxed(opened, self.box))
        points: list[PointPrompt] = []
        for number, one in enumerate(drawn):
            spacing = opened.image.spacing
            points += scribble_points(slice_of(one, opened), spacing, positive=number == 0)
        is_seeded = self.seed_ras is not None or self.seed_ijk is not None or self.box is not None
        if drawn and not is_seeded and start is None:
            opened = replace(opened, seed=points.pop(0))
        return Begun(opened, tuple(points), start, None if start is None else start.on_slice(opened))


def beginning_of(
    seed_ras: Triple | None,
    seed_ijk: Triple | None,
    box: str | None,
    scribble: Path | None,
    continued: str | None,
    overwrite: Overwrite,
) -> Beginning:
    """What the options say. Raises BadParameter where they say nothing, or what does not go together."""
    if overwrite is not Overwrite.none and continued is None:
        raise typer.BadParameter(
            "--overwrite says what the other segments of a file lose; add --continue or --seeds."
        )
    has_seed = seed_ras is not None or seed_ijk is not None
    if has_seed or (box is None and scribble is None and continued is None):
        one_seed(seed_ras, seed_ijk)
    if box is not None and (has_seed or continued is not None):
        raise typer.BadParameter("--box is the start itself; leave the seed and --continue out.")
    corners = None if box is None else _corners(box)
    return Beginning(seed_ras, seed_ijk, corners, scribble, continued, overwrite)


def _corners(text: str) -> Corners:
    try:
        i0, j0, k0, i1, j1, k1 = (float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise typer.BadParameter(
            f'--box has "{text}"; give two opposite corners in voxels, such as 40,90,86,56,112,86.'
        ) from None
    return ((i0, j0, k0), (i1, j1, k1))


def _boxed(opened: OpenedSlice, box: Corners) -> PointPrompt:
    """The middle of a box with the length of its longer side. Raises SeedError for a corner elsewhere."""
    first, second = (opened.point(ijk=corner) for corner in box)
    return box_point((first.row, first.col), (second.row, second.col), opened.image.spacing)


def _drawn(path: Path, volume: Volume) -> list[np.ndarray]:
    """(K, J, I) bool of what is scribbled in the object, and where there is a second segment outside it."""
    segments = read_segments(path, volume)
    if len(segments) not in (1, 2):
        raise InputError(
            f"{path} holds {len(segments)} segments; a scribble has one in the object and, if you like, a "
            "second one outside it."
        )
    if not segments[0].mask.any():
        raise SeedError(f"Nothing is scribbled in the object in {path}; mark a part of it.")
    return [one.mask for one in segments]


def load_profile(name: str | None, model: ModelInfo, named: str) -> Profile | None:
    """The profile of that name. Raises ProfileError where there is none or it is another model's.

    named: what the user called the model.
    """
    if name is None:
        return None
    from SPASegmentLib.profiles.store import ProfileStore

    profile = ProfileStore().load(name)
    profile.check_model(model, named)
    return profile


def doubts_about(profile: Profile | None, opened: OpenedSlice) -> list[str]:
    """Why the profile may not hold here, a sentence each."""
    if profile is None:
        return []
    from SPASegmentLib.profiles.summary import drift

    return [doubt for doubt in (profile.doubts_about(opened.image.modality), drift(profile)) if doubt]


def started(
    opened: OpenedSlice,
    model: ModelInfo,
    profile: Profile | None,
    seed_value: int,
    learn: bool,
    given: np.ndarray | None,
) -> Session:
    """The interaction on a slice. given: (H, W) bool that is gone on from, instead of the seed."""
    return Session.start(
        opened.image,
        model,
        opened.seed if given is None else None,
        log_prior=None if profile is None else profile.log_prior(),
        usual_area=None if profile is None else profile.usual_area(),
        learn=learn,
        random_seed=seed_value,
        carried=None if given is None else Carried(given.astype(np.float32)),
        goes_on=given is not None,
    )
