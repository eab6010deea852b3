"""The segments of a segmentation on a volume's voxels, and how one of them is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from SPASegmentLib import __version__
from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.terminology import TISSUE, Structure

Colour = tuple[float, float, float]
COLOUR: Colour = (0.90, 0.62, 0.0)
COLOURS: tuple[Colour, ...] = (
    (0.0, 0.62, 0.45),  # Okabe and Ito's, without those of the recommendation, of additions and of removals
    (0.80, 0.47, 0.65),
    (0.0, 0.45, 0.70),
    (0.60, 0.60, 0.60),
)
"""Of several segments, in order."""


@dataclass(frozen=True)
class Algorithm:
    """What drew a segment. parameters: name and value of each. kind: SEMIAUTOMATIC, AUTOMATIC or MANUAL."""

    name: str = "unknown"
    version: str = "unknown"
    parameters: tuple[tuple[str, str], ...] = ()
    kind: str = "SEMIAUTOMATIC"


UNKNOWN = Algorithm()
ALGORITHM_TAG = "SPASegment.Algorithm"
"""Of a segment in Slicer: the version, model and hash of the model that drew it."""
_NAME = "SPASegment"


def own_algorithm(model: str, digest: str, version: str = __version__) -> Algorithm:
    """This program with a model. digest: SHA-256 of its weights."""
    return Algorithm(_NAME, version, (("model", model), ("model hash", digest)))


def algorithm_entry(model: str, digest: str, version: str = __version__) -> str:
    """What the tag `ALGORITHM_TAG` holds of this program with a model."""
    return "^".join(re.sub(r"[|:^]", " ", part) for part in (version, model, digest))


def entry_of(algorithm: Algorithm) -> str:
    """What the tag `ALGORITHM_TAG` holds of an algorithm; "" of one that is not this program's."""
    about = dict(algorithm.parameters)
    if algorithm.name != _NAME or not {"model", "model hash"} <= about.keys():
        return ""
    return algorithm_entry(about["model"], about["model hash"], algorithm.version)


def parse_algorithm(entry: str) -> Algorithm:
    """What the tag `ALGORITHM_TAG` says; `UNKNOWN` for anything else."""
    version, *model = entry.split("^")
    return own_algorithm(model[0], model[1], version) if len(model) == 2 and version else UNKNOWN


@dataclass(frozen=True, eq=False)
class Segment:
    """One segment. mask: (K, J, I) bool on a volume's voxels. colour: RGB in [0, 1]."""

    name: str
    mask: np.ndarray
    structure: Structure = TISSUE
    colour: Colour = COLOUR
    algorithm: Algorithm = UNKNOWN


def label_of(name: str) -> str:
    """A name as a DICOM label: without control characters, 64 bytes at most, as some programs count them."""
    label = re.sub(r"[\\\x00-\x1f\x7f]", " ", name).strip()
    return label.encode()[:64].decode(errors="ignore").strip()


def segment_index(segments: Sequence[Segment], wanted: str | None, where: object) -> int:
    """Index of the segment with a name, or of that number from 1; of the only one where nothing is said.

    Raises InputError with one sentence that lists the names where it is none of them.
    """
    if not segments:
        raise InputError(f"{where} is empty; it holds no segment.")
    names = [one.name for one in segments]
    listed = ", ".join(f"{number} = {name}" for number, name in enumerate(names, start=1))
    if wanted is None:
        if len(segments) == 1:
            return 0
        raise InputError(f"{where} holds {len(segments)} segments; choose one by name or number: {listed}.")
    if wanted in names:
        return names.index(wanted)
    if wanted.isdigit() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    raise InputError(f'{where} has no segment "{wanted}"; there are: {listed}.')
