"""One picture per iteration: the recommendation large, what each candidate would change beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.describe import areas_in_words
from SPASegmentLib.inference.messages import Candidate, Proposal
from SPASegmentLib.reporting.overlay import (
    ADDED,
    RECOMMENDED,
    REMOVED,
    View,
    draw,
    stretched,
    swatch,
    view_of,
)

WIDTH, HEIGHT, DPI = 14.0, 7.9, 140
"""Inches and dots per inch of a picture."""
LARGE, SMALL = 896, 385
"""Dots across the large and the small views."""
SLOTS = 4
_DARK, _GREY, _TEXT, _QUIET, _CHOSEN = "#16181d", "#3a3d47", "#f2f2f2", "#b4b8c2", "#ffffff"


def report_iteration(
    path: Path,
    image: SliceImage,
    proposal: Proposal,
    iteration: int,
    *,
    points: Sequence[PointPrompt] = (),
    answer: str = "",
    chosen: int | None = None,
    caption: str = "",
) -> None:
    """Write the picture of one iteration as a PNG; the same proposal gives the same bytes.

    Grey slices are shown with the contrast of what is in view, so that a nodule in a wide window can be seen.
    points: drawn on the large view. answer: what the user did, e.g. "picked 2"; chosen: index of the
    candidate that was picked or taken. caption: e.g. the model's name. Raises InputError where `path` cannot
    be written.
    """
    masks = [proposal.recommendation, *(c.mask for c in proposal.candidates)]
    view = view_of(masks, [(p.row, p.col) for p in points], image.spacing)
    image = replace(image, pixels=stretched(image.pixels, view))
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor=_DARK)
    canvas = FigureCanvasAgg(figure)
    _large(figure, image, proposal, view, points)
    for slot in range(SLOTS):
        left, bottom = 7.1 + (slot % 2) * 3.45, 4.95 - (slot // 2) * 3.6
        if slot < len(proposal.candidates):
            axes = _axes(figure, left, bottom, SMALL, proposal.candidates[slot].description.name)
            _small(axes, image, proposal, slot, view, answer if chosen == slot else "")
            _name(figure, proposal.candidates[slot], slot, left, bottom)
        else:
            axes = _axes(figure, left, bottom, SMALL, f"empty {slot}")
            reason = proposal.fewer_reason if slot == len(proposal.candidates) else ""
            axes.text(
                SMALL / 2,
                SMALL / 2,
                textwrap.fill(reason, 28),
                ha="center",
                va="center",
                **_words(11.5, _QUIET),
            )
            _frame(axes, _GREY, 1)
    _legend(figure)
    status = "  ·  ".join(part for part in (f"iteration {iteration}", answer, caption) if part)
    _write(figure, 13.85, 0.3, status, 12, ha="right")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.print_png(path, metadata={"Software": None})
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"The picture cannot be written to {path} ({reason}); choose another folder for the report."
        ) from error


def _words(size: float, color: str = _TEXT, weight: str = "normal") -> dict[str, Any]:
    return {"fontsize": size, "color": color, "fontweight": weight, "family": "DejaVu Sans"}


def _write(
    figure: Figure,
    left: float,
    bottom: float,
    text: str,
    size: float,
    color: str = _TEXT,
    weight: str = "normal",
    ha: str = "left",
    va: str = "center",
) -> None:
    """Text at a place in inches; areas are written with a raised 2."""
    words = _words(size, color, weight)
    figure.text(left / WIDTH, bottom / HEIGHT, text.replace("mm2", "mm²"), ha=ha, va=va, **words)


def _axes(figure: Figure, left: float, bottom: float, dots: int, label: str) -> Axes:
    """Square axes of `dots` picture dots, row 0 at the top; the place is in inches."""
    inches = dots / DPI
    box = (left / WIDTH, bottom / HEIGHT, inches / WIDTH, inches / HEIGHT)
    axes = figure.add_axes(box, facecolor=_DARK, label=label)
    axes.set(xticks=[], yticks=[], xlim=(-0.5, dots - 0.5), ylim=(dots - 0.5, -0.5))
    return axes


def _show(axes: Axes, picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _frame(axes: Axes, color: str, width: float) -> None:
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=width)


def _large(
    figure: Figure, image: SliceImage, proposal: Proposal, view: View, points: Sequence[PointPrompt]
) -> None:
    """The slice with the recommended mask, the user's points and a scale bar."""
    axes = _axes(figure, 0.2, 0.75, LARGE, "recommendation")
    _show(axes, draw(image.pixels, view, LARGE, [(proposal.recommendation, RECOMMENDED)]))
    _frame(axes, _GREY, 1)
    for point in points:
        row, col = view.place(point.row, point.col, LARGE)
        marker = "+" if point.positive else "x"
        for color, width in (("black", 4.5), ("white", 2.0)):
            axes.plot([col], [row], marker, color=color, markersize=13, markeredgewidth=width)
    _scale_bar(axes, view)
    area = f"{proposal.area_mm2:.0f}" if proposal.area_mm2 >= 10 else f"{proposal.area_mm2:.1f}"
    _write(figure, 0.2, 7.48, f"Recommendation, {area} mm2", 16, weight="bold")


