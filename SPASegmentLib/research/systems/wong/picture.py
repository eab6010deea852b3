"""The paper's Figure 3: several predictions for each of some inputs, one for each z."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.research.systems.wong.measure import inputs_of
from SPASegmentLib.research.systems.wong.network import WongNetwork, latent_shape
from SPASegmentLib.research.systems.wong.partial import Pairs

INTERIOR, EXTERIOR = np.array([0.84, 0.15, 0.16]), np.array([0.20, 0.45, 0.85])
OPACITY = 0.55


def draw_predictions(
    path: Path, network: WongNetwork, pairs: Pairs, *, inputs: int, samples: int, seed: int
) -> None:
    """Write a PNG: a row for each of the first `inputs` pairs, the input and `samples` predictions.

    The last row grows the first input step by step. Raises InputError where `path` cannot be written.
    """
    height, width = pairs.image.shape[1:]
    figure = Figure(figsize=(1.45 * (samples + 1), 1.6 * (inputs + 1) + 0.3), dpi=120)
    generator = torch.Generator().manual_seed(seed)
    shape = latent_shape(height, width)
    for row in range(inputs):
        x = inputs_of(pairs, slice(row, row + 1))
        _show(figure, inputs, samples, row, 0, "input", x.image, x.mask, x.labels)
        for column in range(1, samples + 1):
            y = network.grow(x, torch.randn(1, *shape, generator=generator))
            _show(figure, inputs, samples, row, column, f"z {column}", x.image, y.mask, y.labels)
    x = inputs_of(pairs, slice(0, 1))
    _show(figure, inputs, samples, inputs, 0, "input", x.image, x.mask, x.labels)
    for column in range(1, samples + 1):
        y = network.grow(x, torch.randn(1, *shape, generator=generator))
        x = x._replace(mask=y.mask.float(), labels=y.labels.float())
        _show(figure, inputs, samples, inputs, column, f"step {column}", x.image, x.mask, x.labels)
    figure.tight_layout(pad=0.4)
    with atomic_file(path) as file:
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})


def overlay(image: np.ndarray, mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H, W, 3) in [0, 1]: the image with interior red and exterior blue where it is segmented."""
    picture = np.repeat(image[..., None], 3, axis=2)
    for where, colour in ((mask & labels, INTERIOR), (mask & ~labels, EXTERIOR)):
        picture[where] = (1 - OPACITY) * picture[where] + OPACITY * colour
    return picture


def _show(
    figure: Figure,
    inputs: int,
    samples: int,
    row: int,
    column: int,
    title: str,
    image: torch.Tensor,
    mask: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    axes: Axes = figure.add_subplot(inputs + 1, samples + 1, row * (samples + 1) + column + 1)
    planes = (image[0, 0].numpy(), mask[0, 0].numpy() > 0, labels[0, 0].numpy() > 0)
    axes.imshow(overlay(*planes), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=8, pad=2)
