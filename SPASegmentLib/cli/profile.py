"""`spasegment profile`: what the system has learnt of its users, and what can be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SPASegmentLib.cli.shared import (
    Device,
    Orientation,
    SeedIjk,
    SeedRas,
    console,
    one_seed,
    plain_table,
    warn,
)
from SPASegmentLib.inference.config import DEFAULT_MODEL
from SPASegmentLib.words import count_of

if TYPE_CHECKING:
    from SPASegmentLib.profiles.profile import Profile
    from SPASegmentLib.profiles.store import ProfileStore

app = typer.Typer(
    name="profile",
    help="Preference profiles: what each user includes and leaves out, learnt from their picks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Argument(help="A name from `spasegment profile list`.", show_default=False)]
New = Annotated[str, typer.Argument(help="The name the new profile gets.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree beforehand.")]
Model = Annotated[str, typer.Option(metavar="NAME_OR_PATH", help="See `spasegment models`.")]
Structure = Annotated[str | None, typer.Option(help='What is segmented with it, e.g. "lung nodule".')]
Modality = Annotated[str | None, typer.Option(help='The images\' modality, e.g. "CT".')]


@app.callback()
def _folder(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            envvar="SPASEGMENT_PROFILES",
            help="Where profiles are kept; a department may share one.",
        ),
    ] = None,
) -> None:
    """Preference profiles: what each user includes and leaves out, learnt from their picks."""
    context.obj = folder


def _store(context: typer.Context) -> ProfileStore:
    from SPASegmentLib.profiles.store import ProfileStore

    return ProfileStore(context.obj)


def _agree(question: str, otherwise: str) -> None:
    """Ask on standard input. Raises ProfileError, with the sentence `otherwise`, unless the answer is yes."""
    from SPASegmentLib.errors import ProfileError

    try:
        agreed = typer.confirm(question)
    except (typer.Abort, OSError):
        agreed = False  # nobody there to ask
    if not agreed:
        raise ProfileError(otherwise)


@app.command("list")
def list_(context: typer.Context) -> None:
    """Show all profiles, files that cannot be read, and profiles that can be restored."""
    from SPASegmentLib.profiles.summary import summarise

    store, screen = _store(context), console()
    columns = ("name", "model", "for", "images", "picks", "changed", "what it has learnt")
    table = plain_table(columns, right=("images", "picks"))
    entries = store.entries()
    for profile in (entry.profile for entry in entries):
        if profile is not None:
            what = ", ".join(word for word in (profile.structure, profile.modality) if word)
            counts = (str(profile.n_images), str(profile.n_picks), f"{profile.changed:%Y-%m-%d}")
            table.add_row(profile.name, profile.model.name, what, *counts, summarise(profile)[0])
    if table.row_count:
        screen.print(table, soft_wrap=False)
    else:
        screen.print("There are no profiles yet; `spasegment profile create NAME` makes one.")
    for profile in store.deleted():
        screen.print(f'Can be restored: "{profile.name}", {count_of(profile.n_images, "image")}')
    warn(f"{entry.file.name}: {entry.problem}" for entry in entries if entry.problem)
    screen.print(f"Profiles are kept in {store.folder}")


@app.command()
def show(
    context: typer.Context,
    name: Name,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="The picture; by default beside you, named after the profile."),
    ] = None,
) -> None:
    """Say in words what a profile has learnt, list its images, and draw it."""
    from SPASegmentLib.cli.profile_parts import about, images_table
    from SPASegmentLib.cli.profile_pictures import draw_profile
    from SPASegmentLib.profiles.versions import stem_of

    profile, screen = _store(context).load(name), console()
    for line in about(profile):
        screen.print(line)
    screen.print(images_table(profile), soft_wrap=False)
    path = picture or Path(f"{stem_of(profile.name)}.png")
    draw_profile(profile, path)
    screen.print(f"Picture: {path}")


@app.command()
def create(
    context: typer.Context,
    name: New,
    model: Model = DEFAULT_MODEL,
    structure: Structure = None,
    modality: Modality = None,
    half_life: Annotated[
        float | None, typer.Option(metavar="IMAGES", help="Let evidence weigh half after so many images.")
    ] = None,
) -> None:
    """Make a profile that has learnt nothing yet, for one model.

    Example:

    spasegment profile create "Dr. A, nodules" --structure "lung nodule" --modality CT
    """
    from SPASegmentLib.cli.profile_parts import reference
    from SPASegmentLib.inference.local import load_engine
    from SPASegmentLib.profiles.profile import checked_name, new_profile

    checked_name(name)
    engine = load_engine(model, "cpu")
    profile = new_profile(
        name,
        reference(engine),
        structure=structure or "",
        modality=modality or "",
        half_life=half_life,
        base=engine.base_mixture(),
    )
    _store(context).create(profile)
    console().print(f'"{profile.name}" is ready for the model {engine.model.name}.')


@app.command()
def edit(
    context: typer.Context,
    name: Name,
    structure: Structure = None,
    modality: Modality = None,
    half_life: Annotated[
        float | None, typer.Option(metavar="IMAGES", help="Let evidence weigh half after so many images.")
    ] = None,
    forget_nothing: Annotated[
        bool, typer.Option("--forget-nothing", help="Let all evidence weigh the same.")
    ] = False,
) -> None:
    """Change what a profile is for, and whether it forgets."""
    if half_life is not None and forget_nothing:
        raise typer.BadParameter("give --half-life or --forget-nothing, not both.")
    from SPASegmentLib.cli.profile_parts import about

    def change(profile: Profile) -> Profile:
        if half_life is not None or forget_nothing:
            profile = profile.with_half_life(half_life)
        return profile.meant_for(structure, modality)

    profile = _store(context).update(name, change)
    for line in about(profile):
        console().print(line)


@app.command()
def rename(context: typer.Context, name: Name, new: New) -> None:
    """Give a profile another name; its history goes along."""
    profile = _store(context).rename(name, new)
    console().print(f'It is called "{profile.name}" now.')


@app.command()
def copy(context: typer.Context, name: Name, new: New) -> None:
    """Make a profile of its own with the same evidence."""
    profile = _store(context).copy(name, new)
    console().print(f'"{profile.name}" begins with {count_of(profile.n_images, "image")}.')


@app.command()
def blend(
    context: typer.Context,
    first: Name,
    second: Name,
    new: New,
    share: Annotated[float, typer.Option(help="How much of the first, between 0 and 1.")] = 0.5,
) -> None:
    """Make a profile between two, from the evidence of both."""
    profile = _store(context).blend(first, second, new, share)
    console().print(f'"{profile.name}" holds the evidence of {count_of(profile.n_images, "image")}.')


@app.command()
def compare(
    context: typer.Context,
    first: Name,
    second: Name,
    volume: Annotated[
        Path | None, typer.Option(metavar="VOLUME", help="Compare their masks on a slice of it, too.")
    ] = None,
    seed_ras: SeedRas = None,
    seed_ijk: SeedIjk = None,
    orientation: Annotated[Orientation, typer.Option(help="The slice through the seed.")] = Orientation.axial,
    model: Model = DEFAULT_MODEL,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    seed_value: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    picture: Annotated[Path, typer.Option(metavar="FILE.png", help="The picture of the slice.")] = Path(
        "comparison.png"
    ),
) -> None:
    """Compare two profiles: in numbers, and with --volume by their masks on one slice.

    Example:

    spasegment profile compare "Dr. A" "Dr. B" --volume chest.nrrd --seed-ijk 48 101 86
    """
    seed = None if volume is None else one_seed(seed_ras, seed_ijk)
    from SPASegmentLib.profiles.comparison import compare as compare_profiles

    store, screen = _store(context), console()
    a, b = store.load(first), store.load(second)
    numbers = compare_profiles(a, b)
    screen.print(numbers.sentence)
    for name, images, change in zip(numbers.names, numbers.images, numbers.changes, strict=True):
        area = "not known" if change is None else f"{change:+.0%} against the consensus"
        screen.print(f'"{name}": {images} images, area {area}')
    screen.print(f"Images both learnt from: {numbers.shared_images}")
    if volume is None or seed is None:
        return
    from SPASegmentLib.cli.profile_parts import compare_on_slice_in_words
    from SPASegmentLib.imaging.files import read_volume
    from SPASegmentLib.imaging.headers import OWN
    from SPASegmentLib.imaging.slicing import cut_slice
    from SPASegmentLib.inference.local import load_engine

    engine = load_engine(model, device.value)
    opened = cut_slice(
        read_volume(volume, OWN),
        **seed,
        orientation=orientation.value,
        window=None,
        model_window=engine.model.window,
    )
    for line in compare_on_slice_in_words(engine, opened, a, b, seed_value, picture):
        screen.print(line)


@app.command("export")
def export_(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace a file that is there.")] = False,
) -> None:
    """Write a profile to a file of its own, to give it to somebody else."""
    from SPASegmentLib.profiles.exchange import export_profile

    export_profile(_store(context).load(name), file, replace=yes)
    console().print(f'"{name}" is in {file}; it holds no image and no name of a patient.')


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file made by `profile export`.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Another name for it, where its own is taken.")] = None,
    yes: Yes = False,
) -> None:
    """Check a profile from elsewhere, show it, and add it once you agree."""
    from SPASegmentLib.cli.profile_parts import about
    from SPASegmentLib.profiles.exchange import accept, read_foreign

    profile, screen = read_foreign(file), console()
    for line in about(profile):
        screen.print(line)
    if not yes:
        _agree("Add it to your profiles?", "Nothing was imported; agree, or add --yes.")
    profile = accept(_store(context), profile, name)
    screen.print(f'"{profile.name}" is one of your profiles now.')


@app.command()
def reset(context: typer.Context, name: Name) -> None:
    """Forget everything a profile has learnt; `restore` brings it back."""
    _store(context).reset(name)
    console().print(f'"{name}" has learnt nothing now; `spasegment profile restore` brings it back.')


@app.command("remove-image")
def remove_image(
    context: typer.Context,
    name: Name,
    image: Annotated[str, typer.Argument(help="The beginning of its code in `show`.", show_default=False)],
) -> None:
    """Take back everything learnt on one image."""
    profile = _store(context).remove_image(name, image)
    console().print(f'"{profile.name}" has learnt from {count_of(profile.n_images, "image")} now.')


@app.command()
def history(context: typer.Context, name: Name) -> None:
    """Show the kept versions of a profile: the present one and the last ten before it."""
    columns = ("version", "changed (UTC)", "images", "picks", "problem")
    table = plain_table(columns, right=("version", "images", "picks"))
    for version in _store(context).history(name):
        profile = version.profile
        counts = (str(profile.n_images), str(profile.n_picks)) if profile else ("", "")
        date = f"{version.date:%Y-%m-%d %H:%M:%S}" if version.date else ""
        table.add_row(str(version.number), date, *counts, version.problem)
    console().print(table, soft_wrap=False)


@app.command()
def restore(
    context: typer.Context,
    name: Name,
    version: Annotated[
        int | None, typer.Argument(help="From `history`; by default the last one that differs.")
    ] = None,
) -> None:
    """Bring back a version of a profile, also of one that was deleted or damaged."""
    profile = _store(context).restore(name, version)
    console().print(f'"{profile.name}" is restored with {count_of(profile.n_images, "image")}.')


@app.command()
def delete(
    context: typer.Context,
    name: Name,
    forever: Annotated[bool, typer.Option("--forever", help="Also its versions and damaged files.")] = False,
    yes: Yes = False,
) -> None:
    """Delete a profile; unless --forever is given, `restore` brings it back."""
    if forever and not yes:
        _agree(f'Delete "{name}" and all its versions?', "Nothing was deleted; agree, or add --yes.")
    _store(context).delete(name, forever=forever)
    back = "." if forever else "; `spasegment profile restore` brings it back."
    console().print(f'"{name}" is deleted{back}')


@app.command()
def relearn(
    context: typer.Context,
    name: Name,
    new: New,
    volumes: Annotated[
        list[Path], typer.Argument(help="Volumes with the slices it was taught on.", show_default=False)
    ],
    model: Model = DEFAULT_MODEL,
    orientation: Annotated[Orientation, typer.Option(help="Of the slices.")] = Orientation.axial,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="The window they had, where one was given then."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
) -> None:
    """Teach a new profile on another model what a profile was taught on its own.

    A profile keeps no images: give it the volumes again; its slices are recognised in them.
    """
    from SPASegmentLib.cli.profile_parts import known_slices
    from SPASegmentLib.cli.relearning import replay
    from SPASegmentLib.inference.local import load_engine

    store, screen = _store(context), console()
    profile = store.load(name)
    engine = load_engine(model, device.value)
    with screen.status("Looking for the slices..."):
        found = known_slices(profile, volumes, orientation.value, window, engine.model.window)
    with screen.status("Re-learning..."):
        result = replay(profile, engine, found, new, base=engine.base_mixture())
    store.create(result.profile)
    screen.print(f'"{new}": {result.sentence}')
