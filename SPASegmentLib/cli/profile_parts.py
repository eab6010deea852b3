"""What `spasegment profile` shows, and how it finds slices and models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

from SPASegmentLib.cli.profile_pictures import draw_comparison
from SPASegmentLib.cli.relearning import GivenSlice
from SPASegmentLib.cli.shared import plain_table
from SPASegmentLib.cli.slice_comparison import compare_on_slice
from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.files import read_volume
from SPASegmentLib.imaging.geometry import orientation_axis
from SPASegmentLib.imaging.headers import OWN
from SPASegmentLib.imaging.slicing import OpenedSlice, cut_numbered_slice
from SPASegmentLib.imaging.types import SliceImage, Volume
from SPASegmentLib.inference.local import LocalEngine
from SPASegmentLib.inference.messages import ProposalRequest
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.records import ModelReference
from SPASegmentLib.profiles.summary import summarise
from SPASegmentLib.words import count_of

CODE_LETTERS = 8
"""Letters of an image's hash that are shown."""


def about(profile: Profile) -> list[str]:
    """The profile in lines of words."""
    meant = ", ".join(word for word in (profile.structure, profile.modality) if word)
    half_life = profile.half_life
    images, picks = count_of(profile.n_images, "image"), count_of(profile.n_picks, "pick")
    return [
        f'"{profile.name}"' + (f" for {meant}" if meant else ""),
        f"model {profile.model.name} ({profile.model.hash[:12]}), {profile.model.components} components"
        + (f", {profile.model.configuration}" if profile.model.configuration else ""),
        f"{images}, {picks}, made {profile.created:%Y-%m-%d}, changed {profile.changed:%Y-%m-%d}",
        "forgets nothing" if half_life is None else f"evidence weighs half after {half_life:g} images",
        *summarise(profile),
    ]


def images_table(profile: Profile) -> Table:
    """The approved slices of a profile, oldest first, under the codes `remove-image` takes."""
    numbers = ("picks", "approved mm2", "first mm2", "consensus mm2")
    table = plain_table(("image", "approved (UTC)", *numbers), right=numbers)
    for item in profile.slices:
        areas = (item.approved_mm2, item.first_mm2, item.consensus_mm2)
        table.add_row(
            item.image[:CODE_LETTERS],
            f"{item.date:%Y-%m-%d %H:%M}",
            str(len(item.picks)),
            *("-" if area is None else f"{area:.1f}" for area in areas),
        )
    return table


def reference(engine: LocalEngine) -> ModelReference:
    """The engine's model as a profile names it."""
    config = engine.config
    summary = (
        f"{config.backbone}, M={config.components}, N={config.samples}, K={config.candidates}, "
        f"z of {config.latent_dim}, grid {config.grid}"
    )
    return ModelReference.of(engine.model, summary)


def compare_on_slice_in_words(
    engine: LocalEngine, opened: OpenedSlice, a: Profile, b: Profile, seed: int, picture: Path
) -> list[str]:
    """Draw how two profiles' first recommendations differ on a slice, and say it in lines."""
    request = ProposalRequest(opened.image, (opened.seed,), seed=seed)
    result = compare_on_slice(engine, request, a, b)
    draw_comparison(result, opened.image, request.points, picture)
    first, second, without = result.areas
    return [
        f'On this slice "{a.name}" marks {first:.1f} mm2, "{b.name}" {second:.1f} mm2, '
        f"the model by itself {without:.1f} mm2",
        f'Dice {result.dice:.3f}; only "{a.name}" {result.only_first:.1f} mm2, '
        f'only "{b.name}" {result.only_second:.1f} mm2',
        f"Picture: {picture}",
    ]


def known_slices(
    profile: Profile,
    volumes: Iterable[Path],
    orientation: str,
    window: tuple[float, float] | None,
    model_window: tuple[float, float] | None,
) -> list[GivenSlice]:
    """The slices of these volumes that a profile was taught on, cut as `spasegment segment` cuts them.

    window: the one they had, where one was given then. model_window: of the model they are for now; they are
    recognised in the window of the model they were taught on.
    """
    wanted = {item.image for item in profile.slices}
    before = profile.model.window or model_window
    found: list[GivenSlice] = []
    for path in volumes:
        volume = read_volume(path, OWN)
        for index in range(volume.shape[orientation_axis(volume, orientation)]):
            if not wanted:
                return found
            image = _whole_slice(volume, orientation, index, window, before)
            known = wanted.intersection(profile.image_identities(image.key)) if image else None
            if image is None or not known:
                continue
            same = window is not None or before == model_window
            now = image if same else _whole_slice(volume, orientation, index, None, model_window)
            if now is not None:
                found.append(GivenSlice(now, key=image.key))
                wanted -= known
    return found


def _whole_slice(
    volume: Volume,
    orientation: str,
    index: int,
    window: tuple[float, float] | None,
    model_window: tuple[float, float] | None,
) -> SliceImage | None:
    """A slice by its number; None where it is empty, so that nobody approved anything on it."""
    try:
        return cut_numbered_slice(volume, orientation, index, window=window, model_window=model_window).image
    except InputError:
        return None
