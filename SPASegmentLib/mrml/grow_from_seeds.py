"""The Segment Editor's "Grow from seeds" on arrays, as a program: what research compares with.

    python -m SPASegmentLib.mrml.grow_from_seeds GIVEN.npz GROWN.npy

GIVEN holds image, (K, J, I) float32; seeds, (K, J, I) uint8, 0 where nothing was painted; spacing, (3,) mm.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

GROWTH, LEAST = 0.1, 3
"""The editor computes in the box around the seeds, wider by this share and at least by so many voxels."""


def grow_from_seeds(image: np.ndarray, seeds: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """(K, J, I) uint8: every voxel around the seeds with the label of the seed that reaches it first.

    image, seeds: (K, J, I). spacing: mm along the axes.
    """
    box = []
    for axis, size in enumerate(seeds.shape):
        hit = np.flatnonzero(seeds.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = max(LEAST, int(GROWTH * (hit[-1] - hit[0])))
        box.append(slice(max(0, int(hit[0]) - margin), min(size, int(hit[-1]) + 1 + margin)))
    at = tuple(box)
    # The filter works on whole numbers: 12 bits of the box's range, as much as a CT has.
    part = image[at].astype(np.float64)
    low, high = float(part.min()), float(part.max())
    grey = np.round(4095 * (part - low) / max(high - low, 1e-9)).astype(np.int16)
    grower = slicer.vtkImageGrowCutSegment()
    grower.SetIntensityVolume(_image_of(grey, spacing))
    grower.SetSeedLabelVolume(_image_of(seeds[at].astype(np.int16), spacing))
    grower.Update()
    grown = np.zeros(seeds.shape, np.uint8)
    grown[at] = vtk_to_numpy(grower.GetOutput().GetPointData().GetScalars()).reshape(grey.shape)
    return grown


def _image_of(voxels: np.ndarray, spacing: tuple[float, float, float]) -> vtk.vtkImageData:
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.SetSpacing(*reversed(spacing))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(voxels).ravel(), deep=True))
    return image


def main(given: str, grown: str) -> None:
    """Read what is given, and write what has grown."""
    with np.load(given) as held:
        k, j, i = (float(mm) for mm in held["spacing"])
        found = grow_from_seeds(held["image"], held["seeds"], (k, j, i))
    np.save(Path(grown), found)


if __name__ == "__main__":
    main(*sys.argv[1:])
