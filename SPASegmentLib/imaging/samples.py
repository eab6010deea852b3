"""The made-up volumes to try things on, by kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging import sample_abdomen, sample_brain
from SPASegmentLib.imaging.sample import SampleSeed, make_sample_volume, sample_matrix, sample_seeds
from SPASegmentLib.imaging.sample_shapes import straight
from SPASegmentLib.imaging.types import Volume

KINDS = {"chest": "chest CT", "abdomen": "abdominal CT", "brain": "brain MR"}
"""In words."""
_DRAWN = {"abdomen": sample_abdomen, "brain": sample_brain}


def make_sample(kind: str = "chest", seed: int = 0, *, rotated: bool = False) -> Volume:
    """The made-up volume of a kind of `KINDS`; the same seed makes the same voxels.

    rotated: tilt the patient on the table, so that no axis of the grid is an axis of RAS.
    Raises InputError for another kind.
    """
    if kind == "chest":
        return make_sample_volume(seed, rotated=rotated)
    module = _module(kind)
    matrix = sample_matrix(module.SHAPE, module.SPACING, rotated)
    array, _ = module.draw(seed)
    return Volume(array, matrix, KINDS[kind].split()[-1], name=f"made-up {KINDS[kind]}")


def sample_places(kind: str = "chest", seed: int = 0, *, rotated: bool = False) -> tuple[SampleSeed, ...]:
    """Places worth clicking in `make_sample` with the same arguments. Raises InputError for another kind."""
    if kind == "chest":
        return sample_seeds(seed, rotated=rotated)
    module = _module(kind)
    matrix = sample_matrix(module.SHAPE, module.SPACING, rotated)
    found = []
    for name in module.PLACES:
        shape = next(shape for shape in module.SHAPES if shape.name == name)
        at = straight(seed, shape.centre)
        ijk = np.rint(at / module.SPACING[::-1] + (np.array(module.SHAPE[::-1]) - 1) / 2)
        r, a, s = (float(value) for value in np.round(matrix[:3, :3] @ ijk + matrix[:3, 3], 2))
        found.append(SampleSeed(name, (r, a, s), max(52.0, 3.6 * max(shape.radii[:2]))))
    return tuple(found)


def _module(kind: str) -> Any:
    if kind not in _DRAWN:
        raise InputError(f"There is no made-up volume {kind}; choose {', '.join(KINDS)}.")
    return _DRAWN[kind]
