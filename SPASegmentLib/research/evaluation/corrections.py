"""Users who see the target: one corrects with points, one takes a pick or a point, whichever brings more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.types import PointPrompt
from SPASegmentLib.inference.messages import Engine, Proposal
from SPASegmentLib.inference.session import Session
from SPASegmentLib.research.evaluation.metrics import dice, dice_of_each
from SPASegmentLib.research.evaluation.protocol import MIXED, pick

FAR = 1 / 3
"""How far from a correction, in diameters of the target, the mask ought to stay as it is."""


@dataclass
class Corrections:
    """How a user who sees the target fared.

    dice, surface: of each recommendation, held where nothing was left to do. points, picks: how many they
    gave.
    held: after each correction, how many of all points so far hold (positive in the mask, negative outside),
    and how many there are. far: per correction the pixels that changed farther than `FAR` diameters of the
    target from it, and the pixels of either mask there. error: the engine's sentence where it gave up.
    """

    dice: list[float] = field(default_factory=list)
    surface: list[float] = field(default_factory=list)
    points: int = 0
    picks: int = 0
    held: list[list[int]] = field(default_factory=list)
    far: list[list[int]] = field(default_factory=list)
    error: str = ""


def correct(
    engine: Engine,
    first: Session,
    target: np.ndarray,
    *,
    user: str,
    iterations: int,
    closeness: Callable[[np.ndarray], float] | None = None,
) -> Corrections:
    """Go on from the session after the click, up to `iterations` proposals, with what the user sees.

    user: `correct` places one point in the middle of the largest error per iteration; `mixed` tries that and
    the best pick, and keeps the one whose recommendation is closer to the target (a pick among equals).
    closeness: the surface Dice of a mask, where it is wanted.
    """
    session, found, masks = first, Corrections(), [_mask(first)]
    found.dice.append(dice(masks[0], target))
    while len(found.dice) < iterations:
        try:
            ahead = [step.advance(engine) for step in _steps(session, target, user)]
        except InputError as error:
            found.error = str(error)
            break
        if not ahead:
            break
        values = [dice(_mask(one), target) for one in ahead]
        before, session = _mask(session), ahead[int(np.argmax(values))]
        found.dice.append(max(values))
        masks.append(_mask(session))
        if session.done[-1].step.kind == "pick":
            found.picks += 1
            continue
        after, points = _mask(session), session.points
        found.points += 1
        found.held.append(points_held(points, after))
        found.far.append(changed_far(before, after, target, points[-1], session.image.spacing))
    found.surface = [] if closeness is None else [closeness(mask) for mask in masks]
    for values in (found.dice, found.surface):
        values += values[-1:] * (iterations - len(values))
    return found


def _steps(session: Session, target: np.ndarray, user: str) -> list[Session]:
    """What the user may do next."""
    steps = []
    proposal = session.proposal
    if user == MIXED and proposal is not None and proposal.candidates:
        shown = np.stack([candidate.mask for candidate in proposal.candidates])
        steps.append(session.pick(pick([float(value) for value in dice_of_each(shown, target)])))
    point = error_point(_mask(session), target)
    if point is not None:
        steps.append(session.add_point(point.row, point.col, positive=point.positive))
    return steps


def _mask(session: Session) -> np.ndarray:
    proposal: Proposal | None = session.proposal
    if proposal is None:
        raise InputError("The engine gave no proposal; it cannot be evaluated.")
    return proposal.recommendation


def error_point(mask: np.ndarray, target: np.ndarray) -> PointPrompt | None:
    """The click on the largest region where (H, W) mask and target differ; None where they do not.

    Regions are 4-connected and either missing or too much; of equally large ones the first in reading order.
    The click is the pixel furthest from the region's border, the first of equals, positive where the target
    is foreground.
    """
    best, size = None, 0
    for wrong in (target & ~mask, mask & ~target):
        labels, count = ndimage.label(wrong)
        if count:
            sizes = np.bincount(labels.ravel())[1:]
            largest = int(sizes.argmax())
            if sizes[largest] > size:
                best, size = labels == largest + 1, int(sizes[largest])
    if best is None:
        return None
    depth = ndimage.distance_transform_edt(np.pad(best, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return PointPrompt(float(row), float(col), positive=bool(target[row, col]))


def points_held(points: Sequence[PointPrompt], mask: np.ndarray) -> list[int]:
    """How many points hold in a (H, W) mask, positive inside and negative outside, and how many there are."""
    held = sum(bool(mask[round(point.row), round(point.col)]) == point.positive for point in points)
    return [held, len(points)]


def changed_far(
    before: np.ndarray,
    after: np.ndarray,
    target: np.ndarray,
    point: PointPrompt,
    spacing: tuple[float, float],
) -> list[int]:
    """Pixels that changed farther from the point than a third of the object's size, and either mask's there.

    The size is the diameter of the circle of the target's area, in mm. before, after, target: (H, W) bool.
    """
    diameter = 2 * np.sqrt(target.sum() * spacing[0] * spacing[1] / np.pi)
    rows, cols = np.ogrid[: target.shape[0], : target.shape[1]]
    distance = np.hypot((rows - point.row) * spacing[0], (cols - point.col) * spacing[1])
    far = distance > FAR * diameter
    return [int(((before ^ after) & far).sum()), int(((before | after) & far).sum())]
