"""`spasegment sample`: a made-up volume to try things on."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from SPASegmentLib.cli.shared import console

if TYPE_CHECKING:
    from SPASegmentLib.imaging.types import Volume


class Kind(str, Enum):
    """What is made up."""

    chest = "chest"
    abdomen = "abdomen"
    brain = "brain"


def sample(
    out: Annotated[Path, typer.Argument(metavar="OUT.nrrd", help="The file to write.", show_default=False)],
    kind: Annotated[
        Kind, typer.Option(help="A chest CT, an abdominal CT after contrast or a brain MR.")
    ] = Kind.chest,
    seed_value: Annotated[int, typer.Option(min=0, help="Another seed, another patient.")] = 0,
    rotated: Annotated[bool, typer.Option(help="Tilt the patient on the table.")] = False,
) -> None:
    """Write a made-up chest CT, abdominal CT or brain MR, and say what is worth clicking in it.

    Example:

    spasegment sample brain.nrrd --kind brain
    """
    from SPASegmentLib.errors import InputError
    from SPASegmentLib.imaging.samples import make_sample, sample_places

    if not out.name.lower().endswith(".nrrd"):
        raise InputError(
            f"The sample is written as .nrrd, not as {out.name}; choose a name such as {kind.value}.nrrd."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_sample_volume(out, make_sample(kind.value, seed_value, rotated=rotated))
    screen = console()
    screen.print(f"Wrote {out}. Worth clicking:")
    for place in sample_places(kind.value, seed_value, rotated=rotated):
        r, a, s = place.ras
        screen.print(f"  --seed-ras {r:g} {a:g} {s:g}   {place.name}")


def write_sample_volume(path: Path, volume: Volume) -> None:
    """Write a volume as NRRD with its modality. Raises InputError where the file cannot be written."""
    import numpy as np
    import SimpleITK as sitk  # noqa: N813

    from SPASegmentLib.errors import InputError

    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.ijk_to_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetMetaData("Modality", volume.modality or "")
    part = path.with_name(f".{path.stem}.part.nrrd")
    try:
        sitk.WriteImage(image, str(part), useCompression=True, compressionLevel=2)
        part.replace(path)
    except (RuntimeError, OSError) as error:
        part.unlink(missing_ok=True)
        raise InputError(f"The sample cannot be written to {path}; choose another place.") from error
