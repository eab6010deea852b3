"""The pictures on the cards: what the views show, small, as PNG."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.reporting.overlay import ADDED, RECOMMENDED, REMOVED, draw, stretched, view_of


def thumbnails(image: SliceImage, proposal: Proposal, across: int = 128) -> tuple[bytes, ...]:
    """PNG of the recommendation and then of each candidate's difference from it, `across` pixels square."""
    recommended = proposal.recommendation
    masks = [recommended, *(candidate.mask for candidate in proposal.candidates)]
    view = view_of(masks, [], image.spacing)
    pixels = stretched(image.pixels, view)
    outline = [(recommended, RECOMMENDED)]
    pictures = [draw(pixels, view, across, outline)]
    for candidate in proposal.candidates:
        layers = [(candidate.mask & ~recommended, ADDED), (recommended & ~candidate.mask, REMOVED)]
        pictures.append(draw(pixels, view, across, layers))
    return tuple(png_of(picture) for picture in pictures)


def png_of(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 -> the bytes of a PNG file."""
    height, width = picture.shape[:2]
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    flat = np.ascontiguousarray(picture[::-1]).reshape(-1, 3)
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    writer = vtk.vtkPNGWriter()
    writer.WriteToMemoryOn()
    writer.SetInputData(image)
    writer.Write()
    return vtk_to_numpy(writer.GetResult()).tobytes()
