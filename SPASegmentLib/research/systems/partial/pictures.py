"""One picture per iteration of a growing labelling: the recommendation large, the candidates beside it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.atomic import atomic_file
from SPASegmentLib.imaging.types import SliceImage
from SPASegmentLib.reporting.overlay import Look, View, draw, stretched, swatch, view_of
from SPASegmentLib.research.systems.partial.growth import PartialCandidate, PartialProposal
from SPASegmentLib.research.systems.partial.labels import BACKGROUND, FOREGROUND, UNKNOWN

_GIVEN_OBJECT = Look((255, 221, 51), 0.55, (255, 221, 51))
_GIVEN_OTHER = Look((70, 110, 170), 0.45, (90, 130, 200))
_NEW_OBJECT = Look((255, 221, 51), 0.20, (255, 221, 51))
_NEW_OTHER = Look((70, 110, 170), 0.18, (90, 130, 200))
_LOOKS = (
    (_GIVEN_OBJECT, "object, given"),
    (_NEW_OBJECT, "object, new"),
    (_GIVEN_OTHER, "background, given"),
    (_NEW_OTHER, "background, new"),
)
_DARK, _TEXT, _QUIET = "#16181d", "#f2f2f2", "#b4b8c2"
_LARGE, _SMALL = 600, 300


def report_growth(
    path: Path, image: SliceImage, proposal: PartialProposal, iteration: int, caption: str = ""
) -> None:
    """Write the picture of one iteration as a PNG; the same proposal gives the same bytes.

    What was given is drawn strongly, what would be added lightly; what stays unknown is the bare slice.
    Raises InputError where `path` cannot be written.
    """
    drawn = [proposal.recommendation, *proposal.candidates]
    objects = [one.labels == FOREGROUND for one in drawn]
    view = view_of([proposal.given == FOREGROUND, *objects], [], image.spacing)
    pixels = stretched(image.pixels, view)
    figure = Figure(figsize=(13, 7.2), dpi=100, facecolor=_DARK)
    _one(figure, (0.01, 0.1, 0.45, 0.8), pixels, proposal, drawn[0], view, _LARGE, "Recommended")
    for slot, candidate in enumerate(proposal.candidates):
        box = (0.48 + (slot % 2) * 0.26, 0.55 - (slot // 2) * 0.46, 0.25, 0.36)
        _one(figure, box, pixels, proposal, candidate, view, _SMALL, str(slot + 1))
    if proposal.fewer_reason:
        figure.text(
            0.74, 0.05, textwrap.fill(proposal.fewer_reason, 80), color=_QUIET, fontsize=9, ha="center"
        )
    _legend(figure)
    status = "  ·  ".join(part for part in (f"iteration {iteration}", caption, "experimental") if part)
    figure.text(0.99, 0.015, status, color=_QUIET, fontsize=10, ha="right")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {path.parent} cannot be made; choose another for the report."
        ) from error
    with atomic_file(path) as file:
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})


def _one(
    figure: Figure,
    box: tuple[float, float, float, float],
    pixels: np.ndarray,
    proposal: PartialProposal,
    candidate: PartialCandidate,
    view: View,
    across: int,
    number: str,
) -> None:
    """One labelling over the slice, its number and what it adds."""
    new = proposal.given == UNKNOWN
    layers = [
        (proposal.given == BACKGROUND, _GIVEN_OTHER),
        (new & (candidate.labels == BACKGROUND), _NEW_OTHER),
        (proposal.given == FOREGROUND, _GIVEN_OBJECT),
        (new & (candidate.labels == FOREGROUND), _NEW_OBJECT),
    ]
    axes = figure.add_axes(box, label=number)
    axes.imshow(draw(pixels, view, across, layers), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    growth = candidate.growth
    sizes = f"+{growth.foreground_mm2:.3g} object, +{growth.background_mm2:.3g} background mm²"
    title = f"{number}: {growth.name}" if number.isdigit() else number
    axes.set_title(title.replace("mm2", "mm²"), color=_TEXT, fontsize=11)
    axes.set_xlabel(sizes, color=_QUIET, fontsize=9)


def _legend(figure: Figure) -> None:
    for index, (look, word) in enumerate(_LOOKS):
        axes = figure.add_axes((0.01 + 0.14 * index, 0.02, 0.025, 0.03), label=word)
        axes.imshow(swatch(look, 24, 44), interpolation="nearest")
        axes.set_axis_off()
        figure.text(0.04 + 0.14 * index, 0.028, word, color=_TEXT, fontsize=9)
