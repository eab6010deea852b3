"""Options of `spasegment segment` about files: what is written, and what is gone on from."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

BoxOption = Annotated[
    str | None,
    typer.Option(
        "--box",
        metavar="I,J,K,I,J,K",
        help="Instead of a seed: two opposite corners, in voxels, of a box around the object on one slice.",
    ),
]
ScribbleOption = Annotated[
    Path | None,
    typer.Option(
        "--scribble",
        metavar="FILE",
        help="A rough drawing on the volume's voxels: label 1, or the first segment, lies in the object, "
        "label 2 outside it. Up to 6 points of each are taken.",
    ),
]


class SegType(str, Enum):
    """How a DICOM segmentation holds its voxels."""

    binary = "binary"
    labelmap = "labelmap"


SegTypeOption = Annotated[
    SegType,
    typer.Option(
        "--seg-type", help="Of a DICOM segmentation: binary, which any reader knows, or the newer labelmap."
    ),
]
StructureOption = Annotated[
    str | None,
    typer.Option(
        "--structure",
        metavar="NAME_OR_CODES",
        help="What the segment is, coded in .dcm and .seg.nrrd: such as nodule, lung-nodule or liver "
        "(any other word lists them), or SCHEME^VALUE^MEANING of category, type and region, joined by ~.",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option("--segment-name", metavar="NAME", help="The segment's name in .dcm and .seg.nrrd."),
]


KeepOption = Annotated[
    Path | None,
    typer.Option(
        "--keep-approved",
        metavar="FOLDER",
        help="Keep what you approve, a crop of the slice and its mask, in this folder on this computer, for "
        "`spasegment adapt`. Without it nothing is kept.",
    ),
]


class Overwrite(str, Enum):
    """Whose voxels the segment may take, as the Segment Editor's setting of that name."""

    none = "none"
    visible = "visible"
    all = "all"


ContinueOption = Annotated[
    str | None,
    typer.Option(
        "--continue",
        metavar="FILE[:SEGMENT]",
        help="Go on from an existing mask on the volume's voxels: .seg.nrrd, .nrrd, .nii.gz, DICOM SEG or "
        "RTSTRUCT, and the segment's name or number. Without a seed, on the slice with most of it.",
    ),
]
SeedsOption = Annotated[
    Path | None,
    typer.Option(
        "--seeds",
        metavar="FILE.csv",
        help="Instead of a seed: many objects, one in each row, each a segment of its own. Columns name and "
        "i, j, k or r, a, s; if wanted orientation, picks, whole_object (yes or no), else as the options "
        "say. Run again after an interruption, it goes on.",
    ),
]
OverwriteOption = Annotated[
    Overwrite,
    typer.Option(
        "--overwrite",
        help="With --continue or --seeds: whether the other segments lose the voxels that a segment gains. "
        "none lets them overlap; a file hides no segment, so visible means all.",
    ),
]
DicomWebOption = Annotated[
    str | None,
    typer.Option(
        "--dicomweb",
        metavar="URL",
        help="Instead of VOLUME: a DICOMweb server that has the series, such as "
        "https://pacs.example.org/dicom-web. SPASEGMENT_DICOMWEB_AUTH holds what it is told of you, such as "
        '"Bearer TOKEN"; SPASEGMENT_DICOMWEB_CA names a certificate authority of your own.',
    ),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", metavar="UID", help="With --dicomweb: the StudyInstanceUID.")
]
StowOption = Annotated[
    bool,
    typer.Option(
        "--stow", help="With --dicomweb: store the segmentation as DICOM SEG in the study on that server."
    ),
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dicomweb-header",
        metavar="'NAME: VALUE'",
        help="With --dicomweb: a further header. Other users of this computer can see it; may be repeated.",
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="With --dicomweb: plain http to other computers, too: images and password can be read on the "
        "way.",
    ),
]
