"""Runs the viewer as the command does, and on SIGUSR1 writes what the scene holds for a test to compare.

usage: served.py TRUTH.npz ARGUMENTS of `spasegment view`
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from SPASegmentLib.viewer import server


def voxels(segmentation: Any, segment_id: str, volume: Any) -> np.ndarray:
    """(K, J, I) bool on the volume's grid, of which the segment's labelmap is a box."""
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    i, j, k = volume.GetImageData().GetDimensions()
    mask = np.zeros((k, j, i), bool)
    image = slicer.vtkOrientedImageData()
    if not segmentation.GetBinaryLabelmapRepresentation(segment_id, image) or image.IsEmpty():
        return mask
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    box = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    mask[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = box > 0
    return mask


def write_truth(service: server.Service, path: Path) -> None:
    """The current segmentation voxel by voxel on the volume's grid, and where the views are."""
    viewer = service.viewer
    masks: dict[str, Any] = {}
    whole = viewer.segmentation.GetSegmentation()
    for index in range(whole.GetNumberOfSegments()):
        name = whole.GetNthSegment(index).GetName()
        masks[name] = voxels(viewer.segmentation, whole.GetNthSegmentID(index), viewer.volume)
    nodes = [pane.node for pane in (viewer.large, *viewer.small)]
    about = {
        "offsets": [node.GetSliceOffset() for node in nodes],
        "views": [list(node.GetFieldOfView()) for node in nodes],
        "segments": list(masks),
        "points": [list(seed) for seed in viewer.controller.screen.seeds],
        "nodes": viewer.app.scene.GetNumberOfNodes(),
    }
    part = path.with_name("part.npz")
    np.savez_compressed(
        part, about=json.dumps(about), **{f"mask{i}": m for i, m in enumerate(masks.values())}
    )
    part.replace(path)


def main() -> None:
    """Replace the command's own `Service` by one that answers to the signal; all else is the command."""
    path = Path(sys.argv.pop(1))

    class Told(server.Service):
        async def start(self) -> None:
            await super().start()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, write_truth, self, path)

    server.Service = Told  # type: ignore[misc]
    from SPASegmentLib.cli.main import main as command

    command(["view", *sys.argv[1:]])


if __name__ == "__main__":
    main()