def _scale_bar(axes: Axes, view: View) -> None:
    """A bar of a round length in the lower right corner."""
    lengths = [a * 10.0**b for b in range(-3, 5) for a in (1, 2, 5)]
    length = max((mm for mm in lengths if mm <= view.size / 4), default=lengths[0])
    across, right, bottom = length / view.size * LARGE, LARGE - 30, LARGE - 30
    for color, width in (("black", 7), ("white", 3)):
        ends = ([right - across, right], [bottom, bottom])
        axes.plot(*ends, color=color, linewidth=width, solid_capstyle="butt")
    box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 2}
    middle = right - across / 2
    axes.text(middle, bottom - 14, f"{length:g} mm", ha="center", va="bottom", bbox=box, **_words(12))


def _small(axes: Axes, image: SliceImage, proposal: Proposal, slot: int, view: View, answer: str) -> None:
    """What one candidate would change; the one that was answered with is framed."""
    mask = proposal.candidates[slot].mask
    changes = [(mask & ~proposal.recommendation, ADDED), (proposal.recommendation & ~mask, REMOVED)]
    _show(axes, draw(image.pixels, view, SMALL, changes))
    _frame(axes, _CHOSEN if answer else _GREY, 4 if answer else 1)
    if answer:
        box = {"facecolor": _CHOSEN, "edgecolor": "none", "pad": 4}
        axes.text(10, 10, answer, ha="left", va="top", bbox=box, **_words(12, _DARK, "bold"))


def _name(figure: Figure, candidate: Candidate, slot: int, left: float, bottom: float) -> None:
    """The number, name and size of a candidate below its view."""
    description = candidate.description
    top = bottom - 0.2
    _write(figure, left, top, str(slot + 1), 15, weight="bold")
    for line in textwrap.wrap(description.name.replace(" mm2", "\u00a0mm2"), 28):
        _write(figure, left + 0.25, top, line, 12, weight="bold")
        top -= 0.21
    support = f"{100 * description.support:.0f}% of masks"
    _write(figure, left + 0.25, top, f"{areas_in_words(description)}  ·  {support}", 10.5, _QUIET)


def _legend(figure: Figure) -> None:
    left = 0.2
    for look, word in (
        (RECOMMENDED, "recommended"),
        (ADDED, "would be added"),
        (REMOVED, "would be removed"),
    ):
        box = (left / WIDTH, 0.18 / HEIGHT, 0.44 / WIDTH, 0.24 / HEIGHT)
        axes = figure.add_axes(box, label=word)
        axes.set_axis_off()
        _show(axes, swatch(look, 34, 62))
        _write(figure, left + 0.54, 0.3, word, 12)
        left += 2.0 if look is RECOMMENDED else 2.15
