"""Pictures of profiles: what one has learnt, and how two differ on a slice."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator, PercentFormatter

from SPASegmentLib.cli.slice_comparison import SliceComparison
from SPASegmentLib.cli.trend import Trend, trend
from SPASegmentLib.errors import ProfileError
from SPASegmentLib.imaging.types import PointPrompt, SliceImage
from SPASegmentLib.inference.messages import Proposal
from SPASegmentLib.network.mixture import Mixture
from SPASegmentLib.profiles.profile import Profile
from SPASegmentLib.profiles.summary import summarise
from SPASegmentLib.reporting.overlay import ADDED, RECOMMENDED, REMOVED, Look, draw, stretched, view_of
from SPASegmentLib.words import count_of

_MODEL, _USER, _CHANGE = "#9aa3ad", "#0b62a8", "#b3541e"
_DOTS = 420


def draw_profile(profile: Profile, path: Path) -> None:
    """Draw a profile as a PNG: weights of the components, the mixture, the summary, the trend over images.

    Raises ProfileError where the file cannot be written.
    """
    figure = Figure(figsize=(11.5, 7.5), dpi=120, layout="constrained")
    layout: list[Any] = [["weights", "plane"], ["course", "words"], ["picks", "words"]]
    axes = figure.subplot_mosaic(layout, height_ratios=[3.2, 2.4, 1.0])
    about = [profile.name, f"model {profile.model.name}", profile.structure, profile.modality]
    figure.suptitle(_plain("  ·  ".join(part for part in about if part)), fontsize=13)
    _weights(axes["weights"], profile)
    _mixture(axes["plane"], profile.adapted())
    _trend(axes["course"], axes["picks"], trend(profile))
    _words(axes["words"], profile)
    _save(figure, path)


def draw_comparison(
    comparison: SliceComparison, image: SliceImage, points: Sequence[PointPrompt], path: Path
) -> None:
    """Draw what two profiles recommend on a slice, and the second as a difference from the first.

    Raises ProfileError where the file cannot be written.
    """
    first, second = comparison.first.recommendation, comparison.second.recommendation
    masks = [first, second, comparison.without.recommendation]
    view = view_of(masks, [(p.row, p.col) for p in points], image.spacing)
    pixels = stretched(image.pixels, view)
    added, removed = second & ~first, first & ~second
    panels: list[tuple[str, list[tuple[np.ndarray, Look]]]] = [
        (f"{comparison.names[0]}\n{_area(comparison.first)}", [(first, RECOMMENDED)]),
        (f"{comparison.names[1]}\n{_area(comparison.second)}", [(second, RECOMMENDED)]),
        (
            f"the second adds {comparison.only_second:.0f} mm², removes {comparison.only_first:.0f} mm²\n"
            f"Dice {comparison.dice:.3f}",
            [(added, ADDED), (removed, REMOVED)],
        ),
        (f"without a profile\n{_area(comparison.without)}", [(masks[2], RECOMMENDED)]),
    ]
    figure = Figure(figsize=(14.5, 4.4), dpi=120, layout="constrained")
    for axes, (title, layers) in zip(figure.subplots(1, 4), panels, strict=True):
        axes.imshow(draw(pixels, view, _DOTS, layers))
        axes.set_title(_plain(title), fontsize=11)
        axes.set_axis_off()
    _save(figure, path)


def _weights(axes: Axes, profile: Profile) -> None:
    """The model's weight of each component, and the user's."""
    at = np.arange(profile.model.components)
    axes.bar(at + 1, np.exp(profile.base_log_weights), width=0.8, color=_MODEL, label="the model")
    axes.bar(at + 1, profile.posterior(), width=0.4, color=_USER, label="this profile")
    axes.set(
        xlabel="component",
        ylabel="weight",
        ylim=(0, 1.02),
        xlim=(0.3, len(at) + 0.7),
        title="What this user wants",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    _plainly(axes)


def _mixture(axes: Axes, mixture: Mixture | None) -> None:
    """The adapted mixture in the plane in which its components lie furthest apart."""
    axes.set_title("The mixture, in the plane of its largest spread; dark is likely")
    if mixture is None:
        axes.text(0.5, 0.5, "The model's mixture was not stored.", ha="center", color="#555555")
        axes.set_axis_off()
        return
    centred = mixture.means - mixture.means.mean(axis=0)
    _, _, directions = np.linalg.svd(np.atleast_2d(centred), full_matrices=False)
    basis = np.zeros((2, mixture.dimension))
    basis[: min(2, len(directions))] = directions[:2]
    points = centred @ basis.T
    spread = np.sqrt(mixture.variances @ (basis**2).T)
    for m, weight in enumerate(mixture.weights):
        width, height = 2 * np.maximum(spread[m], 0.02 * (np.ptp(points) or 1.0))
        alpha = 0.08 + 0.72 * float(weight)
        patch = Ellipse((points[m, 0], points[m, 1]), width, height, facecolor=_USER, alpha=alpha)
        axes.add_patch(patch)
        axes.annotate(str(m + 1), points[m], ha="center", va="center", fontsize=8)
    axes.autoscale_view()
    axes.margins(0.08)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    _plainly(axes)


def _trend(axes: Axes, below: Axes, steps: Sequence[Trend]) -> None:
    """How far approved masks were from the first recommendation, how sure the profile was, and the picks."""
    axes.set_title("Over the images")
    if not steps:
        axes.text(0.5, 0.5, "Nothing learnt yet.", ha="center", color="#555555")
        axes.set_axis_off()
        below.set_axis_off()
        return
    at = np.arange(1, len(steps) + 1)
    change = np.array([np.nan if s.first_change is None else s.first_change for s in steps])
    axes.axhline(0, color=_MODEL, linewidth=0.8)
    axes.plot(at, change, "o-", color=_CHANGE, markersize=4, linewidth=1, label="approved over first shown")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(ylabel="change of area", xlim=(0.4, len(steps) + 0.6), xticks=[])
    sure = axes.twinx()
    sure.plot(at, [s.sure for s in steps], "--", color=_USER, label="likeliest component")
    sure.set(ylim=(0, 1.04), ylabel="probability")
    lines = [*axes.get_legend_handles_labels()[0], *sure.get_legend_handles_labels()[0]]
    axes.legend(
        lines, [str(line.get_label()) for line in lines], frameon=False, fontsize=9, loc="center right"
    )
    _plainly(axes)
    below.bar(at, [s.picks for s in steps], color=_MODEL, width=0.6)
    below.set(xlabel="image", ylabel="picks", xlim=axes.get_xlim())
    for axis in (below.xaxis, below.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    _plainly(below)


def _words(axes: Axes, profile: Profile) -> None:
    axes.set_title("In words", loc="left")
    axes.set_axis_off()
    images, picks = count_of(profile.n_images, "image"), count_of(profile.n_picks, "pick")
    lines = [
        f"{images}, {picks}",
        *summarise(profile),
    ]
    forgets = profile.half_life
    lines.append("Forgets nothing." if forgets is None else f"Evidence weighs half after {forgets:g} images.")
    text = "\n\n".join(textwrap.fill(line, 58) for line in lines)
    axes.text(0.0, 0.95, _plain(text), va="top", fontsize=11, transform=axes.transAxes)


def _area(proposal: Proposal) -> str:
    return f"{proposal.area_mm2:.0f} mm²"


def _plain(text: str) -> str:
    """Text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def _plainly(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Names may be in any script; letters the font lacks are drawn as boxes.
            warnings.filterwarnings("ignore", message="Glyph")
            FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
    except OSError as error:
        raise ProfileError(
            f"The picture cannot be written to {path} ({error.strerror}); choose another file."
        ) from error
